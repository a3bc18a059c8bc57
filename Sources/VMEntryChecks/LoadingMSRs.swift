import VMCS

extension EntryCheckPass {
  /// SDM, "Loading MSRs": each entry of the VM-entry MSR-load area, in the order of the list.
  ///
  /// Of an area with more entries than any processor recommends (4096), only these are looked at: the SDM says nothing of
  /// what happens to the others.
  mutating func loadingMSRs() {
    section = .loadingMSRs

    entries(
      "msr-load.fs-gs-base", "No entry loads IA32_FS_BASE or IA32_GS_BASE.",
      reads: "vmEntryMSRLoadCount vmEntryMSRLoadAddress memory"
    ) { _, entry in entry.msr == .ia32FSBASE || entry.msr == .ia32GSBASE ? entry.finding(index: 0xFFFF_FFFF) : nil }
    entries(
      "msr-load.x2apic", "No entry loads an MSR of the x2APIC (800H to 8FFH).",
      reads: "vmEntryMSRLoadCount vmEntryMSRLoadAddress memory"
    ) { _, entry in entry.msr.rawValue >> 8 == 8 ? entry.finding(index: 0xFFFF_FFFF) : nil }
    entries(
      "msr-load.smm-only", "No entry loads IA32_SMM_MONITOR_CTL, which can be written only in SMM.",
      reads: "vmEntryMSRLoadCount vmEntryMSRLoadAddress isInSMM memory"
    ) { vmcs, entry in
      guard entry.msr == .ia32SMMMONITORCTL, !vmcs.isSo(.isInSMM) else { return nil }
      return entry.finding(index: 0xFFFF_FFFF)
    }
    entries(
      "msr-load.model-specific", "No entry loads IA32_BIOS_UPDT_TRIG, which a processor may not load on VM entries.",
      reads: "vmEntryMSRLoadCount vmEntryMSRLoadAddress memory", isOptional: true
    ) { _, entry in entry.msr == .ia32BIOSUPDTTRIG ? entry.finding(index: 0xFFFF_FFFF) : nil }
    entries(
      "msr-load.reserved", "Bits 63:32 of every entry are 0.", reads: "vmEntryMSRLoadCount vmEntryMSRLoadAddress memory"
    ) { _, entry in entry.index >> 32 != 0 ? entry.finding(index: ~0 << 32) : nil }
    entries(
      "msr-load.value",
      """
      No entry has a value that WRMSR would refuse with #GP, for the MSRs of which the SDM says what they hold: IA32_EFER, \
      IA32_PAT and those that hold linear addresses.
      """,
      reads: "vmEntryMSRLoadCount vmEntryMSRLoadAddress vmEntryControls guestCR0 cpuid80000008EAX memory"
    ) { vmcs, entry in vmcs.requireWritable(entry) }
  }

  /// A check of every entry; it fails for the first that `body` finds fault with.
  private mutating func entries(
    _ id: StaticString, _ statement: StaticString, reads names: StaticString, isOptional: Bool = false,
    _ body: (inout Inputs, MSRLoadEntry) -> EntryFinding?
  ) {
    check(id, statement, reads: names, isOptional: isOptional) { vmcs in
      let count = min(4096, vmcs.bits(.vmEntryMSRLoadCount))
      if count == 0 { return nil }
      let area = vmcs.bits(.vmEntryMSRLoadAddress) & ~0xF
      for number in 1...count {
        let address = area &+ 16 &* (number &- 1)
        let entry = MSRLoadEntry(
          number: UInt32(number), index: vmcs.quadword(at: address), data: vmcs.quadword(at: address &+ 8))
        if vmcs.unknown != nil { return nil }
        if let finding = body(&vmcs, entry) { return finding }
      }
      return nil
    }
  }
}

/// An entry of the VM-entry MSR-load area.
private struct MSRLoadEntry {
  /// The position, counted from 1.
  var number: UInt32
  /// Bits 63:0: the MSR's index, and reserved bits.
  var index: UInt64
  /// Bits 127:64: the value.
  var data: UInt64

  var msr: MSR { MSR(rawValue: UInt32(truncatingIfNeeded: index)) }

  /// A finding in the bits of `mask` of bits 63:0.
  ///
  /// An entry that must not be there is best replaced by one that loads
  /// nothing of consequence: IA32_SYSENTER_CS, which the VM entry has just loaded, is in no rule.
  func finding(index mask: UInt64) -> EntryFinding {
    EntryFinding(
      subject: .msrLoadEntry(number), mask: mask, found: index,
      required: index & ~mask | UInt64(MSR.ia32SYSENTERCS.rawValue) & mask)
  }

  func finding(data mask: UInt64, required: UInt64) -> EntryFinding {
    EntryFinding(
      subject: .msrLoadData(number), mask: mask, found: data, required: data & ~mask | required & mask)
  }
}

extension EntryInputs {
  /// Requires that WRMSR would accept the value of an entry, as far as the SDM says it for any processor.
  fileprivate mutating func requireWritable(_ entry: MSRLoadEntry) -> EntryFinding? {
    switch entry.msr {
    case .ia32EFER:
      if entry.data & efersReservedBits != 0 { return entry.finding(data: efersReservedBits, required: 0) }
      // WRMSR does not let LME change while paging is enabled.
      guard self[.guestCR0].pg else { return nil }
      let lme: UInt64 = self.entry(.ia32eModeGuest) ? 1 << 8 : 0
      return (entry.data ^ lme) & 1 << 8 == 0 ? nil : entry.finding(data: 1 << 8, required: lme)
    case .ia32PAT:
      let (mask, required) = patCorrection(entry.data)
      return mask == 0 ? nil : entry.finding(data: mask, required: required)
    case .ia32SYSENTERESP, .ia32SYSENTEREIP, .ia32LSTAR, .ia32CSTAR, .ia32KERNELGSBASE, .ia32DSAREA:
      let width = linearAddressWidth(for: entry.data)
      if entry.data.isCanonical(width: width) { return nil }
      return entry.finding(data: ~0 << (width - 1), required: entry.data.signExtended(from: width))
    default: return nil
    }
  }
}
