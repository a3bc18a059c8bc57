import VMCS

/// The NMIs of a `ProcessorModel` that executes a ``GuestProgram`` with "NMI exiting".
///
/// In VMX root operation the host's handler takes an NMI at once, in VMX non-root operation it makes the guest exit (SDM,
/// "Other Causes of VM Exits").
public struct NonMaskableInterrupts: Hashable, Sendable {
  /// Whether one waits: several that wait are one.
  public internal(set) var isPending = false
  /// Whether the VM exit of one has blocked others until the host executes IRET.
  public internal(set) var areBlocked = false
  /// Whether the guest runs.
  public internal(set) var isInGuest = false
}

extension ProcessorModel {
  /// An NMI comes.
  public func requestNMI() {
    nonMaskableInterrupts.isPending = true
    deliverNMI()
  }

  /// The host's IRET, which ends blocking by NMI.
  public func unblockNMIs() {
    nonMaskableInterrupts.areBlocked = false
    deliverNMI()
  }

  private func deliverNMI() {
    let state = nonMaskableInterrupts
    guard state.isPending, !state.areBlocked, !state.isInGuest else { return }
    nonMaskableInterrupts.isPending = false
    onNMI?()
  }

  /// The exit for an NMI that waits, or the one that the VMX-preemption timer makes at once if it begins with 0.
  func exitBeforeInterrupts(_ vmcs: VMCSStorage) -> ScriptedExit? {
    let pinBased = vmcs[.pinBasedVMExecutionControls]
    if pinBased.contains(.activateVMXPreemptionTimer), vmcs[.vmxPreemptionTimerValue] == 0 {
      return ScriptedExit(.vmxPreemptionTimerExpired)
    }
    guard nonMaskableInterrupts.isPending, pinBased.contains(.nmiExiting) else { return nil }
    nonMaskableInterrupts.isPending = false
    nonMaskableInterrupts.areBlocked = true
    var exit = ScriptedExit(.exceptionOrNMI)
    exit.interruptionInformation = VMExitInterruptionInformation(rawValue: 0x8000_0202)
    return exit
  }
}
