import VMCS

/// What waits to be delivered to the guest.
@frozen
public struct PendingEvents: Equatable, Sendable {
  /// The event whose delivery a VM exit interrupted; it has to be delivered again.
  public var interrupted: Event?
  /// The exception that the exit's handler raised.
  public var exception: Event?
  /// The external interrupt that was acknowledged and had to let another event go first.
  ///
  /// Nothing raises it again. There is one at the most: while it waits no other is taken.
  public var acknowledged: Event?
  /// Whether an NMI waits.
  public var nmi = false
  /// Whether a second NMI waits for the first to be handled.
  public var secondNMI = false

  /// Nothing waits.
  @inlinable
  public init() {}

  /// Whether nothing waits.
  @inlinable
  public var isEmpty: Bool { interrupted == nil && exception == nil && acknowledged == nil && !nmi }
}

/// What keeps events out of the guest at the moment.
@frozen
public struct GuestInterruptibility: Equatable, Sendable {
  /// The guest's RFLAGS.IF.
  public var interruptsEnabled: Bool
  /// Blocking by STI, by MOV SS, and by NMI.
  public var state: GuestInterruptibilityState
  /// Whether a debug exception of the instruction before is pending, which comes before every interrupt (SDM, "Priority
  /// Among Concurrent Events").
  public var hasPendingDebugException: Bool

  /// Makes it from the three fields.
  @inlinable
  public init(interruptsEnabled: Bool, state: GuestInterruptibilityState, hasPendingDebugException: Bool = false) {
    self.interruptsEnabled = interruptsEnabled
    self.state = state
    self.hasPendingDebugException = hasPendingDebugException
  }

  /// Whether the last instruction was STI, MOV SS or POP SS, so that the next one is protected.
  @inlinable
  public var isInShadow: Bool { state.blockingBySTI || state.blockingByMOVSS }

  /// Whether an external interrupt can be delivered now.
  @inlinable
  public var acceptsExternalInterrupt: Bool { interruptsEnabled && !isInShadow && !hasPendingDebugException }

  /// Whether an NMI can be delivered now.
  ///
  /// Blocking by STI counts: some processors do not enter with an NMI then.
  @inlinable
  public var acceptsNMI: Bool { !isInShadow && !state.blockingByNMI && !hasPendingDebugException }

  /// Whether nothing but blocking by STI keeps NMIs out: they can be delivered after one instruction.
  var isHoldingNMIsBySTIAlone: Bool {
    var later = self
    later.state.blockingBySTI = false
    return state.blockingBySTI && later.acceptsNMI
  }
}

/// Which event the next VM entry injects, and for what it has to wait: the one place where that is decided.
///
/// SDM, "Event Injection", "Interrupt-Window Exiting and Virtual-Interrupt Delivery", "NMI-Window Exiting", and for two
/// events at once "Interrupt 8—Double Fault Exception (#DF)".
@frozen
public struct EventDecision: Equatable, Sendable {
  /// What the entry injects.
  public var injection: Event?
  /// Whether the requested external interrupt goes in with this entry.
  ///
  /// Its vector is not known here: who asked acknowledges the interrupt controller and injects the answer.
  public var takesExternalInterrupt = false
  /// Whether the guest has to exit as soon as it can take an external interrupt.
  public var needsInterruptWindow = false
  /// Whether the guest has to exit as soon as it can take an NMI.
  public var needsNMIWindow = false
  /// Whether the guest has to exit after one instruction, with which blocking by STI ends: an NMI waits for that alone.
  ///
  /// With blocking by STI a processor may exit for the NMI window at once, and come no further.
  public var needsEndOfBlockingBySTI = false
  /// Whether a double fault could not be delivered: the guest's processor shuts down.
  public var isTripleFault = false
  /// What waits after this entry.
  public var remaining = PendingEvents()

  /// Decides from one state: what waits, what keeps events out, and whether an interrupt controller requests an
  /// interrupt.
  public init(
    pending: PendingEvents, interruptibility: GuestInterruptibility, externalInterruptRequested: Bool
  ) {
    (remaining.nmi, remaining.secondNMI) = (pending.nmi, pending.secondNMI)
    switch Self.combine(pending.interrupted, pending.exception) {
    case .none: break
    case .inject(let event): injection = event
    case .tripleFault:
      isTripleFault = true
      return
    }
    keep(pending.interrupted, interruptibility)
    if remaining.nmi && injection == nil && interruptibility.acceptsNMI {
      injection = .nmi
      (remaining.nmi, remaining.secondNMI) = (remaining.secondNMI, false)
    }
    needsEndOfBlockingBySTI = remaining.nmi && injection == nil && interruptibility.isHoldingNMIsBySTIAlone
    needsNMIWindow = remaining.nmi && !needsEndOfBlockingBySTI
    if let waiting = pending.acknowledged { take(waiting, interruptibility) }
    if externalInterruptRequested {
      takesExternalInterrupt = injection == nil && interruptibility.acceptsExternalInterrupt
      needsInterruptWindow = needsInterruptWindow || !takesExternalInterrupt
    }
  }

  /// Lets an interrupt wait that an exception has overtaken, or that is blocked.
  ///
  /// It has been acknowledged, and nothing will raise it again. An instruction whose event was interrupted will.
  private mutating func keep(_ interrupted: Event?, _ interruptibility: GuestInterruptibility) {
    guard let interrupted else { return }
    switch interrupted.type {
    case .nmi where injection != interrupted || !interruptibility.acceptsNMI:
      (remaining.nmi, remaining.secondNMI) = (true, remaining.nmi)
    case .externalInterrupt where injection != interrupted || !interruptibility.acceptsExternalInterrupt:
      remaining.acknowledged = interrupted
      needsInterruptWindow = true
    default: return
    }
    if injection == interrupted { injection = nil }
  }

  /// Injects an interrupt that was acknowledged, or lets it wait on.
  private mutating func take(_ acknowledged: Event, _ interruptibility: GuestInterruptibility) {
    if injection == nil && interruptibility.acceptsExternalInterrupt {
      injection = acknowledged
    } else {
      remaining.acknowledged = acknowledged
      needsInterruptWindow = true
    }
  }

  /// What becomes of an interrupted event and an exception that its delivery, or its exit's handler, has raised.
  @frozen
  public enum Combination: Equatable, Sendable {
    /// There is no event.
    case none
    /// This event is delivered.
    case inject(Event)
    /// The processor shuts down.
    case tripleFault
  }

  /// The matrix of "Conditions for Generating a Double Fault".
  public static func combine(_ first: Event?, _ second: Event?) -> Combination {
    guard let first else { return second.map(Combination.inject) ?? .none }
    guard let second else { return .inject(first) }
    guard first.isException, second.isException else { return .inject(second) }
    let doubleFault = ExceptionVector.doubleFault.rawValue
    let secondIsSerious = second.isContributory || second.isPageFault || second.vector == doubleFault
    if first.vector == doubleFault { return secondIsSerious ? .tripleFault : .inject(second) }
    if first.isContributory && second.isContributory || first.isPageFault && secondIsSerious {
      return .inject(.exception(.doubleFault, errorCode: 0))
    }
    return .inject(second)
  }
}

extension Event {
  /// Whether the event is a contributory exception (SDM, "Interrupt and Exception Classes").
  var isContributory: Bool {
    guard type == .hardwareException else { return false }
    return switch vector {
    case 0, 10, 11, 12, 13, 21: true
    default: false
    }
  }

  /// Whether the event is an exception of the class of faults (SDM, "Exception and Interrupt Vectors"), and no debug
  /// exception, which may be a trap.
  var isFault: Bool {
    guard type == .hardwareException else { return false }
    return switch vector {
    case 1, 3, 4, 8, 18: false
    default: true
    }
  }

  /// Whether the event is a page fault, or a virtualization exception, which counts as one.
  var isPageFault: Bool { type == .hardwareException && (vector == 14 || vector == 20) }
}
