import VMCS

/// What RDMSR of an MSR whose reads exit gives the guest.
@frozen
public enum MSRReadResult: Equatable, Sendable {
  /// EDX:EAX.
  case value(UInt64)
  /// The VMCS field "guest IA32_DEBUGCTL".
  case debugControl
  /// By how much the guest has moved its time-stamp counter.
  case timestampCounterAdjustment
  /// What the local APIC answers.
  case localAPIC
  /// #GP(0).
  case generalProtection
}

/// What WRMSR to an MSR whose writes exit does.
@frozen
public enum MSRWriteResult: Equatable, Sendable {
  /// It is done.
  case done
  /// The TSC offset changes so that the guest's time-stamp counter has this value now.
  case timestampCounter(UInt64)
  /// The TSC offset changes so that the guest's time-stamp counter is moved by this from where all vCPUs have it.
  case timestampCounterAdjustment(UInt64)
  /// What the local APIC does.
  case localAPIC
  /// The VMCS field "guest IA32_DEBUGCTL" gets this value.
  case debugControl(UInt64)
  /// #GP(0).
  case generalProtection
}

/// The MSRs of a vCPU that neither the processor nor the VMCS holds for it.
///
/// They follow from what `CPUIDPolicy` shows: a feature that is shown has its MSRs, and every MSR that is not named here
/// causes #GP(0). Nothing is read from the host.
public struct MSRPolicy: Sendable {
  private var mtrrs: MTRRs
  private var pat: UInt64 = 0x0007_0406_0007_0406
  private var machineCheckStatus: UInt64 = 0
  private var miscellaneousEnable = Self.fastStrings | Self.btsUnavailable | Self.pebsUnavailable
  private let ratio: UInt64
  private let hasLocalAPIC: Bool

  /// Makes the MSRs as they are when firmware starts an operating system.
  ///
  /// - Parameters:
  ///   - physicalAddressWidth: the number of bits of a guest-physical address, as CPUID shows it.
  ///   - tscFrequency: the frequency of the guest's time-stamp counter, in kHz.
  ///   - hasLocalAPIC: whether the guest has a local APIC, which then answers for its MSRs.
  public init(physicalAddressWidth: UInt8, tscFrequency: UInt32, hasLocalAPIC: Bool = false) {
    self.hasLocalAPIC = hasLocalAPIC
    mtrrs = MTRRs(physicalAddressWidth: physicalAddressWidth)
    // In units of a bus clock of 100 MHz.
    ratio = UInt64(tscFrequency / 100_000) & 0xFF
  }

  /// Whether `msr` is one of the local APIC's: IA32_APIC_BASE, IA32_TSC_DEADLINE, and 800H to 8FFH, some of which are
  /// written so often that they are worth a question of their own before `write`.
  @inlinable @inline(__always)
  public static func isOfLocalAPIC(_ msr: MSR) -> Bool {
    msr.rawValue & ~0xFF == 0x800 || msr == .ia32TSCDEADLINE || msr == .ia32APICBASE
  }

  /// RDMSR of `msr`.
  ///
  /// It changes nothing. It is mutating because the compiler copies the whole structure, 264 bytes, to pass it otherwise.
  public mutating func read(_ msr: MSR) -> MSRReadResult {
    if hasLocalAPIC && Self.isOfLocalAPIC(msr) { return .localAPIC }
    return switch msr {
    case .ia32TSCADJUST: .timestampCounterAdjustment
    case .ia32APICBASE: .value(Self.apicBase)
    case .ia32MISCENABLE: .value(miscellaneousEnable)
    case .ia32PAT: .value(pat)
    case .ia32DEBUGCTL: .debugControl
    case .ia32FEATURECONTROL: .value(Self.locked)
    case .ia32MCGSTATUS: .value(machineCheckStatus)
    // No banks. No microcode update, no platform flag. No SMI since reset.
    case .ia32P5MCADDR, .ia32P5MCTYPE, .ia32MCGCAP, .ia32BIOSSIGNID, .ia32PLATFORMID, .smiCOUNT: .value(0)
    case .platformINFO: .value(ratio << 8 | ratio << 40)
    case .turboRATIOLIMIT: .value(ratio &* 0x0101_0101_0101_0101)
    default:
      if let value = mtrrs.read(msr) { .value(value) } else { .generalProtection }
    }
  }

  /// WRMSR of `value` to `msr`.
  public mutating func write(_ msr: MSR, _ value: UInt64) -> MSRWriteResult {
    if hasLocalAPIC && Self.isOfLocalAPIC(msr) { return .localAPIC }
    switch msr {
    case .ia32TIMESTAMPCOUNTER: return .timestampCounter(value)
    case .ia32TSCADJUST: return .timestampCounterAdjustment(value)
    // Without a local APIC there is none that could be moved, enabled or disabled.
    case .ia32APICBASE: return value == Self.apicBase ? .done : .generalProtection
    case .ia32MISCENABLE: return writeMiscellaneousEnable(value)
    case .ia32PAT: return writePAT(value)
    // Single-step on branches. The other bits belong to features that CPUID hides.
    case .ia32DEBUGCTL: return value & ~Self.btf == 0 ? .debugControl(value) : .generalProtection
    case .ia32MCGSTATUS:
      guard value & ~0b111 == 0 else { return .generalProtection }
      machineCheckStatus = value
      return .done
    // Software writes 0 before it asks for the revision, and a microcode update of the guest's changes nothing.
    case .ia32BIOSSIGNID, .ia32BIOSUPDTTRIG: return .done
    default: return mtrrs.write(msr, value) ? .done : .generalProtection
    }
  }

  /// Fast strings can be turned off and on.
  ///
  /// Turning off execute-disable is ignored: Linux and others turn it on again
  /// before they look. Every other change is refused, since nothing would follow from it.
  private mutating func writeMiscellaneousEnable(_ value: UInt64) -> MSRWriteResult {
    let changes = value ^ miscellaneousEnable
    guard changes & ~(Self.fastStrings | Self.executeDisableDisable) == 0 else { return .generalProtection }
    miscellaneousEnable ^= changes & Self.fastStrings
    return .done
  }

  /// Each of the eight entries has to be UC, WC, WT, WP, WB or UC-.
  private mutating func writePAT(_ value: UInt64) -> MSRWriteResult {
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      switch value >> shift & 0xFF {
      case 0, 1, 4, 5, 6, 7: continue
      default: return .generalProtection
      }
    }
    pat = value
    return .done
  }

  /// FEE00000H, bootstrap processor, disabled.
  private static var apicBase: UInt64 { 0xFEE0_0100 }
  /// IA32_FEATURE_CONTROL: locked, with nothing enabled.
  private static var locked: UInt64 { 1 << 0 }
  /// IA32_DEBUGCTL.
  private static var btf: UInt64 { 1 << 1 }
  /// IA32_MISC_ENABLE.
  private static var fastStrings: UInt64 { 1 << 0 }
  private static var btsUnavailable: UInt64 { 1 << 11 }
  private static var pebsUnavailable: UInt64 { 1 << 12 }
  private static var executeDisableDisable: UInt64 { 1 << 34 }
}
