import VMCS

/// A processor that can run Skep's guests: what it can do, and the control words that follow from it.
///
/// Finding out changes nothing on the processor.
public struct VMXSupport: Equatable, Sendable {
  /// What the capability MSRs say.
  public let capabilities: VMXCapabilities
  /// The control words with which a vCPU begins.
  public let controls: ControlWords
  /// The optional controls that the vCPU uses: those that were wanted and that the processor has.
  public let options: OptionalControls

  /// Examines `processor`, and throws the first reason for which it cannot run guests.
  ///
  /// - Parameter wanted: the optional controls to use if the processor has them.
  public init<P: VMXProcessor>(
    of processor: P, wanting wanted: OptionalControls = []
  ) throws(UnsupportedProcessor) {
    guard processor.cpuid(1, 0).ecx & CPUIDFeature.Leaf1ECX.vmx.rawValue != 0 else {
      throw .noVMX(vendor: processor.cpuid(0, 0))
    }
    let featureControl = IA32FEATURECONTROL(rawValue: processor.rdmsr(MSR.ia32FEATURECONTROL.rawValue))
    guard !featureControl.lock || featureControl.enableVMXOutsideSMX else { throw .disabledByFirmware }

    let capabilities = VMXCapabilities(of: processor)
    let basic = capabilities.basic
    guard basic.vmcsRegionSize <= VMCSRegion<P>.byteCount else { throw .regionSize(Int(basic.vmcsRegionSize)) }
    guard basic.memoryType == .writeBack else { throw .memoryType(basic.memoryType) }
    options = wanted.supported(by: capabilities)
    controls = try ControlWords(for: capabilities, options: options)

    var missing = IA32VMXEPTVPIDCAP(rawValue: 0)
    missing.supportsPageWalkLength4 = !capabilities.eptAndVPID.supportsPageWalkLength4
    missing.supportsMemoryTypeWB = !capabilities.eptAndVPID.supportsMemoryTypeWB
    missing.supportsINVEPT = !capabilities.eptAndVPID.supportsINVEPT
    missing.supportsSingleContextINVEPT = !capabilities.eptAndVPID.supportsSingleContextINVEPT
    if controls.secondary.contains(.enableVPID) {
      missing.supportsINVVPID = !capabilities.eptAndVPID.supportsINVVPID
      missing.supportsSingleContextINVVPID = !capabilities.eptAndVPID.supportsSingleContextINVVPID
    }
    guard missing.rawValue == 0 else { throw .extendedPageTables(missing: missing) }
    self.capabilities = capabilities
  }
}
