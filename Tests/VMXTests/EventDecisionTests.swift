import Testing
import VMCS

@testable import VMX

/// A class of events as the SDM's matrix of double faults has them, and the others.
enum EventClass: String, CaseIterable, Sendable {
  case externalInterrupt, nmi, softwareInterrupt, softwareException, privilegedSoftwareException
  case benign, contributory, pageFault, doubleFault

  /// All events of the class that matter.
  var events: [Event] {
    switch self {
    case .externalInterrupt: [.externalInterrupt(0x20), .externalInterrupt(14), .externalInterrupt(8)]
    case .nmi: [.nmi]
    case .softwareInterrupt: [13, 14, 0x80].map { Event(vector: $0, type: .softwareInterrupt, instructionLength: 2) }
    case .softwareException: [3, 4].map { Event(vector: $0, type: .softwareException, instructionLength: 1) }
    case .privilegedSoftwareException: [Event(vector: 1, type: .privilegedSoftwareException, instructionLength: 1)]
    case .benign:
      [1, 5, 6, 7, 16, 18, 19].map { Event(vector: $0, type: .hardwareException) }
        + [Event(vector: 17, type: .hardwareException, errorCode: 0)]
    case .contributory:
      [Event(vector: 0, type: .hardwareException)]
        + [10, 11, 12, 13, 21].map { Event(vector: $0, type: .hardwareException, errorCode: 0x18) }
    case .pageFault:
      [.exception(.pageFault, errorCode: 2), Event(vector: 20, type: .hardwareException)]
    case .doubleFault: [.exception(.doubleFault, errorCode: 0)]
    }
  }

  var isInterrupt: Bool { self == .externalInterrupt || self == .nmi }
  static let exceptions: [Self] = [.benign, .contributory, .pageFault, .doubleFault]
}

/// What keeps events out, in all combinations.
struct Blocking: Sendable, CaseIterable, CustomTestStringConvertible {
  var interruptsEnabled, bySTI, byMOVSS, byNMI: Bool

  static let allCases = (0..<16).map {
    Self(interruptsEnabled: $0 & 1 != 0, bySTI: $0 & 2 != 0, byMOVSS: $0 & 4 != 0, byNMI: $0 & 8 != 0)
  }
  static let nothing = Self(interruptsEnabled: true, bySTI: false, byMOVSS: false, byNMI: false)

  var state: GuestInterruptibilityState {
    GuestInterruptibilityState(rawValue: (bySTI ? 1 : 0) | (byMOVSS ? 2 : 0) | (byNMI ? 8 : 0))
  }
  /// Whether an NMI waits for the next instruction: some processors exit for the NMI window before blocking by STI ends,
  /// so that it would not.
  var isSTIAlone: Bool { bySTI && !byMOVSS && !byNMI }
  var interruptibility: GuestInterruptibility {
    GuestInterruptibility(interruptsEnabled: interruptsEnabled, state: state)
  }
  var testDescription: String {
    "IF \(interruptsEnabled ? 1 : 0)" + (bySTI ? ", STI" : "") + (byMOVSS ? ", MOV SS" : "") + (byNMI ? ", NMI" : "")
  }
}

@Suite("Which event goes in") struct EventDecisionTests {
  private func decide(
    interrupted: Event? = nil, exception: Event? = nil, acknowledged: Event? = nil, nmi: Bool = false,
    requested: Bool = false, _ blocking: Blocking = .nothing
  ) -> EventDecision {
    var pending = PendingEvents()
    (pending.interrupted, pending.exception, pending.nmi) = (interrupted, exception, nmi)
    pending.acknowledged = acknowledged
    return EventDecision(
      pending: pending, interruptibility: blocking.interruptibility, externalInterruptRequested: requested)
  }

  /// The SDM's table "Conditions for Generating a Double Fault", with the classes that it does not name as benign.
  private enum Outcome { case second, doubleFault, tripleFault }

  private func outcome(_ first: EventClass, _ second: EventClass) -> Outcome {
    switch (first, second) {
    case (.contributory, .contributory), (.pageFault, .contributory), (.pageFault, .pageFault): .doubleFault
    case (.doubleFault, .contributory), (.doubleFault, .pageFault), (.doubleFault, .doubleFault): .tripleFault
    default: .second
    }
  }

  @Test(
    "F7 an exception that the delivery of an event raises: the whole matrix", arguments: EventClass.allCases,
    EventClass.exceptions)
  func doubleFaults(_ first: EventClass, _ second: EventClass) {
    for firstEvent in first.events {
      for secondEvent in second.events {
        let decision = decide(interrupted: firstEvent, exception: secondEvent)
        switch outcome(first, second) {
        case .second: #expect(decision.injection == secondEvent && !decision.isTripleFault)
        case .doubleFault:
          #expect(decision.injection == .exception(.doubleFault, errorCode: 0) && !decision.isTripleFault)
        case .tripleFault: #expect(decision.isTripleFault && decision.injection == nil)
        }
      }
    }
  }

  @Test("F7 an interrupt whose delivery raised an exception is not lost", arguments: EventClass.exceptions)
  func interruptedInterrupts(_ second: EventClass) {
    for exception in second.events {
      let nmi = decide(interrupted: .nmi, exception: exception)
      #expect(nmi.injection == exception)
      #expect(nmi.remaining.nmi && nmi.needsNMIWindow && nmi.remaining.interrupted == nil)
      let interrupt = decide(interrupted: .externalInterrupt(0x31), exception: exception)
      #expect(interrupt.injection == exception)
      #expect(interrupt.remaining.acknowledged == .externalInterrupt(0x31) && interrupt.needsInterruptWindow)
    }
  }

  @Test(
    "F5 an interrupted event goes in again as it was, before all else", arguments: EventClass.allCases,
    Blocking.allCases)
  func interruptedEvents(_ first: EventClass, _ blocking: Blocking) {
    for event in first.events {
      for nmi in [false, true] {
        for requested in [false, true] {
          let decision = decide(interrupted: event, nmi: nmi, requested: requested, blocking)
          let isHeldBack =
            first == .externalInterrupt && !blocking.interruptibility.acceptsExternalInterrupt
            || first == .nmi && !blocking.interruptibility.acceptsNMI
          if isHeldBack {
            // The VM entry would fail, or break what the guest relies on.
            #expect(decision.injection != event)
            let isKept = decision.remaining.acknowledged == event || first == .nmi && decision.remaining.nmi
            #expect(isKept)
            let needsNMI = blocking.isSTIAlone ? decision.needsEndOfBlockingBySTI : decision.needsNMIWindow
            #expect(first == .nmi ? needsNMI : decision.needsInterruptWindow)
          } else {
            #expect(decision.injection == event && decision.remaining.acknowledged == nil)
            #expect(decision.remaining.nmi == nmi && decision.needsNMIWindow == nmi)
            #expect(!decision.takesExternalInterrupt && decision.needsInterruptWindow == requested)
          }
          #expect(!decision.isTripleFault && decision.remaining.exception == nil)
        }
      }
    }
  }

  @Test(
    "F6 an exception goes in whatever blocks interrupts, and they wait", arguments: EventClass.exceptions,
    Blocking.allCases)
  func exceptions(_ second: EventClass, _ blocking: Blocking) {
    for exception in second.events {
      for nmi in [false, true] {
        for requested in [false, true] {
          let decision = decide(exception: exception, nmi: nmi, requested: requested, blocking)
          #expect(decision.injection == exception && decision.remaining.exception == nil)
          #expect(decision.remaining.nmi == nmi && decision.needsNMIWindow == nmi)
          #expect(!decision.takesExternalInterrupt && decision.needsInterruptWindow == requested)
        }
      }
    }
  }

  @Test(
    "F6 an NMI goes in before an external interrupt, and each waits for what blocks it", arguments: Blocking.allCases)
  func interrupts(_ blocking: Blocking) {
    let acceptsNMI = !blocking.bySTI && !blocking.byMOVSS && !blocking.byNMI
    let acceptsInterrupt = blocking.interruptsEnabled && !blocking.bySTI && !blocking.byMOVSS

    let nmi = decide(nmi: true, blocking)
    #expect(nmi.injection == (acceptsNMI ? .nmi : nil))
    let needsNMIWindow = !acceptsNMI && !blocking.isSTIAlone
    #expect(nmi.remaining.nmi == !acceptsNMI && nmi.needsNMIWindow == needsNMIWindow)
    #expect(nmi.needsEndOfBlockingBySTI == blocking.isSTIAlone)
    #expect(!nmi.needsInterruptWindow && !nmi.takesExternalInterrupt)

    let interrupt = decide(requested: true, blocking)
    #expect(interrupt.injection == nil && interrupt.takesExternalInterrupt == acceptsInterrupt)
    #expect(interrupt.needsInterruptWindow == !acceptsInterrupt && !interrupt.needsNMIWindow)

    let both = decide(nmi: true, requested: true, blocking)
    #expect(both.injection == (acceptsNMI ? .nmi : nil) && both.needsNMIWindow == needsNMIWindow)
    #expect(both.takesExternalInterrupt == (!acceptsNMI && acceptsInterrupt))
    #expect(both.needsInterruptWindow == !both.takesExternalInterrupt)
  }

  @Test("F6 a second NMI waits for the first, behind it", arguments: Blocking.allCases)
  func secondNMI(_ blocking: Blocking) {
    var pending = PendingEvents()
    (pending.nmi, pending.secondNMI) = (true, true)
    let first = EventDecision(
      pending: pending, interruptibility: blocking.interruptibility, externalInterruptRequested: false)
    let acceptsNMI = blocking.interruptibility.acceptsNMI
    #expect(first.injection == (acceptsNMI ? .nmi : nil))
    #expect(first.needsNMIWindow == !blocking.isSTIAlone && first.needsEndOfBlockingBySTI == blocking.isSTIAlone)
    #expect(!first.needsInterruptWindow)
    #expect(first.remaining.nmi && first.remaining.secondNMI == !acceptsNMI)
    if !acceptsNMI { return }
    let second = EventDecision(
      pending: first.remaining, interruptibility: blocking.interruptibility, externalInterruptRequested: false)
    #expect(second.injection == .nmi && second.remaining.isEmpty && !second.needsNMIWindow)
  }

  @Test("F6 without an event nothing goes in and nothing is waited for", arguments: Blocking.allCases)
  func nothing(_ blocking: Blocking) {
    let decision = decide(blocking)
    #expect(decision.injection == nil && decision.remaining.isEmpty)
    #expect(!decision.takesExternalInterrupt && !decision.needsInterruptWindow && !decision.needsNMIWindow)
    #expect(!decision.needsEndOfBlockingBySTI)
  }

  @Test("F6 no event is ever lost, doubled, or put in where it is blocked", arguments: Blocking.allCases)
  func conservation(_ blocking: Blocking) {
    let firsts = [nil] + EventClass.allCases.flatMap(\.events).map { Optional($0) }
    let seconds = [nil] + EventClass.exceptions.flatMap(\.events).map { Optional($0) }
    for first in firsts {
      for second in seconds {
        for nmi in [false, true] {
          for requested in [false, true] {
            let decision = decide(interrupted: first, exception: second, nmi: nmi, requested: requested, blocking)
            if decision.isTripleFault { continue }
            let interruptsBefore = (first?.type == .externalInterrupt ? 1 : 0)
            let interruptsAfter =
              (decision.injection?.type == .externalInterrupt ? 1 : 0)
              + (decision.remaining.acknowledged?.type == .externalInterrupt ? 1 : 0)
            #expect(interruptsBefore == interruptsAfter)
            #expect(decision.remaining.interrupted == nil)
            let nmisBefore = (nmi ? 1 : 0) + (first?.type == .nmi ? 1 : 0)
            let nmisAfter =
              (decision.injection == .nmi ? 1 : 0) + (decision.remaining.nmi ? 1 : 0)
              + (decision.remaining.secondNMI ? 1 : 0)
            #expect(nmisBefore == nmisAfter)
            #expect(!requested || decision.takesExternalInterrupt || decision.needsInterruptWindow)
            #expect(!decision.takesExternalInterrupt || decision.injection == nil)
            let endsSTI = decision.remaining.nmi && blocking.isSTIAlone && decision.injection == nil
            #expect(decision.needsEndOfBlockingBySTI == endsSTI)
            #expect(decision.needsNMIWindow == (decision.remaining.nmi && !endsSTI))
            if decision.injection == .nmi { #expect(blocking.interruptibility.acceptsNMI) }
            let takesInterrupt = decision.takesExternalInterrupt || decision.injection?.type == .externalInterrupt
            if takesInterrupt { #expect(blocking.interruptibility.acceptsExternalInterrupt) }
            #expect(decision.remaining.exception == nil)
          }
        }
      }
    }
  }

  @Test(
    "F6 an interrupt that was acknowledged and overtaken waits for its turn, whatever else comes",
    arguments: Blocking.allCases)
  func acknowledged(_ blocking: Blocking) {
    let waiting = Event.externalInterrupt(0x31)
    let others = [nil] + EventClass.allCases.filter { $0 != .externalInterrupt }.flatMap(\.events).map { Optional($0) }
    for event in others {
      for (nmi, requested) in [(false, false), (false, true), (true, false), (true, true)] {
        let isAfterExit = event?.type != .hardwareException
        let decision = decide(
          interrupted: isAfterExit ? event : nil, exception: isAfterExit ? nil : event, acknowledged: waiting, nmi: nmi,
          requested: requested, blocking)
        let without = decide(
          interrupted: isAfterExit ? event : nil, exception: isAfterExit ? nil : event, nmi: nmi, blocking)
        let isTaken = without.injection == nil && blocking.interruptibility.acceptsExternalInterrupt
        #expect(decision.injection == (isTaken ? waiting : without.injection))
        #expect(decision.remaining.acknowledged == (isTaken ? nil : waiting))
        #expect(decision.needsInterruptWindow == (!isTaken || requested) && !decision.takesExternalInterrupt)
        #expect(!decision.remaining.isEmpty || isTaken)
      }
    }
  }

  @Test("F6 an event has the fields of the SDM")
  func fields() {
    #expect(Event.externalInterrupt(0x20).information.rawValue == 0x8000_0020)
    #expect(Event.nmi.information.rawValue == 0x8000_0202)
    #expect(Event.invalidOpcode.information.rawValue == 0x8000_0306)
    #expect(Event.generalProtection.information.rawValue == 0x8000_0B0D && Event.generalProtection.errorCode == 0)
    #expect(Event.exception(.pageFault, errorCode: 7).information.rawValue == 0x8000_0B0E)
    let breakpoint = Event(vector: 3, type: .softwareException, instructionLength: 1)
    #expect(breakpoint.information.rawValue == 0x8000_0603 && breakpoint.hasInstructionLength)
    for type in 0..<8 as Range<UInt8> {
      let event = Event(vector: 0xFF, type: InterruptionType(rawValue: type))
      #expect(event.type.rawValue == type && event.vector == 0xFF)
      #expect(event.hasInstructionLength == (type >= 4 && type <= 6))
      #expect(event.isException == (type == 3 || type == 5 || type == 6))
    }
  }
}
