import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on Guest Page-Directory-Pointer-Table Entries".
  ///
  /// Without EPT, a processor may leave them out if PAE paging was in use before and CR3 does not change.
  mutating func guestPageDirectoryPointerTableEntries() {
    section = .guestPageDirectoryPointerTableEntries
    pageDirectoryPointerTableEntry(0, "PDPTE0", .guestPDPTE0)
    pageDirectoryPointerTableEntry(1, "PDPTE1", .guestPDPTE1)
    pageDirectoryPointerTableEntry(2, "PDPTE2", .guestPDPTE2)
    pageDirectoryPointerTableEntry(3, "PDPTE3", .guestPDPTE3)
  }

  private mutating func pageDirectoryPointerTableEntry(
    _ index: UInt64, _ name: StaticString, _ field: VMCSField<UInt64, ReadWrite>
  ) {
    check(
      "guest.%.reserved",
      """
      If % is present (bit 0), its bits 2:1, 8:5 and those beyond the physical-address width are 0, if the guest will use \
      PAE paging. It is in the VMCS if “enable EPT” is 1, otherwise in the table that CR3 refers to.
      """,
      reads: """
        guest% guestCR0 guestCR3 guestCR4 vmEntryControls primaryProcessorBasedVMExecutionControls \
        secondaryProcessorBasedVMExecutionControls cpuid80000008EAX memory
        """, for: name
    ) { vmcs in
      guard vmcs[.guestCR0].pg, vmcs[.guestCR4].pae, !vmcs.entry(.ia32eModeGuest) else { return nil }
      let (present, reserved): (UInt64, UInt64) = (1, 0x1E6)
      if vmcs.secondary(.enableEPT) {
        let entry = vmcs.bits(field)
        guard entry & present != 0 else { return nil }
        return vmcs.requireClear(field, reserved | ~0 << vmcs.physicalAddressWidth(for: entry))
      }
      let address = vmcs.bits(.guestCR3) & 0xFFFF_FFE0 + 8 * index
      let entry = vmcs.quadword(at: address)
      guard entry & present != 0 else { return nil }
      return vmcs.requireMemory(at: address, reserved | ~0 << vmcs.physicalAddressWidth(for: entry), 0)
    }
  }
}
