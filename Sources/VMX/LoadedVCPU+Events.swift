import VMCS

/// What has to happen before the guest can be entered.
@frozen
public enum EntryPreparation: Equatable, Sendable {
  /// Nothing: the fields are written.
  case ready
  /// The entry takes the requested external interrupt: acknowledge the interrupt controller, and inject its vector.
  case takesExternalInterrupt
  /// The guest's processor has shut down and is not to be entered again.
  case tripleFault
}

extension LoadedVCPU {
  /// Whether `prepareEvents` has anything to do when no external interrupt is requested.
  @inlinable
  public var needsEventPreparation: Bool { state.needsEventPreparation }

  /// Raises an exception in the guest, at the next entry.
  ///
  /// RIP stays at the instruction, for which the processor saves it.
  /// A fault saves RFLAGS with RF set (SDM, "Instruction-Breakpoint Exception Condition"); the entry that injects it saves
  /// RFLAGS as the guest has it.
  @inline(never)
  public mutating func raise(_ exception: Event) {
    state.events.exception = exception
    if exception.isFault { vmcs[.guestRFLAGS].rf = true }
  }

  /// Makes an NMI pending.
  ///
  /// A processor handles one and latches one. The guest would have begun to handle the one that is pending, unless NMIs
  /// are blocked, if the hypervisor had not run in its place; so this one is latched behind it. A third is ignored.
  public mutating func requestNMI() {
    if state.events.nmi && !vmcs[.guestInterruptibilityState].blockingByNMI { state.events.secondNMI = true }
    state.events.nmi = true
  }

  /// Whether an event other than an interrupt ends HLT: an NMI that is not blocked, an exception, or a debug exception.
  public var endsHLT: Bool {
    if state.events.exception != nil || state.events.interrupted != nil { return true }
    return state.events.nmi && !vmcs[.guestInterruptibilityState].blockingByNMI || hasPendingDebugException
  }

  /// Whether an interrupt waits that was acknowledged: with RFLAGS.IF = 1 it ends HLT.
  public var hasAcknowledgedInterrupt: Bool { state.events.acknowledged != nil }

  /// Whether an NMI waits to be delivered.
  public var hasPendingNMI: Bool { state.events.nmi }

  /// Whether NMIs are kept out, because one has been delivered and no IRET was executed since.
  public var isBlockingNMIs: Bool { vmcs[.guestInterruptibilityState].blockingByNMI }

  /// Lets the guest have the exception that it exited for, as if there had been no exit.
  public mutating func reflect(_ information: VMExitInterruptionInformation) {
    var event = Event(
      vector: information.vector, type: information.type,
      errorCode: information.errorCodeValid ? vmcs[.vmExitInterruptionErrorCode] : nil)
    if event.hasInstructionLength { event.instructionLength = vmcs[.vmExitInstructionLength] }
    if event.vector != ExceptionVector.doubleFault.rawValue {
      restoreBlockingByNMI(unblocked: information.nmiUnblockingDueToIRET)
    }
    keepInterruptedEvent()
    if event.type == .hardwareException {
      switch event.vector {
      case ExceptionVector.pageFault.rawValue: state.processor.cr2 = vmcs[.exitQualification]
      case ExceptionVector.debugException.rawValue:
        applyDebugException(vmcs[.exitQualification] & ~(1 << 15))
      default: break
      }
    }
    // RFLAGS.RF is what the exception would have saved.
    state.events.exception = event
  }

  /// Decides what the next entry injects, and for what it has to wait, and writes the fields.
  @inline(never)
  public mutating func prepareEvents(externalInterruptRequested: Bool) -> EntryPreparation {
    if state.owesEndOfShadow {
      endInterruptShadow()
      state.owesEndOfShadow = false
    }
    let interruptibility = GuestInterruptibility(
      interruptsEnabled: vmcs[.guestRFLAGS].if, state: vmcs[.guestInterruptibilityState],
      hasPendingDebugException: hasPendingDebugException)
    let decision = EventDecision(
      pending: state.events, interruptibility: interruptibility, externalInterruptRequested: externalInterruptRequested)
    if decision.isTripleFault { return .tripleFault }
    state.events = decision.remaining
    setWindows(
      interrupt: decision.needsInterruptWindow, nmi: decision.needsNMIWindow,
      nextInstruction: decision.needsEndOfBlockingBySTI)
    if let event = decision.injection { inject(event) }
    return decision.takesExternalInterrupt ? .takesExternalInterrupt : .ready
  }

  /// Writes the VM-entry fields that inject `event`.
  public mutating func inject(_ event: Event) {
    var event = event
    if event.information.deliverErrorCode {
      // In real-address mode no exception has an error code, and an entry that injects one fails.
      if vmcs[.guestCR0].pe {
        vmcs[.vmEntryExceptionErrorCode] = event.errorCode
      } else {
        event.information.deliverErrorCode = false
      }
    }
    if event.hasInstructionLength { vmcs[.vmEntryInstructionLength] = event.instructionLength }
    vmcs[.vmEntryInterruptionInformation] = event.information
  }

  /// Keeps an external interrupt that has been acknowledged for an entry that is not made yet.
  public mutating func keep(_ interrupt: Event) { state.events.acknowledged = interrupt }

  /// Takes back the event that an entry was to inject and that failed: the next one would inject another in its place.
  mutating func keepInjectedEvent() {
    let information = vmcs[.vmEntryInterruptionInformation]
    guard information.valid else { return }
    var event = Event(
      vector: information.vector, type: information.type,
      errorCode: information.deliverErrorCode ? vmcs[.vmEntryExceptionErrorCode] : nil)
    if event.hasInstructionLength { event.instructionLength = vmcs[.vmEntryInstructionLength] }
    state.events.interrupted = event
    vmcs[.vmEntryInterruptionInformation] = VMEntryInterruptionInformation(rawValue: 0)
  }

  /// Asks for an exit as soon as the guest can take an external interrupt, because another one is requested already.
  public mutating func requestInterruptWindow() {
    setWindows(
      interrupt: true, nmi: state.primaryControls.contains(.nmiWindowExiting),
      nextInstruction: state.primaryControls.contains(.monitorTrapFlag))
  }

  /// Keeps the event whose delivery the exit interrupted, if one was under way, to deliver it again.
  ///
  /// For the exits that can interrupt one and have not delivered it: exceptions, EPT violations, accesses to the local
  /// APIC's page. A task switch delivers what it interrupts.
  public mutating func keepInterruptedEvent() {
    let information = vmcs[.idtVectoringInformation]
    guard information.valid else { return }
    var event = Event(
      vector: information.vector, type: information.type,
      errorCode: information.errorCodeValid ? vmcs[.idtVectoringErrorCode] : nil)
    if event.hasInstructionLength { event.instructionLength = vmcs[.vmExitInstructionLength] }
    state.events.interrupted = event
    // The NMI has not been delivered, so it blocks nothing yet.
    if event.type == .nmi { setBlockingByNMI(false) }
  }

  /// Restores blocking by NMI, which an IRET had ended before it faulted (SDM, "Information for VM Exits Due to
  /// Vectored Events" and "Exit Qualification for EPT Violations").
  ///
  /// - Parameter unblocked: the "NMI unblocking due to IRET" bit of the exit.
  public mutating func restoreBlockingByNMI(unblocked: Bool) {
    if unblocked && !vmcs[.idtVectoringInformation].valid { setBlockingByNMI(true) }
  }

  func setBlockingByNMI(_ blocked: Bool) {
    var interruptibility = vmcs[.guestInterruptibilityState]
    interruptibility.blockingByNMI = blocked
    vmcs[.guestInterruptibilityState] = interruptibility
  }

  /// Asks for an exit as soon as the guest can take an external interrupt or an NMI, or after the next instruction.
  ///
  /// Without "monitor trap flag" that is when interrupts can be taken: then, too, if the instruction is not CLI.
  mutating func setWindows(interrupt: Bool, nmi: Bool, nextInstruction: Bool) {
    var controls = state.primaryControls.subtracting(VCPUState<P>.windows)
    if interrupt { controls.insert(.interruptWindowExiting) }
    if nmi { controls.insert(.nmiWindowExiting) }
    if nextInstruction {
      controls.insert(state.settings.hasMonitorTrapFlag ? .monitorTrapFlag : .interruptWindowExiting)
    }
    if controls == state.primaryControls { return }
    state.primaryControls = controls
    vmcs[.primaryProcessorBasedVMExecutionControls] = controls
  }

  /// Whether an interrupt could ever reach the guest while it is halted.
  public var interruptsEnabled: Bool { vmcs[.guestRFLAGS].if }
}
