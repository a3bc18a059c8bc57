import ArgumentParser
import VMX

/// The optional controls by the names that the command line has for them: the SDM's, with hyphens.
enum OptionalControlName: String, CaseIterable, ExpressibleByArgument {
  case useTPRShadow = "use-tpr-shadow"
  case virtualizeAPICAccesses = "virtualize-apic-accesses"
  case virtualizeX2APICMode = "virtualize-x2apic-mode"
  case apicRegisterVirtualization = "apic-register-virtualization"
  case virtualInterruptDelivery = "virtual-interrupt-delivery"
  case processPostedInterrupts = "process-posted-interrupts"
  case activateVMXPreemptionTimer = "activate-vmx-preemption-timer"

  /// The control.
  var control: OptionalControls {
    switch self {
    case .useTPRShadow: .useTPRShadow
    case .virtualizeAPICAccesses: .virtualizeAPICAccesses
    case .virtualizeX2APICMode: .virtualizeX2APICMode
    case .apicRegisterVirtualization: .apicRegisterVirtualization
    case .virtualInterruptDelivery: .virtualInterruptDelivery
    case .processPostedInterrupts: .processPostedInterrupts
    case .activateVMXPreemptionTimer: .activateVMXPreemptionTimer
    }
  }
}
