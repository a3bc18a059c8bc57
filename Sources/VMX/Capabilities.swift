import VMCS

/// What the VMX capability MSRs of a processor say (SDM, appendix "VMX Capability Reporting Facility").
///
/// MSRs that a processor does not have are never read: whether one exists follows from those before it.
@frozen
public struct VMXCapabilities: Equatable, Sendable {
  /// IA32_VMX_BASIC.
  public var basic: IA32VMXBASIC
  /// The original settings of the pin-based, primary, VM-exit and VM-entry controls, which give the defaults.
  public var defaults: ControlSettings
  /// The settings to use: those of the TRUE MSRs where IA32_VMX_BASIC bit 55 is 1, otherwise the same as `defaults`.
  public var settings: ControlSettings
  /// The secondary processor-based controls; nothing is allowed where the primary controls cannot activate them.
  public var secondary: AllowedSettings<UInt32>
  /// The tertiary processor-based controls, 64 bits that may all be 0.
  public var tertiary: AllowedSettings<UInt64>
  /// The secondary VM-exit controls, 64 bits that may all be 0.
  public var secondaryExit: AllowedSettings<UInt64>
  /// IA32_VMX_MISC.
  public var misc: IA32VMXMISC
  /// CR0's bits: allowed 0-settings from IA32_VMX_CR0_FIXED0, allowed 1-settings from IA32_VMX_CR0_FIXED1.
  public var cr0: AllowedSettings<UInt64>
  /// CR4's bits, likewise.
  public var cr4: AllowedSettings<UInt64>
  /// IA32_VMX_VMCS_ENUM: bits 9:1 are the highest index of any field.
  public var vmcsEnumeration: UInt64
  /// IA32_VMX_EPT_VPID_CAP; 0 where neither EPT nor VPIDs are supported.
  public var eptAndVPID: IA32VMXEPTVPIDCAP
  /// IA32_VMX_VMFUNC; 0 where VM functions are not supported.
  public var vmFunctions: UInt64

  /// The four control words that every VMX processor has.
  @frozen
  public struct ControlSettings: Equatable, Sendable {
    /// Pin-based VM-execution controls.
    public var pinBased: AllowedSettings<UInt32>
    /// Primary processor-based VM-execution controls.
    public var primary: AllowedSettings<UInt32>
    /// Primary VM-exit controls.
    public var exit: AllowedSettings<UInt32>
    /// VM-entry controls.
    public var entry: AllowedSettings<UInt32>
  }

  /// Reads the capability MSRs of `processor`, which supports VMX.
  public init<P: VMXProcessor>(of processor: P) {
    func read(_ msr: MSR) -> UInt64 { processor.rdmsr(msr.rawValue) }
    func settings(_ msr: MSR) -> AllowedSettings<UInt32> { AllowedSettings(msr: read(msr)) }

    basic = IA32VMXBASIC(rawValue: read(.ia32VMXBASIC))
    defaults = ControlSettings(
      pinBased: settings(.ia32VMXPINBASEDCTLS), primary: settings(.ia32VMXPROCBASEDCTLS),
      exit: settings(.ia32VMXEXITCTLS), entry: settings(.ia32VMXENTRYCTLS))
    self.settings =
      basic.rawValue >> 55 & 1 == 0
      ? defaults
      : ControlSettings(
        pinBased: settings(.ia32VMXTRUEPINBASEDCTLS), primary: settings(.ia32VMXTRUEPROCBASEDCTLS),
        exit: settings(.ia32VMXTRUEEXITCTLS), entry: settings(.ia32VMXTRUEENTRYCTLS))

    let primary = PrimaryProcessorBasedVMExecutionControls(rawValue: self.settings.primary.allowed1)
    let exit = PrimaryVMExitControls(rawValue: self.settings.exit.allowed1)
    let none = AllowedSettings<UInt64>(allowed0: 0, allowed1: 0)
    secondary =
      primary.contains(.activateSecondaryControls)
      ? settings(.ia32VMXPROCBASEDCTLS2) : AllowedSettings(allowed0: 0, allowed1: 0)
    tertiary =
      primary.contains(.activateTertiaryControls)
      ? AllowedSettings(allowed0: 0, allowed1: read(.ia32VMXPROCBASEDCTLS3)) : none
    secondaryExit =
      exit.contains(.activateSecondaryControls) ? AllowedSettings(allowed0: 0, allowed1: read(.ia32VMXEXITCTLS2)) : none

    misc = IA32VMXMISC(rawValue: read(.ia32VMXMISC))
    cr0 = AllowedSettings(allowed0: read(.ia32VMXCR0FIXED0), allowed1: read(.ia32VMXCR0FIXED1))
    cr4 = AllowedSettings(allowed0: read(.ia32VMXCR4FIXED0), allowed1: read(.ia32VMXCR4FIXED1))
    vmcsEnumeration = read(.ia32VMXVMCSENUM)

    let secondaryAllowed = SecondaryProcessorBasedVMExecutionControls(rawValue: secondary.allowed1)
    let hasEPTOrVPID = secondaryAllowed.contains(.enableEPT) || secondaryAllowed.contains(.enableVPID)
    eptAndVPID = IA32VMXEPTVPIDCAP(rawValue: hasEPTOrVPID ? read(.ia32VMXEPTVPIDCAP) : 0)
    vmFunctions = secondaryAllowed.contains(.enableVMFunctions) ? read(.ia32VMXVMFUNC) : 0
  }
}
