import VMCS

/// What a processor says about itself, each part of which may be known or not.
public struct EntryCapabilities: Sendable {
  private var values: InlineArray<33, UInt64> = InlineArray(repeating: 0)
  private var known: UInt64 = 0

  /// Makes capabilities of which nothing is known.
  public init() {}

  /// The value of a capability, 64 bits of an MSR or 32 bits of a CPUID register; nil while it is not known.
  public subscript(capability: EntryCapability) -> UInt64? {
    get {
      let index = Int(capability.rawValue)
      return known >> UInt64(index) & 1 == 0 ? nil : values[index]
    }
    set {
      let index = Int(capability.rawValue)
      values[index] = newValue ?? 0
      known = known & ~(1 << UInt64(index)) | (newValue == nil ? 0 : 1 << UInt64(index))
    }
  }

  /// Reads everything from `processor`, which supports VMX.
  ///
  /// MSRs that it does not have are not read and stay unknown;
  /// of CPUID leaves above the highest, all registers are 0.
  public init<P: VMXProcessor>(of processor: P) {
    let (highest, highestExtended) = (processor.cpuid(0, 0).eax, processor.cpuid(0x8000_0000, 0).eax)
    let subleaves7 = highest >= 7 ? processor.cpuid(7, 0).eax : 0
    let subleaves14 = highest >= 0x14 ? processor.cpuid(0x14, 0).eax : 0
    // The order of the cases is such that what says whether an MSR exists comes before the MSR.
    for capability in EntryCapability.allCases {
      switch capability.source {
      case .msr(let msr):
        if exists(capability, on: processor) { self[capability] = processor.rdmsr(msr.rawValue) }
      case .cpuid(let leaf, let subleaf, let register):
        let isThere: Bool
        switch (leaf, subleaf) {
        case (7, 1...): isThere = subleaf <= subleaves7
        case (0x14, 1...): isThere = subleaf <= subleaves14
        case (0x8000_0000..., _): isThere = leaf <= highestExtended
        default: isThere = leaf <= highest
        }
        let result = isThere ? processor.cpuid(leaf, subleaf) : CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0)
        switch register {
        case 0: self[capability] = UInt64(result.eax)
        case 1: self[capability] = UInt64(result.ebx)
        case 2: self[capability] = UInt64(result.ecx)
        default: self[capability] = UInt64(result.edx)
        }
      }
    }
  }

  /// Whether the MSR of `capability` exists (SDM, appendix "VMX Capability Reporting Facility"), from what has been read.
  private func exists<P: VMXProcessor>(_ capability: EntryCapability, on processor: P) -> Bool {
    func canBe1(_ capability: EntryCapability, _ bit: UInt64) -> Bool { (self[capability] ?? 0) >> (32 + bit) & 1 == 1 }
    switch capability {
    case .ia32VMXTRUEPINBASEDCTLS, .ia32VMXTRUEPROCBASEDCTLS, .ia32VMXTRUEEXITCTLS, .ia32VMXTRUEENTRYCTLS:
      return IA32VMXBASIC(rawValue: self[.ia32VMXBASIC] ?? 0).defaultSettingsMayBeCleared
    case .ia32VMXPROCBASEDCTLS2: return canBe1(.ia32VMXPROCBASEDCTLS, 31)
    case .ia32VMXPROCBASEDCTLS3: return canBe1(.ia32VMXPROCBASEDCTLS, 17)
    case .ia32VMXEXITCTLS2: return canBe1(.ia32VMXEXITCTLS, 31)
    case .ia32VMXEPTVPIDCAP: return canBe1(.ia32VMXPROCBASEDCTLS2, 1) || canBe1(.ia32VMXPROCBASEDCTLS2, 5)
    case .ia32VMXVMFUNC: return canBe1(.ia32VMXPROCBASEDCTLS2, 13)
    case .ia32PERFCAPABILITIES: return processor.cpuid(1, 0).ecx >> 15 & 1 == 1
    default: return true
    }
  }
}
