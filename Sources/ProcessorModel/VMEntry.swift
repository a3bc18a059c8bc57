import VMCS

/// SDM, "VM Entries", and what the guest does after one.
extension ProcessorModel {
  /// Executes VMLAUNCH or VMRESUME, then what the script says, up to the VM exit.
  public func enter(_ registers: UnsafeMutablePointer<GuestRegisters>, resume: Bool) -> VMXOutcome {
    let outcome = injectedOutcome(resume ? .vmresume : .vmlaunch) ?? basicChecks(resume: resume)
    guard outcome == .succeed, let current else {
      record(resume ? .vmresume : .vmlaunch, outcome)
      return outcome
    }
    switch entryCheck?(self) {
    case .instruction(let error):
      let outcome = fail(error)
      record(resume ? .vmresume : .vmlaunch, outcome)
      return outcome
    case .guestState(let qualification):
      record(resume ? .vmresume : .vmlaunch)
      failEntry(current, .vmEntryFailureInvalidGuestState, qualification)
    case .msrLoading(let entry):
      record(resume ? .vmresume : .vmlaunch)
      failEntry(current, .vmEntryFailureMSRLoading, entry)
    case nil:
      record(resume ? .vmresume : .vmlaunch)
      guard !script.isEmpty else {
        fault(.scriptExhausted)
        return .failInvalid
      }
      current.launchState = .launched
      run(script.removeFirst(), registers, current)
    }
    return .succeed
  }

  /// SDM, "Basic VM-Entry Checks".
  private func basicChecks(resume: Bool) -> VMXOutcome {
    guard requireVMXOperation(resume ? "VMRESUME" : "VMLAUNCH"), let current else { return .failInvalid }
    if isBlockedByMOVSS { return fail(.vmEntryWithEventsBlockedByMOVSS) }
    if !resume, current.launchState != .clear { return fail(.vmlaunchWithNonClearVMCS) }
    if resume, current.launchState != .launched { return fail(.vmresumeWithNonLaunchedVMCS) }
    if resume, current.wasActiveAtVMXOFF { return fail(.vmresumeAfterVMXOFF) }
    return .succeed
  }

  /// SDM, "VM-Entry Failures During or After Loading Guest State": little of what a VM exit does happens.
  private func failEntry(_ vmcs: VMCSStorage, _ reason: BasicExitReason, _ qualification: UInt64) {
    let reason = ExitReason(rawValue: UInt32(reason.rawValue) | 1 << 31)
    vmcs[.exitReason] = reason
    vmcs[.exitQualification] = qualification
    loadHostState(vmcs)
    record(.vmExit(reason))
  }

  private func run(
    _ exit: ScriptedExit, _ registers: UnsafeMutablePointer<GuestRegisters>, _ vmcs: VMCSStorage
  ) {
    deliverEvent(vmcs, isInterrupted: exit.idtVectoringInformation?.valid ?? false)
    exit.guest?(&registers.pointee, self)
    record(.vmExit(exit.reason))
    recordExitInformation(exit, vmcs)
    saveGuestState(exit, vmcs)
    loadHostState(vmcs)
  }

  /// SDM, "Event Injection": what delivering the event changes in the guest's non-register state.
  private func deliverEvent(_ vmcs: VMCSStorage, isInterrupted: Bool) {
    let event = vmcs[.vmEntryInterruptionInformation]
    guard event.valid, event.type != .otherEvent else { return }
    vmcs[.guestActivityState] = .active
    var interruptibility = vmcs[.guestInterruptibilityState]
    interruptibility.blockingBySTI = false
    interruptibility.blockingByMOVSS = false
    if event.type == .nmi, !isInterrupted { interruptibility.blockingByNMI = true }
    vmcs[.guestInterruptibilityState] = interruptibility
  }
}

extension VMCSStorage {
  /// Typed access, without regard to who may write.
  subscript<Value, Access>(field: VMCSField<Value, Access>) -> Value {
    get { Value(bits: Value.Bits(truncatingIfNeeded: self[field.encoding])) }
    set { self[field.encoding] = UInt64(truncatingIfNeeded: newValue.bits) }
  }
}
