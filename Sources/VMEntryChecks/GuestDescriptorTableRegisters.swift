import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on Guest Descriptor-Table Registers".
  mutating func guestDescriptorTableRegisters() {
    section = .guestDescriptorTableRegisters
    descriptorTable("GDTR", .guestGDTRBase, .guestGDTRLimit)
    descriptorTable("IDTR", .guestIDTRBase, .guestIDTRLimit)
  }

  private mutating func descriptorTable(
    _ name: StaticString, _ base: VMCSField<UInt64, ReadWrite>, _ limit: VMCSField<UInt32, ReadWrite>
  ) {
    check(
      "guest.%.base.canonical", "The % base contains a canonical address.", reads: "guest%Base cpuid80000008EAX",
      for: name
    ) { $0.requireCanonical(base) }
    check("guest.%.limit.bits-31-16", "Bits 31:16 of the % limit are 0.", reads: "guest%Limit", for: name) {
      $0.requireClear(limit, 0xFFFF_0000)
    }
  }
}
