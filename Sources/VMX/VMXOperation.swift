import VMCS

/// A logical processor in VMX root operation (SDM, "Enabling and Entering VMX Operation"), from VMXON to VMXOFF.
///
/// It cannot be copied, so VMX operation is left once.
public struct VMXOperation<P: VMXProcessor>: ~Copyable {
  private let processor: P

  /// Enters VMX operation: locks IA32_FEATURE_CONTROL with VMX enabled outside SMX operation if it is unlocked, gives CR0
  /// and CR4 the bits that VMX operation fixes, which include CR4.VMXE, and executes VMXON.
  ///
  /// - Parameters:
  ///   - processor: the logical processor, on which `support` was found.
  ///   - region: the VMXON region: a page that belongs to the processor until VMXOFF.
  ///
  /// Panics if VMXON fails.
  public init(on processor: P, support: VMXSupport, region: PagePool.Page) {
    self.processor = processor
    var featureControl = IA32FEATURECONTROL(rawValue: processor.rdmsr(MSR.ia32FEATURECONTROL.rawValue))
    if !featureControl.lock {
      featureControl.enableVMXOutsideSMX = true
      featureControl.lock = true
      processor.wrmsr(MSR.ia32FEATURECONTROL.rawValue, featureControl.rawValue)
    }
    let capabilities = support.capabilities
    processor.cr0 = processor.cr0 & capabilities.cr0.allowed1 | capabilities.cr0.allowed0
    processor.cr4 = processor.cr4 & capabilities.cr4.allowed1 | capabilities.cr4.allowed0
    region.pointer.storeBytes(of: capabilities.basic.vmcsRevisionIdentifier, as: UInt32.self)
    // Before VMX operation there is no current VMCS to tell more: VMPTRST would cause #UD.
    if processor.vmxon(region.address) != .succeed {
      processor.stop(PanicReport("VMXON: VMfailInvalid (CF = 1), region", value: region.address.rawValue))
    }
  }

  /// Leaves VMX operation: executes VMXOFF and clears CR4.VMXE.
  ///
  /// No VMCS is loaded on the processor any more.
  ///
  /// Panics if VMXOFF fails.
  @inline(never)
  public consuming func leave() {
    processor.requireSuccess(processor.vmxoff(), of: "VMXOFF")
    var cr4 = CR4(rawValue: processor.cr4)
    cr4.vmxe = false
    processor.cr4 = cr4.rawValue
  }
}
