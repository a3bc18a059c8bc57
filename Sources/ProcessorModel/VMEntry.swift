import VMCS

/// SDM, "VM Entries", and what the guest does after one.
extension ProcessorModel {
  /// Executes VMLAUNCH or VMRESUME, then what the script says, up to the VM exit.
  public func enter(_ registers: UnsafeMutablePointer<GuestRegisters>, resume: Bool) -> VMXOutcome {
    if program != nil { onStep?() }
    let result = entryResult(resume: resume)
    guard case .exit(let failure) = result, let current else {
      let outcome: VMXOutcome = if case .instructionFailed(let outcome) = result { outcome } else { .failInvalid }
      record(resume ? .vmresume : .vmlaunch, outcome)
      return outcome
    }
    record(resume ? .vmresume : .vmlaunch)
    if let failure {
      failEntry(current, failure.reason, failure.qualification)
    } else if program != nil {
      current.launchState = .launched
      end(runProgram(current), current)
      onStep?()
    } else if script.isEmpty {
      fault(.scriptExhausted)
      return .failInvalid
    } else {
      current.launchState = .launched
      run(script.removeFirst(), registers, current)
    }
    return .succeed
  }

  /// What VMLAUNCH or VMRESUME does: fails, or ends with a VM exit, which tells of a VM-entry failure or comes from the guest.
  enum EntryResult {
    case instructionFailed(VMXOutcome)
    case exit((reason: BasicExitReason, qualification: UInt64)?)
  }

  private func entryResult(resume: Bool) -> EntryResult {
    failedCheck = nil
    let injected = injectedFailure(resume ? .vmresume : .vmlaunch)
    if let outcome = injected.flatMap(outcome) { return .instructionFailed(outcome) }
    guard requireVMXOperation(resume ? "VMRESUME" : "VMLAUNCH") else { return .instructionFailed(.failInvalid) }
    if let failure = checkEntry(resume: resume) { return failure }
    if resume, current?.wasActiveAtVMXOFF == true { return .instructionFailed(fail(.vmresumeAfterVMXOFF)) }
    if case .entryFailure(let reason, let qualification) = injected { return .exit((reason, qualification)) }
    return .exit(nil)
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
    end(exit, vmcs)
  }

  /// What a VM exit does.
  private func end(_ exit: ScriptedExit, _ vmcs: VMCSStorage) {
    record(.vmExit(exit.reason))
    checkPossible(exit, vmcs)
    recordExitInformation(exit, vmcs)
    saveGuestState(exit, vmcs)
    loadHostState(vmcs)
  }

  /// SDM, "Event Injection": what delivering the event changes in the guest's non-register state.
  func deliverEvent(_ vmcs: VMCSStorage, isInterrupted: Bool) {
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
