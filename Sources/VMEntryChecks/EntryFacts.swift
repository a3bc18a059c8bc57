import VMCS

/// What is so on the logical processor when VMLAUNCH or VMRESUME is executed and is in no VMCS; each part may be known or
/// not.
public struct EntryFacts: Sendable {
  /// Whether the instruction is VMRESUME, and not VMLAUNCH.
  public var isVMRESUME: Bool?
  /// Whether the launch state of the current VMCS is "launched".
  public var isLaunched: Bool?
  /// Whether there is a current VMCS.
  public var hasCurrentVMCS: Bool?
  /// Whether the current VMCS is a shadow VMCS.
  public var isShadowVMCS: Bool?
  /// The current-VMCS pointer.
  public var currentVMCSPointer: PhysicalAddress?
  /// The VMXON pointer.
  public var vmxonPointer: PhysicalAddress?
  /// Whether the processor is in virtual-8086 mode or in compatibility mode.
  public var isInVirtual8086OrCompatibilityMode: Bool?
  /// The current privilege level, 0 to 3.
  public var cpl: UInt8?
  /// Whether there is blocking by MOV SS.
  public var isBlockedByMOVSS: Bool?
  /// Whether the processor is in IA-32e mode (IA32_EFER.LMA is 1).
  public var isInIA32eMode: Bool?
  /// Whether the processor is in system-management mode.
  public var isInSMM: Bool?
  /// Whether IA32_RTIT_CTL.TraceEn is 1.
  public var isTracingEnabled: Bool?

  /// Makes facts of which nothing is known.
  public init() {}

  /// The facts of a logical processor that executes `VMLAUNCH`, or `VMRESUME` if `isVMRESUME`, as a hypervisor does: in
  /// 64-bit mode at CPL 0, outside SMM, on the current VMCS that is no shadow, with nothing blocked and no tracing.
  public static func hypervisor(isVMRESUME: Bool, currentVMCSPointer: PhysicalAddress? = nil) -> Self {
    var facts = Self()
    (facts.isVMRESUME, facts.isLaunched) = (isVMRESUME, isVMRESUME)
    (facts.hasCurrentVMCS, facts.isShadowVMCS, facts.currentVMCSPointer) = (true, false, currentVMCSPointer)
    (facts.isInVirtual8086OrCompatibilityMode, facts.cpl, facts.isBlockedByMOVSS) = (false, 0, false)
    (facts.isInIA32eMode, facts.isInSMM, facts.isTracingEnabled) = (true, false, false)
    return facts
  }

  /// The value of a fact as a number, 0 or 1 if it is a Boolean; nil while it is not known.
  public subscript(fact: EntryFact) -> UInt64? {
    func bit(_ value: Bool?) -> UInt64? { value.map { $0 ? 1 : 0 } }
    return switch fact {
    case .isVMRESUME: bit(isVMRESUME)
    case .isLaunched: bit(isLaunched)
    case .hasCurrentVMCS: bit(hasCurrentVMCS)
    case .isShadowVMCS: bit(isShadowVMCS)
    case .currentVMCSPointer: currentVMCSPointer?.rawValue
    case .vmxonPointer: vmxonPointer?.rawValue
    case .isInVirtual8086OrCompatibilityMode: bit(isInVirtual8086OrCompatibilityMode)
    case .cpl: cpl.map { UInt64($0) }
    case .isBlockedByMOVSS: bit(isBlockedByMOVSS)
    case .isInIA32eMode: bit(isInIA32eMode)
    case .isInSMM: bit(isInSMM)
    case .isTracingEnabled: bit(isTracingEnabled)
    }
  }
}

/// A fact about the logical processor that is in no VMCS.
@frozen
public enum EntryFact: UInt8, CaseIterable, Hashable, Sendable {
  /// Which instruction is executed.
  case isVMRESUME
  /// The launch state of the current VMCS.
  case isLaunched
  /// Whether there is a current VMCS.
  case hasCurrentVMCS
  /// Whether the current VMCS is a shadow VMCS.
  case isShadowVMCS
  /// The current-VMCS pointer.
  case currentVMCSPointer
  /// The VMXON pointer.
  case vmxonPointer
  /// The mode of the processor.
  case isInVirtual8086OrCompatibilityMode
  /// The current privilege level.
  case cpl
  /// Blocking by MOV SS.
  case isBlockedByMOVSS
  /// IA-32e mode.
  case isInIA32eMode
  /// System-management mode.
  case isInSMM
  /// Intel Processor Trace.
  case isTracingEnabled

  /// What the fact is, in the SDM's words.
  public var title: StaticString {
    switch self {
    case .isVMRESUME: "the instruction is VMRESUME"
    case .isLaunched: "the launch state is launched"
    case .hasCurrentVMCS: "there is a current VMCS"
    case .isShadowVMCS: "the current VMCS is a shadow VMCS"
    case .currentVMCSPointer: "current-VMCS pointer"
    case .vmxonPointer: "VMXON pointer"
    case .isInVirtual8086OrCompatibilityMode: "the processor is in virtual-8086 mode or compatibility mode"
    case .cpl: "CPL"
    case .isBlockedByMOVSS: "there is MOV-SS blocking"
    case .isInIA32eMode: "the processor is in IA-32e mode"
    case .isInSMM: "the processor is in SMM"
    case .isTracingEnabled: "IA32_RTIT_CTL.TraceEn"
    }
  }
}
