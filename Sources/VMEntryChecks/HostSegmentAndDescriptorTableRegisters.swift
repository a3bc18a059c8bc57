import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on Host Segment and Descriptor-Table Registers", in the order of its list.
  mutating func hostSegmentAndDescriptorTableRegisters() {
    section = .hostSegmentAndDescriptorTableRegisters

    hostSelector("CS", .hostCSSelector)
    hostSelector("SS", .hostSSSelector)
    hostSelector("DS", .hostDSSelector)
    hostSelector("ES", .hostESSelector)
    hostSelector("FS", .hostFSSelector)
    hostSelector("GS", .hostGSSelector)
    hostSelector("TR", .hostTRSelector)

    check("host.cs.selector.null", "The CS selector is not 0000H.", reads: "hostCSSelector") {
      $0.bits(.hostCSSelector) == 0 ? $0.finding(.hostCSSelector, 0xFFF8, required: 8) : nil
    }
    check("host.tr.selector.null", "The TR selector is not 0000H.", reads: "hostTRSelector") {
      $0.bits(.hostTRSelector) == 0 ? $0.finding(.hostTRSelector, 0xFFF8, required: 8) : nil
    }
    check(
      "host.ss.selector.null", "The SS selector is not 0000H if “host address-space size” is 0.",
      reads: "hostSSSelector primaryVMExitControls"
    ) { vmcs in
      if vmcs.bits(.hostSSSelector) != 0 || vmcs.exit(.hostAddressSpaceSize) { return nil }
      return vmcs.finding(.hostSSSelector, 0xFFF8, required: 8)
    }

    hostBase("FS", .hostFSBase)
    hostBase("GS", .hostGSBase)
    hostBase("GDTR", .hostGDTRBase)
    hostBase("IDTR", .hostIDTRBase)
    hostBase("TR", .hostTRBase)
  }

  private mutating func hostSelector(_ name: StaticString, _ field: VMCSField<SegmentSelector, ReadWrite>) {
    check(
      "host.%.selector.rpl-ti", "RPL (bits 1:0) and TI (bit 2) of the % selector are 0.", reads: "host%Selector",
      for: name
    ) { $0.requireClear(field, 7) }
  }

  private mutating func hostBase(_ name: StaticString, _ field: VMCSField<UInt64, ReadWrite>) {
    check(
      "host.%.base.canonical", "The % base contains a canonical address.", reads: "host%Base cpuid80000008EAX",
      for: name
    ) { $0.requireCanonical(field) }
  }
}
