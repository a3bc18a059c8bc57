import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite("Events in the VMCS") struct EventInjectionTests {
  private static let windows: PrimaryProcessorBasedVMExecutionControls = [
    .interruptWindowExiting, .nmiWindowExiting, .monitorTrapFlag,
  ]

  private func block(_ fixture: VCPUFixture, _ blocking: Blocking, isProtected: Bool = true) {
    fixture.set(.guestInterruptibilityState, blocking.state)
    fixture.set(.guestRFLAGS, RFLAGS(rawValue: blocking.interruptsEnabled ? 0x202 : 2))
    fixture.set(.guestCR0, CR0(rawValue: isProtected ? 0x31 : 0x30))
  }

  @Test("F6 what is decided is what is written, and what waits is decided again", arguments: Blocking.allCases)
  func prepare(_ blocking: Blocking) throws { try prepare(blocking, .skylakeX, hasMonitorTrapFlag: true) }

  @Test("F6 without “monitor trap flag” an NMI behind STI waits for interrupts", arguments: Blocking.allCases)
  func prepareWithoutMonitorTrapFlag(_ blocking: Blocking) throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.primary.subtract([.monitorTrapFlag])
    try prepare(blocking, configuration, hasMonitorTrapFlag: false)
  }

  private func prepare(
    _ blocking: Blocking, _ configuration: ProcessorModel.Configuration, hasMonitorTrapFlag: Bool
  ) throws {
    let fixture = try VCPUFixture(configuration)
    for exception in [nil, .generalProtection, .invalidOpcode] as [Event?] {
      for nmi in [false, true] {
        for requested in [false, true] {
          var vcpu = fixture.makeLoadedVCPU()
          block(fixture, blocking)
          if let exception { vcpu.raise(exception) }
          if nmi { vcpu.requestNMI() }
          let needed = vcpu.needsEventPreparation
          #expect(needed == (exception != nil || nmi))
          var pending = PendingEvents()
          (pending.exception, pending.nmi) = (exception, nmi)
          let decision = EventDecision(
            pending: pending, interruptibility: blocking.interruptibility, externalInterruptRequested: requested)
          let preparation = vcpu.prepareEvents(externalInterruptRequested: requested)
          #expect(preparation == (decision.takesExternalInterrupt ? .takesExternalInterrupt : .ready))
          #expect(
            fixture.contents(.vmEntryInterruptionInformation).rawValue
              == (decision.injection?.information.rawValue ?? 0))
          let primary = fixture.contents(.primaryProcessorBasedVMExecutionControls)
          let endsSTI = decision.needsEndOfBlockingBySTI
          #expect(primary.contains(.monitorTrapFlag) == (endsSTI && hasMonitorTrapFlag))
          let needsInterruptWindow = decision.needsInterruptWindow || endsSTI && !hasMonitorTrapFlag
          #expect(primary.contains(.interruptWindowExiting) == needsInterruptWindow)
          #expect(primary.contains(.nmiWindowExiting) == decision.needsNMIWindow)
          #expect(primary.subtracting(Self.windows) == fixture.support.controls.primary)
          let stillNeeded = vcpu.needsEventPreparation
          #expect(stillNeeded == (decision.needsInterruptWindow || decision.needsNMIWindow || endsSTI))
          fixture.set(.vmEntryInterruptionInformation, VMEntryInterruptionInformation(rawValue: 0))
          _ = vcpu.unload()
        }
      }
    }
  }

  @Test("F5 an acknowledged interrupt outlives whatever is delivered, interrupted or injected again before it")
  func acknowledgedInterrupt() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    let blocked = Blocking(interruptsEnabled: false, bySTI: false, byMOVSS: false, byNMI: false)
    block(fixture, .nothing)
    fixture.set(.idtVectoringInformation, IDTVectoringInformation(rawValue: 0x8000_0031))
    vcpu.keepInterruptedEvent()
    vcpu.raise(.exception(.pageFault, errorCode: 2))
    func injected() -> UInt32 {
      _ = vcpu.prepareEvents(externalInterruptRequested: false)
      let information = fixture.contents(.vmEntryInterruptionInformation).rawValue
      fixture.set(.vmEntryInterruptionInformation, VMEntryInterruptionInformation(rawValue: 0))
      return information
    }
    #expect(injected() == 0x8000_0B0E)
    // The delivery of #PF is interrupted.
    fixture.set(.idtVectoringInformation, IDTVectoringInformation(rawValue: 0x8000_0B0E))
    vcpu.keepInterruptedEvent()
    #expect(injected() == 0x8000_0B0E)
    // In its handler an entry with #UD fails.
    block(fixture, blocked)
    vcpu.raise(.invalidOpcode)
    _ = vcpu.prepareEvents(externalInterruptRequested: false)
    vcpu.keepInjectedEvent()
    #expect(injected() == 0x8000_0306)
    #expect(!vcpu.endsHLT && injected() == 0)
    block(fixture, .nothing)
    let isKept = vcpu.hasAcknowledgedInterrupt
    #expect(isKept && injected() == 0x8000_0031)
    let isLeft = vcpu.hasAcknowledgedInterrupt
    #expect(!isLeft && injected() == 0)
  }

  @Test("D9 after every operation the software shadow of the primary controls is what the VMCS holds")
  func shadow() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    var numbers = SeededNumbers(state: 9)
    for _ in 0..<500 {
      switch numbers.next() % 5 {
      case 0: vcpu.requestNMI()
      case 1: vcpu.requestInterruptWindow()
      case 2: vcpu.raise(.generalProtection)
      case 3: block(fixture, Blocking.allCases.randomElement(using: &numbers) ?? .nothing)
      default: _ = vcpu.prepareEvents(externalInterruptRequested: numbers.next() & 1 == 0)
      }
      let shadow = vcpu.state.primaryControls
      #expect(shadow == fixture.contents(.primaryProcessorBasedVMExecutionControls))
      if numbers.next() % 16 == 0 { vcpu = vcpu.unload().load() }
    }
  }

  @Test("D9 a control word that has not changed is not written again")
  func noRedundantWrites() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    let field = VMCSField.primaryProcessorBasedVMExecutionControls.encoding
    for _ in 0..<3 { vcpu.requestInterruptWindow() }
    #expect(fixture.processor.trace.vmwrites.count { $0.field == field } == 1)
    for _ in 0..<3 { _ = vcpu.prepareEvents(externalInterruptRequested: false) }
    #expect(fixture.processor.trace.vmwrites.count { $0.field == field } == 2)
  }

  @Test("F6 an error code goes in with its exception, but not in real-address mode", arguments: [true, false])
  func errorCode(isProtected: Bool) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    block(fixture, .nothing, isProtected: isProtected)
    vcpu.inject(.exception(.pageFault, errorCode: 0x1F))
    let information = fixture.contents(.vmEntryInterruptionInformation)
    #expect(information.rawValue == (isProtected ? 0x8000_0B0E : 0x8000_030E))
    let writes = fixture.processor.trace.vmwrites.filter { $0.field == VMCSField.vmEntryExceptionErrorCode.encoding }
    #expect(writes.map(\.value) == (isProtected ? [0x1F] : []))
  }

  @Test(
    "F6 a software event goes in with its instruction length, and no other has one", arguments: EventClass.allCases)
  func instructionLength(_ kind: EventClass) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    let field = VMCSField.vmEntryInstructionLength.encoding
    for event in kind.events {
      fixture.processor.clearTrace()
      vcpu.inject(event)
      let lengths = fixture.processor.trace.vmwrites.filter { $0.field == field }.map(\.value)
      #expect(lengths == (event.hasInstructionLength ? [UInt64(event.instructionLength)] : []))
    }
  }

  @Test("F5 what an exit interrupted is delivered again with the next entry", arguments: EventClass.allCases)
  func redelivery(_ kind: EventClass) throws {
    // One that injects #CP with its error code: IA32_VMX_BASIC bit 56.
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.basicCapabilities |= 1 << 56
    for event in kind.events {
      let fixture = try VCPUFixture(configuration)
      var vcpu = fixture.makeVCPU().load()
      block(fixture, .nothing)
      // What an NMI's delivery has set, although the NMI has not been delivered.
      if kind == .nmi { fixture.set(.guestInterruptibilityState, GuestInterruptibilityState(rawValue: 8)) }
      var exit = ScriptedExit(.eptViolation, qualification: 0x82, instructionLength: event.instructionLength)
      // Bit 12 is undefined.
      exit.idtVectoringInformation = IDTVectoringInformation(rawValue: event.information.rawValue | 1 << 12)
      exit.idtVectoringErrorCode = event.errorCode
      fixture.processor.script = [exit]
      _ = vcpu.run(eptGeneration: 0)
      vcpu.keepInterruptedEvent()
      let preparation = vcpu.prepareEvents(externalInterruptRequested: false)
      #expect(preparation == .ready)
      #expect(fixture.contents(.vmEntryInterruptionInformation) == event.information)
      if event.information.deliverErrorCode {
        #expect(fixture.contents(.vmEntryExceptionErrorCode) == event.errorCode)
      }
      if event.hasInstructionLength {
        #expect(fixture.contents(.vmEntryInstructionLength) == event.instructionLength)
      }
      #expect(!fixture.contents(.guestInterruptibilityState).blockingByNMI)
      #expect(fixture.entryFailures() == [])
    }
  }

  @Test("F5 an exit that interrupted nothing leaves nothing to deliver")
  func nothingInterrupted() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    vcpu.keepInterruptedEvent()
    let needed = vcpu.needsEventPreparation
    #expect(!needed)
  }

  @Test(
    "F5 blocking by NMI that an IRET ended before it faulted begins again, unless an event was being delivered",
    arguments: [(true, false, true), (false, false, false), (true, true, false), (false, true, false)])
  func nmiUnblocking(unblocked: Bool, isVectoring: Bool, expected: Bool) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    var exit = ScriptedExit(.eptViolation, instructionLength: 1)
    if isVectoring { exit.idtVectoringInformation = IDTVectoringInformation(rawValue: 0x8000_0020) }
    fixture.processor.script = [exit]
    _ = vcpu.run(eptGeneration: 0)
    vcpu.restoreBlockingByNMI(unblocked: unblocked)
    #expect(fixture.contents(.guestInterruptibilityState).blockingByNMI == expected)
  }

  @Test(
    "F6 a fault that is raised saves RFLAGS with RF set, every other exception as the guest has it", arguments: 0...31)
  func resumeFlag(vector: Int) throws {
    let fixture = try VCPUFixture()
    for old in [0x2, 0x1_0002] as [UInt64] {
      var vcpu = fixture.makeLoadedVCPU()
      fixture.set(.guestRFLAGS, RFLAGS(rawValue: old))
      vcpu.raise(Event(vector: UInt8(vector), type: .hardwareException))
      // Debug exceptions, breakpoint, overflow, double fault and machine check are no faults.
      let isFault = ![1, 3, 4, 8, 18].contains(vector)
      #expect(fixture.contents(.guestRFLAGS).rawValue == (isFault ? old | 0x1_0000 : old))
    }
  }

  @Test("C4 raising and injecting events never loads or clears the VMCS")
  func noLoads() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    vcpu.raise(.generalProtection)
    vcpu.requestNMI()
    _ = vcpu.prepareEvents(externalInterruptRequested: true)
    vcpu.inject(.invalidOpcode)
    vcpu.keepInterruptedEvent()
    vcpu.restoreBlockingByNMI(unblocked: true)
    try vcpu.setRegister(.cr2, to: 5)
    try vcpu.setRegister(.interruptShadow, to: 0)
    #expect(fixture.processor.trace.loads.isEmpty && fixture.processor.trace.clears.isEmpty)
    #expect(fixture.processor.trace.count { $0 == .enterCritical || $0 == .exitCritical } == 0)
  }

  @Test("F7 a double fault that cannot be delivered is a triple fault, and nothing is written")
  func tripleFault() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    var exit = ScriptedExit(.eptViolation, instructionLength: 1)
    exit.idtVectoringInformation = IDTVectoringInformation(rawValue: 0x8000_0B08)
    exit.idtVectoringErrorCode = 0
    fixture.processor.script = [exit]
    _ = vcpu.run(eptGeneration: 0)
    vcpu.keepInterruptedEvent()
    vcpu.raise(.generalProtection)
    fixture.processor.clearTrace()
    let preparation = vcpu.prepareEvents(externalInterruptRequested: true)
    #expect(preparation == .tripleFault && fixture.processor.trace.vmwrites.isEmpty)
  }
}
