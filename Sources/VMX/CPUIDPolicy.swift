import VMCS

/// Which of a processor's CPUID bits a guest sees.
///
/// A whitelist: a bit that no row of `rule(leaf:subleaf:xcr0:)` names is 0 for the guest, so that a feature of a newer
/// processor appears only after somebody has thought about it.
public struct CPUIDPolicy: Sendable {
  /// The frequency of the guest's time-stamp counter, in kHz; 0 if it is not known.
  public var tscFrequency: UInt32
  /// Whether the guest has a local APIC, with a TSC-deadline timer.
  public var hasLocalAPIC: Bool
  /// Whether that local APIC has x2APIC mode.
  public var hasX2APIC = true
  /// The x2APIC ID of the logical processor, below `logicalProcessorCount`; shown with a local APIC.
  public var apicID: UInt32
  /// The number of logical processors, 1 to 255, which the guest sees as the cores of one package; shown with a local
  /// APIC.
  public var logicalProcessorCount: UInt32
  /// The controls, on which RDTSCP, RDPID and INVPCID depend: without theirs they cause #UD.
  let secondary: SecondaryProcessorBasedVMExecutionControls
  /// The bits that VMX operation allows in CR4.
  let allowedCR4: UInt64

  /// Makes the policy for guests that run with the controls of `support`.
  public init(
    support: VMXSupport, tscFrequency: UInt32, hasLocalAPIC: Bool = false, apicID: UInt32 = 0,
    logicalProcessorCount: UInt32 = 1
  ) {
    self.tscFrequency = tscFrequency
    self.hasLocalAPIC = hasLocalAPIC
    self.apicID = apicID
    self.logicalProcessorCount = min(max(logicalProcessorCount, 1), 255)
    secondary = support.controls.secondary
    allowedCR4 = support.capabilities.cr4.allowed1
  }

  /// The rule for a sub-leaf, for a guest that may set the bits `xcr0` of XCR0.
  func rule(leaf: UInt32, subleaf: UInt32, xcr0: UInt64) -> CPUIDRule {
    switch (leaf, subleaf) {
    // Vendor, and cache and TLB descriptors. EAX of leaf 0 is computed.
    case (0, _), (2, _): CPUIDRule(shown: .allOnes)
    // EBX: brand index and CLFLUSH line size, but neither a number of processors nor an APIC ID.
    case (1, _):
      CPUIDRule(
        shown: CPUIDResult(
          eax: ~0, ebx: 0x0000_FFFF, ecx: leaf1ECX(xcr0).rawValue, edx: leaf1EDX.rawValue),
        forced: CPUIDResult(eax: 0, ebx: topology.leaf1EBX, ecx: emulatedECX.rawValue, edx: emulatedEDX.rawValue))
    // Deterministic cache parameters, less those that count processors and cores, which are computed.
    case (4, _): CPUIDRule(shown: CPUIDResult(eax: 0x0000_3FFF, ebx: ~0, ecx: ~0, edx: 0b111))
    // ARAT: the APIC timer, which this guest does not have or which Skep emulates, never stops.
    case (6, _):
      CPUIDRule(
        shown: CPUIDResult(eax: 1 << 2, ebx: 0, ecx: 0, edx: 0),
        forced: CPUIDResult(eax: hasLocalAPIC ? 1 << 2 : 0, ebx: 0, ecx: 0, edx: 0))
    case (7, 0):
      CPUIDRule(
        shown: CPUIDResult(
          eax: ~0, ebx: leaf7EBX(xcr0).rawValue, ecx: leaf7ECX(xcr0).rawValue, edx: leaf7EDX(xcr0).rawValue),
        forced: CPUIDResult(eax: 0, ebx: CPUIDFeature.Leaf7EBX.tscADJUST.rawValue, ecx: 0, edx: 0))
    case (7, 1):
      CPUIDRule(shown: CPUIDResult(eax: leaf7Subleaf1EAX(xcr0).rawValue, ebx: 0, ecx: 0, edx: 0))
    // XSAVES needs a control and IA32_XSS, XFD its MSRs.
    case (0xD, 1):
      CPUIDRule(
        shown: CPUIDResult(eax: Self.xsaveInstructions(xcr0).rawValue, ebx: 0, ecx: 0, edx: 0))
    // Size, offset and alignment of a component of the XSAVE area.
    case (0xD, 2...) where xcr0 >> subleaf & 1 != 0:
      CPUIDRule(shown: CPUIDResult(eax: ~0, ebx: ~0, ecx: 1 << 1, edx: 0))
    case (0x8000_0000, _): CPUIDRule(shown: .zero)
    case (0x8000_0001, _):
      CPUIDRule(shown: CPUIDResult(eax: 0, ebx: 0, ecx: Self.leaf80000001ECX.rawValue, edx: leaf80000001EDX.rawValue))
    case (0x8000_0002...0x8000_0004, _): CPUIDRule(shown: .allOnes)
    case (0x8000_0006, _): CPUIDRule(shown: CPUIDResult(eax: 0, ebx: 0, ecx: ~0, edx: 0))
    // Invariant TSC: an offset does not change the rate.
    case (0x8000_0007, _): CPUIDRule(shown: CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 1 << 8))
    case (0x8000_0008, _): CPUIDRule(shown: CPUIDResult(eax: 0xFFFF, ebx: 0, ecx: 0, edx: 0))
    // Hidden: 3 serial number, 5 MONITOR, 9 DCA, 0xA performance monitoring; computed: 0xB topology; and by the highest leaf,
    // which is 0xD: 0xF and 0x10 RDT, 0x12 SGX, 0x14 Intel PT, 0x15 and 0x16 frequencies, which need not be the TSC's,
    // 0x1F topology.
    default: CPUIDRule(shown: .zero)
    }
  }

  /// How the guest's logical processors are numbered.
  var topology: CPUIDTopology {
    CPUIDTopology(apicID: hasLocalAPIC ? apicID : 0, count: hasLocalAPIC ? logicalProcessorCount : 1)
  }

  /// What Skep emulates of CPUID.01H:ECX, so that the guest has it on every processor.
  private var emulatedECX: CPUIDFeature.Leaf1ECX {
    var emulated: CPUIDFeature.Leaf1ECX = .hypervisor
    if hasLocalAPIC { emulated.insert(.tscDeadline) }
    if hasLocalAPIC && hasX2APIC { emulated.insert(.x2APIC) }
    return emulated
  }

  /// What CPUID.01H gives in EDX to a guest, on a processor where it gives `features`; for the firmware's tables.
  public func processorFeatures(of features: UInt32) -> UInt32 {
    features & leaf1EDX.rawValue | emulatedEDX.rawValue
  }

  /// What Skep emulates of CPUID.01H:EDX, likewise; HTT is that there are several logical processors.
  private var emulatedEDX: CPUIDFeature.Leaf1EDX {
    var emulated: CPUIDFeature.Leaf1EDX = [.mce, .mca, .mtrr]
    if hasLocalAPIC { emulated.insert(.apic) }
    if topology.count > 1 { emulated.insert(.htt) }
    return emulated
  }

  /// What the guest sees of CPUID.01H:ECX.
  ///
  /// Hidden: DTES64, DS-CPL (no debug store); MONITOR; VMX; SMX; EIST, TM2 (power and temperature are the host's);
  /// CNXT-ID; SDBG; xTPR; PDCM (no performance monitoring); DCA.
  /// x2APIC and TSC-deadline depend on the local APIC. OSXSAVE is computed.
  private func leaf1ECX(_ xcr0: UInt64) -> CPUIDFeature.Leaf1ECX {
    var shown: CPUIDFeature.Leaf1ECX = [
      .sse3, .pclmulqdq, .ssse3, .cmpxchg16b, .pcid, .sse41, .sse42, .movbe, .popcnt, .aesni, .rdrand,
    ]
    if xcr0 != 0 { shown.insert(.xsave) }
    if xcr0 & XSAVEArea.avx != 0 { shown.formUnion([.fma, .avx, .f16c]) }
    return shown
  }

  /// What the guest sees of CPUID.01H:EDX.
  ///
  /// Hidden: PSN; DS; ACPI, TM, PBE (temperature is the host's). APIC and HTT do not depend on the processor.
  private var leaf1EDX: CPUIDFeature.Leaf1EDX {
    [
      .fpu, .vme, .de, .pse, .tsc, .msr, .pae, .mce, .cx8, .sep, .mtrr, .pge, .mca, .cmov, .pat, .pse36, .clfsh, .mmx,
      .fxsr, .sse, .sse2, .ss,
    ]
  }

  /// What the guest sees of CPUID.(EAX=07H,ECX=0):EBX.
  ///
  /// Hidden: RDT, Intel PT (their MSRs are not emulated); SGX; HLE and RTM (an abort depends on what the host
  /// does); MPX (not in XCR0).
  private func leaf7EBX(_ xcr0: UInt64) -> CPUIDFeature.Leaf7EBX {
    var shown: CPUIDFeature.Leaf7EBX = [
      .fsgsbase, .bmi1, .fdpExceptionOnly, .smep, .bmi2, .erms, .deprecatesFPUCSAndDS, .rdseed, .adx, .smap,
      .clflushopt, .clwb, .sha,
    ]
    if secondary.contains(.enableINVPCID) { shown.insert(.invpcid) }
    if xcr0 & XSAVEArea.avx != 0 { shown.insert(.avx2) }
    if xcr0 & XSAVEArea.avx512 != 0 {
      shown.formUnion([
        .avx512f, .avx512dq, .avx512ifma, .avx512pf, .avx512er, .avx512cd, .avx512bw, .avx512vl,
      ])
    }
    return shown
  }

  /// What the guest sees of CPUID.(EAX=07H,ECX=0):ECX.
  ///
  /// Hidden: WAITPKG and ENQCMD (need controls); CET_SS, KL, PKS, bus-lock detection (their MSRs are not emulated); TME;
  /// LA57; SGX_LC. OSPKE is computed.
  private func leaf7ECX(_ xcr0: UInt64) -> CPUIDFeature.Leaf7ECX {
    var shown: CPUIDFeature.Leaf7ECX = [.prefetchwt1, .umip, .gfni, .cldemote, .movdiri, .movdir64b]
    if secondary.contains(.enableRDTSCP) { shown.insert(.rdpid) }
    if xcr0 & XSAVEArea.pkru != 0 { shown.insert(.pku) }
    if xcr0 & XSAVEArea.avx != 0 { shown.formUnion([.vaes, .vpclmulqdq]) }
    if xcr0 & XSAVEArea.avx512 != 0 {
      shown.formUnion([.avx512vbmi, .avx512vbmi2, .avx512vnni, .avx512bitalg, .avx512vpopcntdq])
    }
    return shown
  }

  /// What the guest sees of CPUID.(EAX=07H,ECX=0):EDX.
  ///
  /// Hidden: UINTR, architectural LBRs, CET_IBT, and everything that IA32_SPEC_CTRL, IA32_FLUSH_CMD,
  /// IA32_ARCH_CAPABILITIES, IA32_CORE_CAPABILITIES and the like belong to (not emulated); PCONFIG; hybrid; TSX; AMX.
  /// FSRM is shown because IA32_MISC_ENABLE shows that fast strings are enabled.
  private func leaf7EDX(_ xcr0: UInt64) -> CPUIDFeature.Leaf7EDX {
    var shown: CPUIDFeature.Leaf7EDX = [.fsrm, .serialize]
    if xcr0 & XSAVEArea.avx512 != 0 {
      shown.formUnion([.avx5124vnniw, .avx5124fmaps, .avx512vp2intersect, .avx512fp16])
    }
    return shown
  }

  /// What the guest sees of CPUID.(EAX=07H,ECX=1):EAX.
  ///
  /// Hidden: what needs MSRs or controls, and what nobody has looked at.
  private func leaf7Subleaf1EAX(_ xcr0: UInt64) -> CPUIDFeature.Leaf7Subleaf1EAX {
    var shown: CPUIDFeature.Leaf7Subleaf1EAX = [.cmpccxadd, .fzrm, .fsrs, .fsrc]
    if xcr0 & XSAVEArea.avx != 0 { shown.formUnion([.sha512, .sm3, .sm4, .avxVNNI, .avxIFMA]) }
    if xcr0 & XSAVEArea.avx512 != 0 { shown.insert(.avx512bf16) }
    return shown
  }

  /// The instructions that a guest with this XCR0 finds, and not XSAVEC.
  ///
  /// That of Bochs 2.7 writes AVX state at offset 416 of the area, where the header follows, and XRSTOR reads it at 576
  /// (cpu/xsave.cc). Linux would lose the AVX state of its programs.
  private static func xsaveInstructions(_ xcr0: UInt64) -> CPUIDFeature.LeafDSubleaf1EAX {
    xcr0 == 0 ? [] : [.xsaveopt, .xgetbvWithECX1]
  }

  private static var leaf80000001ECX: CPUIDFeature.Leaf80000001ECX { [.lahfSAHFIn64BitMode, .lzcnt, .prefetchw] }

  private var leaf80000001EDX: CPUIDFeature.Leaf80000001EDX {
    var shown: CPUIDFeature.Leaf80000001EDX = [.syscall, .executeDisable, .pages1GByte, .intel64]
    if secondary.contains(.enableRDTSCP) { shown.insert(.rdtscp) }
    return shown
  }
}

/// What a guest sees of the four registers of a sub-leaf.
struct CPUIDRule {
  /// Bits that the guest sees as the processor has them.
  var shown: CPUIDResult
  /// Bits that are 1 for the guest whatever the processor has.
  var forced: CPUIDResult = .zero

  /// Applies the rule to what the processor returned.
  func applied(to host: CPUIDResult) -> CPUIDResult {
    CPUIDResult(
      eax: host.eax & shown.eax | forced.eax, ebx: host.ebx & shown.ebx | forced.ebx,
      ecx: host.ecx & shown.ecx | forced.ecx, edx: host.edx & shown.edx | forced.edx)
  }
}

extension CPUIDResult {
  static var zero: Self { Self(eax: 0, ebx: 0, ecx: 0, edx: 0) }
  static var allOnes: Self { Self(eax: ~0, ebx: ~0, ecx: ~0, edx: ~0) }
}
