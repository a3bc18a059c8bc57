import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

@Suite("Interrupts and halts of a virtual machine") struct VirtualMachineEventTests {
  private let cpuid = ScriptedExit.instruction(.cpuid)

  @Test("F6 a request goes in at once if the guest takes interrupts")
  func immediate() throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    guest.machine.bus.setLine(5, true)
    let request = guest.run([])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [0x8000_0035] && guest.entries.first?.waitsForInterruptWindow == false)
    let isPending = guest.machine.bus.interruptPending
    #expect(!isPending, "it has been acknowledged")
  }

  @Test(
    "F6 a request waits for the interrupt window while RFLAGS.IF is 0, or in the shadow of STI or MOV SS",
    arguments: [(false, 0), (true, 1), (true, 2), (false, 8)] as [(Bool, UInt32)])
  func window(interruptsEnabled: Bool, interruptibility: UInt32) throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    // An exit that is not of an instruction leaves the shadow.
    let start = ScriptedExit.instruction(.eptViolation, qualification: 0x82)
      .with(interruptsEnabled: interruptsEnabled).with(interruptibility: interruptibility)
    _ = guest.run(
      {
        var exit = start; exit.guestPhysicalAddress = 0x1000; return exit
      }())
    guest.machine.bus.setLine(5, true)
    let open = ScriptedExit(.interruptWindow).with(interruptsEnabled: true).with(interruptibility: interruptibility & 8)
    let request = guest.run([open, cpuid])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [0, 0x8000_0035, 0])
    #expect(guest.entries.map(\.waitsForInterruptWindow) == [true, false, false])
  }

  @Test("F6 of two requests the second waits for the window after the first")
  func twoRequests() throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    guest.machine.bus.setLine(6, true)
    guest.machine.bus.setLine(5, true)
    // The first interrupt's handler ends it and turns interrupts on again.
    let handler = ScriptedExit.io(port: 0x20, count: 1, isIn: false, rax: 0x20).with(interruptsEnabled: false)
    let open = ScriptedExit(.interruptWindow).with(interruptsEnabled: true)
    let request = guest.run([handler, open])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [0x8000_0035, 0, 0x8000_0036])
    #expect(guest.entries.map(\.waitsForInterruptWindow) == [false, true, false])
  }

  @Test("F6 a request that is withdrawn takes its window with it")
  func withdrawn() throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.run(cpuid.with(interruptsEnabled: false))
    guest.machine.bus.setLine(5, true)
    let mask = ScriptedExit.io(port: 0x21, count: 1, isIn: false, rax: 0xFF)
    let request = guest.run([mask, cpuid])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.waitsForInterruptWindow) == [true, false, false])
    #expect(guest.entries.allSatisfy { $0.event == 0 })
  }

  @Test("F6 an exception goes in before a request, which waits")
  func exceptionFirst() throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.run(cpuid.with(interruptsEnabled: false))
    guest.machine.bus.setLine(5, true)
    let request = guest.run([.instruction(.vmcall).with(interruptsEnabled: true), cpuid])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [0, 0x8000_0306, 0x8000_0035])
    #expect(guest.entries.map(\.waitsForInterruptWindow) == [true, true, false])
  }

  @Test("F6 an NMI goes in once, and waits while one is being handled")
  func nmi() throws {
    let guest = try GuestOnModel()
    guest.vcpu.requestNMI()
    _ = guest.run(cpuid)
    #expect(guest.entries.map(\.event) == [0x8000_0202, 0])
    guest.vcpu.requestNMI()
    let request = guest.run([cpuid, ScriptedExit(.nmiWindow).with(interruptibility: 0)])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [0, 0, 0x8000_0202])
    #expect(guest.entries.map(\.waitsForNMIWindow) == [true, true, false])
  }

  @Test("F6 an NMI that blocking by STI keeps out goes in after one instruction, also if that is CLI")
  func nmiBehindSTI() throws {
    for interruptsEnabled in [true, false] {
      let guest = try GuestOnModel()
      var touch = ScriptedExit(.eptViolation, qualification: 0x181).with(interruptsEnabled: true)
      touch.guestPhysicalAddress = 0x5000
      _ = guest.run(touch.with(interruptibility: 1))
      guest.vcpu.requestNMI()
      let step = ScriptedExit(.monitorTrapFlag).with(interruptsEnabled: interruptsEnabled).with(interruptibility: 0)
      let request = guest.run(step)
      #expect(request.isEnd)
      #expect(guest.entries.map(\.event) == [0, 0x8000_0202])
      #expect(guest.entries.map(\.waitsForNextInstruction) == [true, false])
      #expect(guest.entries.allSatisfy { !$0.waitsForNMIWindow && !$0.waitsForInterruptWindow })
    }
  }

  @Test(
    "F6 two NMIs go in, one behind the other, and more are ignored; while one is handled, one waits",
    arguments: 1...4, [false, true])
  func nmis(_ count: Int, isBlocking: Bool) throws {
    let guest = try GuestOnModel()
    let window = ScriptedExit(.nmiWindow).with(interruptibility: 0)
    if isBlocking {
      guest.vcpu.requestNMI()
      _ = guest.run(cpuid)
      #expect(guest.entries.map(\.event) == [0x8000_0202, 0])
    }
    for _ in 0..<count { guest.vcpu.requestNMI() }
    let isWaited = isBlocking || count > 1
    _ = guest.run(isWaited ? [cpuid, window, cpuid] : [cpuid, cpuid])
    let expected: [UInt32] =
      isBlocking ? [0, 0, 0x8000_0202, 0] : isWaited ? [0x8000_0202, 0, 0x8000_0202, 0] : [0x8000_0202, 0, 0]
    #expect(guest.entries.map(\.event) == expected)
    #expect(guest.entries.last?.waitsForNMIWindow == false)
  }

  @Test("HLT waits for an interrupt, without an entry, and goes on behind the instruction with it")
  func halt() throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    let halt = ScriptedExit.instruction(.hlt, length: 1).with(interruptsEnabled: true)
    for _ in 0..<2 {
      guard case .halted = guest.run(halt) else {
        Issue.record("not halted")
        return
      }
    }
    #expect(guest.entries.isEmpty, "a halted guest is not entered")
    guest.machine.bus.setLine(5, true)
    let request = guest.run([])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [0x8000_0035] && guest.entries.first?.rip == 0xFFF1)
  }

  @Test("HLT right after STI takes the interrupt that is waiting: the shadow ends with it")
  func haltAfterSTI() throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.run(cpuid.with(interruptsEnabled: false))
    guest.machine.bus.setLine(5, true)
    let halt = ScriptedExit.instruction(.hlt, length: 1).with(interruptsEnabled: true).with(interruptibility: 1)
    let request = guest.run([halt])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [0, 0x8000_0035] && guest.entries.last?.rip == 0xFFF3)
  }

  @Test("HLT with RFLAGS.IF = 0 is for ever, whether or not an interrupt is requested", arguments: [false, true])
  func haltForEver(isRequested: Bool) throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    guest.machine.bus.setLine(5, isRequested)
    guard case .stopped(.haltedForEver) = guest.run(.instruction(.hlt, length: 1).with(interruptsEnabled: false)) else {
      Issue.record("it goes on")
      return
    }
  }

  @Test(
    "A page of the guest's memory is mapped when it is touched, without INVEPT; one that is not there stops the guest")
  func demandMapping() throws {
    let guest = try GuestOnModel()
    var touch = ScriptedExit(.eptViolation, qualification: 0x82)
    touch.guestPhysicalAddress = 0x1_2345
    var high = touch
    high.guestPhysicalAddress = UInt64(GuestOnModel.memorySize) - 1
    let request = guest.run([touch, high])
    #expect(request.isEnd)
    for address in [0x1_2000, UInt64(GuestOnModel.memorySize) - 4096] {
      let found = guest.machine.tables.translation(of: address)
      #expect(found?.physical.rawValue == guest.backing.rawValue + address && found?.permissions == .all)
    }
    let invepts = guest.processor.trace.accesses.count { if case .invept = $0 { true } else { false } }
    #expect(invepts == 1, "the one after the load")
    for address in [UInt64(GuestOnModel.memorySize), 0xFEE0_0000, 1 << 40, ~0] {
      let guest = try GuestOnModel()
      touch.guestPhysicalAddress = address
      let request = guest.run(touch)
      #expect(request.stopText?.hasPrefix("the guest wrote to 0x") == true, "\(request)")
    }
  }

  @Test(
    "An access that the tables do not allow although the page is mapped stops the guest instead of repeating for ever")
  func forbiddenAccess() throws {
    let guest = try GuestOnModel()
    var touch = ScriptedExit(.eptViolation, qualification: 0x84)
    touch.guestPhysicalAddress = 0x5000
    // The second time the processor has found the page, with all permissions: bits 5:3.
    var again = ScriptedExit(.eptViolation, qualification: 0xBC)
    again.guestPhysicalAddress = 0x5000
    let request = guest.run([touch, again])
    #expect(
      request.stopText?.hasPrefix("the guest fetched an instruction from 0x0000000000005000") == true, "\(request)")
  }

  @Test("A page that another processor has mapped since the exit is not missing")
  func mappedByAnother() throws {
    let guest = try GuestOnModel()
    var touch = ScriptedExit(.eptViolation, qualification: 0x84)
    touch.guestPhysicalAddress = 0x5000
    #expect(guest.run([touch, touch]).isEnd)
  }

  @Test("When the pages for tables run out, the guest stops and says so")
  func outOfPages() throws {
    let guest = try GuestOnModel(pages: 2)
    var touch = ScriptedExit(.eptViolation, qualification: 0x81)
    touch.guestPhysicalAddress = 0x5000
    let request = guest.run(touch)
    #expect(request.stopText == "Skep has no memory left for extended page tables")
  }

  @Test(
    "F5 an event whose delivery touched a page that was not mapped is delivered again, with the page",
    arguments: [
      (0x8000_0031, 0, 0), (0x8000_0202, 0, 0), (0x8000_0480, 0, 2), (0x8000_0603, 0, 1), (0x8000_0501, 0, 1),
      (0x8000_0306, 0, 0), (0x8000_0B0E, 0x1F, 0), (0x8000_0B08, 0, 0),
    ] as [(UInt32, UInt32, UInt32)])
  func redelivery(event: UInt32, errorCode: UInt32, length: UInt32) throws {
    let guest = try GuestOnModel()
    guest.enterProtectedMode()
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    var touch = ScriptedExit(.eptViolation, qualification: 0x82, instructionLength: length)
    touch.guestPhysicalAddress = 0x7000
    touch.idtVectoringInformation = IDTVectoringInformation(rawValue: event | 1 << 12)
    touch.idtVectoringErrorCode = errorCode
    if event == 0x8000_0202 { touch = touch.with(interruptibility: 8) }
    let request = guest.run([touch, cpuid])
    #expect(request.isEnd, "\(request)")
    #expect(guest.entries.map(\.event) == [0, event, 0], "once")
    let entry = try #require(guest.entries.dropFirst().first)
    #expect(entry.errorCode == errorCode)
    if length != 0 { #expect(entry.instructionLength == length) }
    #expect(!entry.isBlockedByNMI || event == 0x8000_0202)
    #expect(guest.machine.tables.translation(of: 0x7000) != nil)
    #expect(guest.processor.failedCheck == nil)
  }

  @Test("F5 an IRET that faulted on a page that was not mapped has not ended blocking by NMI")
  func nmiUnblocking() throws {
    for (qualification, blocked) in [(0x1082, true), (0x82, false)] as [(UInt64, Bool)] {
      let guest = try GuestOnModel()
      var touch = ScriptedExit(.eptViolation, qualification: qualification)
      touch.guestPhysicalAddress = 0x7000
      let request = guest.run(touch)
      #expect(request.isEnd && guest.entries.last?.isBlockedByNMI == blocked)
    }
  }

  @Test("D9 whatever the guest and its devices do, the entry controls and windows are as the state demands")
  func randomGuest() throws {
    for seed in 0..<20 as Range<UInt64> {
      var numbers = RandomNumbers(seed: seed)
      let guest = try GuestOnModel()
      guest.programInterruptControllers()
      _ = guest.run(cpuid)
      var lines: [UInt8: Bool] = [:]
      var (requestedNMIs, injectedNMIs) = (0, 0)
      for step in 0..<200 {
        let line = UInt8.random(in: 5...7, using: &numbers)
        lines[line] = numbers.chance(50)
        guest.machine.bus.setLine(line, lines[line] ?? false)
        if numbers.chance(20) {
          guest.vcpu.requestNMI()
          requestedNMIs += 1
        }
        let kinds: [ScriptedExit] = [
          cpuid, .instruction(.vmcall), .io(port: 0x20, count: 1, isIn: false, rax: 0x20),
          .io(port: 0x80, count: 1, isIn: true), .instruction(.wbinvdOrWBNOINVD),
        ]
        var exit = (kinds.randomElement(using: &numbers) ?? cpuid).with(interruptsEnabled: numbers.chance(50))
        if numbers.chance(30) { exit = exit.with(interruptibility: 0) }
        let request = guest.run(exit)
        guard request.isEnd, guest.processor.faults.isEmpty, guest.processor.failedCheck == nil else {
          Issue.record("seed \(seed), step \(step): \(request)")
          return
        }
        for entry in guest.entries where entry.event == 0x8000_0202 {
          injectedNMIs += 1
          #expect(injectedNMIs < requestedNMIs || !entry.waitsForNMIWindow)
        }
        #expect(injectedNMIs <= requestedNMIs)
        let last = try #require(guest.entries.last)
        let pending = guest.machine.bus.interruptPending
        #expect(last.waitsForInterruptWindow == pending, "seed \(seed), step \(step)")
      }
    }
  }
}
