import VMCS

/// What the SDM requires of an MSR's value is the same in the host-state area, the guest-state area and the MSR areas.
extension EntryInputs {
  /// Requires each byte of IA32_PAT to be a memory type: 0, 1, 4, 5, 6 or 7.
  mutating func requirePAT(_ field: VMCSField<IA32PAT, ReadWrite>) -> EntryFinding? {
    let (mask, required) = patCorrection(bits(field))
    return require(field, mask, required)
  }

  /// The bits of a value of IA32_PAT that are in bytes that are no memory types, and the nearest value that has none.
  func patCorrection(_ value: UInt64) -> (mask: UInt64, required: UInt64) {
    var (mask, required) = (UInt64(0), value)
    for position in stride(from: UInt64(0), to: 64, by: 8) {
      let type = value >> position & 0xFF
      if type < 8 && type & 6 != 2 { continue }
      mask |= 0xFF << position
      required &= ~((type & 4 == 0 ? 0xFA : 0xF8) << position)
    }
    return (mask, required)
  }

  /// The bits of IA32_EFER that no processor has: all but SCE, LME, LMA and NXE.
  var efersReservedBits: UInt64 { ~0xD01 }

  /// Requires that bits reserved in IA32_S_CET are 0.
  mutating func requireSCETReservedClear(_ field: VMCSField<IA32SCET, ReadWrite>) -> EntryFinding? {
    let (shadowStack, indirectBranchTracking): (UInt64, UInt64) = (3, 0x3C | ~0 << 10)
    let value = bits(field)
    var reserved: UInt64 = 0x3C0
    if value & shadowStack != 0, capability(.cpuid7ECX) >> 7 & 1 == 0 { reserved |= shadowStack }
    if value & indirectBranchTracking != 0, capability(.cpuid7EDX) >> 20 & 1 == 0 { reserved |= indirectBranchTracking }
    return requireClear(field, reserved)
  }

  /// Requires that SUPPRESS (bit 10) and TRACKER (bit 11) of IA32_S_CET are not both 1.
  mutating func requireSCETTrackerConsistent(_ field: VMCSField<IA32SCET, ReadWrite>) -> EntryFinding? {
    let value = self[field]
    return value.suppress && value.tracker ? finding(field, 3 << 10, required: value.rawValue & ~(1 << 10)) : nil
  }

  /// Requires that bits reserved in IA32_PERF_GLOBAL_CTRL are 0: there is one for each counter, and bit 48.
  mutating func requirePerfGlobalCtrlReservedClear(_ field: VMCSField<UInt64, ReadWrite>) -> EntryFinding? {
    let value = bits(field)
    if value == 0 { return nil }
    let counters = capability(.cpuidAEAX) >> 8 & 0xFF
    var supported: UInt64 = counters >= 32 ? 0xFFFF_FFFF : 1 << counters &- 1
    if value >> 32 & 0xFFFF != 0 {
      let contiguous = min(16, capability(.cpuidAEDX) & 0x1F)
      let fixed: UInt64 = (1 << contiguous &- 1) | capability(.cpuidAECX) & 0xFFFF
      supported |= fixed << 32
    }
    if value >> 48 & 1 == 1 { supported |= (capability(.ia32PERFCAPABILITIES) >> 15 & 1) << 48 }
    return requireClear(field, ~supported)
  }

  /// Requires that bits reserved in IA32_SPEC_CTRL are 0.
  mutating func requireSPECCTRLReservedClear(_ field: VMCSField<IA32SPECCTRL, ReadWrite>) -> EntryFinding? {
    let value = bits(field)
    var supported: UInt64 = 0
    if value & 7 != 0 {
      let features = capability(.cpuid7EDX)
      // STIBP may be set without effect where only IBRS is enumerated.
      supported |= (features >> 26 & 1) * 3 | (features >> 27 & 1) << 1 | (features >> 31 & 1) << 2
    }
    if value & 0x5F8 != 0 {
      let features = capability(.cpuid7Subleaf2EDX)
      supported |= (features >> 1 & 1) * 0x18 | (features >> 2 & 1) * 0x60 | (features & 1) << 7
      supported |= (features >> 3 & 1) << 8 | (features >> 4 & 1) << 10
    }
    return requireClear(field, ~supported)
  }

  /// Requires that bits reserved in CR3 are 0: those beyond the physical-address width, except LAM_U48 and LAM_U57 (bits
  /// 62:61) where the processor has linear-address masking.
  mutating func requireCR3(_ field: VMCSField<UInt64, ReadWrite>) -> EntryFinding? {
    let lam: UInt64 = 3 << 61
    let value = bits(field)
    let width = physicalAddressWidth(for: value & ~lam)
    let hasLAM = value & lam != 0 && capability(.cpuid7Subleaf1EAX) >> 26 & 1 == 1
    return requireClear(field, ~0 << width & ~(hasLAM ? lam : 0))
  }

  /// Requires a control register to have no bit that is not supported in VMX operation.
  ///
  /// SDM, "Restrictions on VMX Operation". The bits of `ignored` may be 0 or 1; those of `mayBe0` may be 0 whatever the MSRs say.
  mutating func requireFixed<Word: BitWord>(
    _ field: VMCSField<Word, ReadWrite>, _ fixed0: EntryCapability, _ fixed1: EntryCapability, ignored: UInt64 = 0,
    mayBe0: UInt64 = 0
  ) -> EntryFinding? {
    let (mustBe1, mayBe1) = (capability(fixed0) & ~(mayBe0 | ignored), capability(fixed1) | ignored)
    let found = bits(field)
    let required = (found | mustBe1) & mayBe1
    return require(field, found ^ required, required)
  }
}

extension EntryInputs {
  /// Requires that bits reserved in IA32_RTIT_CTL are 0; which are follows from CPUID leaf 14H (SDM, "IA32_RTIT_CTL MSR").
  mutating func requireRTITCTLReservedClear(_ field: VMCSField<IA32RTITCTL, ReadWrite>) -> EntryFinding? {
    // TraceEn, OS, User, TSCEn, DisRETC and BranchEn are there wherever the MSR is.
    var supported: UInt64 = 0x2C0D
    /// Adds the bits of `bits` if `capability` has `bit`; reads it only where one of them is 1.
    func add(_ bits: UInt64, if capability: EntryCapability, _ bit: UInt64, _ inputs: inout Self) {
      if inputs.bits(field) & bits & ~supported == 0 { return }
      if inputs.capability(capability) >> bit & 1 == 1 { supported |= bits }
    }
    add(1 << 7, if: .cpuid14EBX, 0, &self)  // CR3Filter
    add(1 << 1 | 0xF << 19 | 0xF << 24, if: .cpuid14EBX, 1, &self)  // CYCEn, CycThresh, PSBFreq
    add(1 << 9 | 0xF << 14, if: .cpuid14EBX, 3, &self)  // MTCEn, MTCFreq
    add(1 << 5 | 1 << 12, if: .cpuid14EBX, 4, &self)  // FUPonPTW, PTWEn
    add(1 << 4, if: .cpuid14EBX, 5, &self)  // PwrEvtEn
    add(1 << 56, if: .cpuid14EBX, 6, &self)  // InjectPsbPmiOnEnable
    add(1 << 31, if: .cpuid14EBX, 7, &self)  // EventEn
    add(1 << 55, if: .cpuid14EBX, 8, &self)  // DisTNT
    add(1 << 8, if: .cpuid14ECX, 0, &self)  // ToPA
    add(1 << 6, if: .cpuid14ECX, 3, &self)  // FabricEn
    let addressRanges: UInt64 = 0xFFFF << 32
    if bits(field) & addressRanges != 0 {
      let ranges = min(4, capability(.cpuid14Subleaf1EAX) & 7)
      supported |= (1 << (4 * ranges) &- 1) << 32
    }
    return requireClear(field, ~supported)
  }

  /// Requires that bits reserved in IA32_LBR_CTL are 0; which are follows from CPUID leaf 1CH.
  mutating func requireLBRCTLReservedClear(_ field: VMCSField<IA32LBRCTL, ReadWrite>) -> EntryFinding? {
    let (cpl, branches, callStack): (UInt64, UInt64, UInt64) = (3 << 1, 0x7F << 16, 1 << 3)
    var supported: UInt64 = 1
    if bits(field) & (cpl | branches | callStack) != 0 {
      let features = capability(.cpuid1CEBX)
      supported |= (features & 1) * cpl | (features >> 1 & 1) * branches | (features >> 2 & 1) * callStack
    }
    return requireClear(field, ~supported)
  }
}
