import Foundation
import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// What one processor does to another, or leaves to it: the first of two on `ProcessorModel`, the other is the test.
@Suite("Several processors") struct SeveralProcessorsTests {
  private let cpuid = ScriptedExit.instruction(.cpuid)
  private let halt = ScriptedExit.instruction(.hlt, length: 1).with(interruptsEnabled: false)

  /// A guest of two processors, the second of which has its local APIC enabled and its mailbox empty.
  private func twoProcessors(_ options: OptionalControls = []) throws -> GuestOnModel {
    let guest = try GuestOnModel(options: options, processorCount: 2)
    guest.machine.mailboxes[1].publish(
      LocalAPICIdentity(id: 1, mode: .xAPIC, ldr: 0, dfr: ~0, isSoftwareEnabled: true))
    return guest
  }

  /// Programs a pin of the I/O APIC: not masked, edge-triggered, physical destination.
  private func program(_ pin: UInt64, _ low: UInt64, destination: UInt64, in guest: GuestOnModel) {
    for (index, value) in [(0x11 + 2 * pin, destination << 24), (0x10 + 2 * pin, low)] {
      guest.machine.bus.store(index, at: IOAPIC.address, byteCount: 4, at: 0)
      guest.machine.bus.store(value, at: IOAPIC.address + 0x10, byteCount: 4, at: 0)
    }
  }

  /// What is shared with a thread that stands for a processor.
  private final class Box: @unchecked Sendable {
    let guest: GuestOnModel
    var request: HostRequest?
    let isDone = DispatchSemaphore(value: 0)
    init(_ guest: GuestOnModel) { self.guest = guest }
  }

  /// Another processor's news come between this one's look and its taking them for known.
  @Test("News that come while a processor waits for the lock are not taken for known unseen")
  func newsUnderLock() throws {
    let box = Box(try twoProcessors())
    box.guest.machinePointer.pointee.lock.acquire()
    Thread {
      box.request = box.guest.virtualProcessor.requestForNews()
      box.isDone.signal()
    }.start()
    usleep(50_000)
    box.guest.machinePointer.pointee.bus.write(port: 0xF4, size: .byte, value: 1, at: 0)
    box.guest.machinePointer.pointee.lock.release()
    box.isDone.wait()
    let isKnown = !box.guest.machine.bus.hasNews
    guard case .stopped(.exit(status: 3)) = box.request else {
      Issue.record("the news are lost: \(String(describing: box.request)), known: \(isKnown)")
      return
    }
    #expect(!isKnown)
  }

  @Test("Kicks are sent before the guest is entered, whatever another processor has taken for known")
  func kicks() throws {
    let guest = try twoProcessors()
    program(5, 0x41, destination: 1, in: guest)
    _ = guest.run(cpuid)
    guest.machine.bus.setLine(5, true)
    guest.virtualProcessor.withDevices { $0.pointee.bus.hasNews = true }
    guest.machine.bus.hasNews = false
    guard case .kick = guest.run(cpuid) else {
      Issue.record("not kicked")
      return
    }
    #expect(guest.entries.isEmpty)
    #expect(guest.virtualProcessor.takeKicks().exits == ProcessorSet(1))
    let request = guest.run(cpuid)
    #expect(request.isEnd)
  }

  @Test("A device's interrupt for another processor is a kick even if that one has taken the news for known")
  func kicksAfterIO() throws {
    let guest = try twoProcessors()
    program(4, 0x41, destination: 1, in: guest)
    _ = guest.run(cpuid)
    // THRE interrupts: the OUT to IER raises line 4. Between it and the next entry the other processor looks.
    guest.machine.bus.write(port: 0x3FC, size: .byte, value: 0x08, at: 0)
    _ = guest.run(cpuid)
    var request = guest.run([.io(port: 0x3F9, count: 1, isIn: false, rax: 2), cpuid])
    if case .kick = request {} else { Issue.record("not kicked: \(request)") }
    _ = guest.virtualProcessor.takeKicks()
    request = guest.run(cpuid)
    #expect(request.isEnd)
  }

  @Test("The last processor to fall asleep ends the guest, though it wakes for an interrupt first")
  func lastSleeper() throws {
    let guest = try twoProcessors()
    guest.machine.sleepers = 1
    _ = guest.machine.mailboxes[1].post(vector: 0x41, isLevelTriggered: false)
    guard case .halted = guest.run(halt) else {
      Issue.record("the other can still wake")
      return
    }
    // The other takes its interrupt, which does not wake it, and sends one here.
    guest.machine.mailboxes[1].clear()
    _ = guest.machine.mailboxes[0].post(vector: 0x42, isLevelTriggered: false)
    guard case .stopped(.haltedForEver) = guest.run([]) else {
      Issue.record("nobody notices")
      return
    }
  }

  /// An I/O APIC's delivery mode, and whether the guest may yet wake.
  @Test(
    "A halted guest may yet be woken by an NMI or an INIT of a device's",
    arguments: [(0x041, false), (0x400, true), (0x500, true), (0x1_0400, false), (0x741, false)] as [(UInt64, Bool)])
  func deviceEvents(_ entry: UInt64, mayWake: Bool) throws {
    let guest = try GuestOnModel()
    program(2, entry, destination: 0, in: guest)
    let request = guest.run(halt)
    switch request {
    case .halted: #expect(mayWake)
    case .stopped(.haltedForEver): #expect(!mayWake)
    default: Issue.record("neither halted nor at its end: \(request)")
    }
  }

  @Test("The bootstrap processor's INIT restarts the machine, whether or not a SIPI has come with it")
  func initOfBootstrapProcessor() throws {
    for withSIPI in [false, true] {
      let guest = try twoProcessors()
      _ = guest.machine.mailboxes[0].post(PostedEvents.Event.initialize)
      if withSIPI { _ = guest.machine.mailboxes[0].post(PostedEvents.Event.startUp(vector: 8)) }
      guard case .stopped(.reset(.initialize)) = guest.run([cpuid]) else {
        Issue.record("not restarted, SIPI: \(withSIPI)")
        return
      }
      #expect(guest.entries.isEmpty)
    }
  }

  @Test("An application processor that takes INIT and SIPI at its HLT starts")
  func initAndSIPIAtHLT() throws {
    let guest = try twoProcessors()
    // Any but the bootstrap processor.
    guard case .baseChanged = guest.virtualProcessor.localAPIC.writeMSR(0x1B, 0xFEE0_0800, at: 0) else {
      Issue.record("IA32_APIC_BASE")
      return
    }
    var exit = halt
    exit.guest = { [unowned guest] _, _ in
      _ = guest.machine.mailboxes[0].post(PostedEvents.Event.initialize)
      _ = guest.machine.mailboxes[0].post(PostedEvents.Event.startUp(vector: 8))
    }
    let request = guest.run([exit, cpuid])
    #expect(request.isEnd)
    #expect(guest.contents(.guestCSSelector).rawValue == 0x800)
  }

  @Test(
    "WRMSR to the time-stamp counter, or to its adjustment, has the host set its timer for the deadline anew",
    arguments: [0x10, 0x3B] as [UInt64])
  func deadline(_ msr: UInt64) throws {
    let guest = try GuestOnModel()
    _ = guest.virtualProcessor.localAPIC.write(offset: 0x320, 0x4_0041, at: 0)
    _ = guest.virtualProcessor.localAPIC.writeMSR(0x6E0, 1 << 40, at: 0)
    #expect(guest.virtualProcessor.nextDeadline != .max)
    let request = guest.run(
      .instruction(.wrmsr) { registers, _ in
        (registers.rcx, registers.rax, registers.rdx) = (msr, 0, 0x10)
      })
    if case .deadlineChanged = request {} else { Issue.record("the timer keeps its deadline: \(request)") }
  }

  @Test(
    "A deadline that has come, though nobody has noticed, is not moved by WRMSR to the time-stamp counter",
    arguments: [0x10, 0x3B] as [UInt64])
  func passedDeadline(_ msr: UInt64) throws {
    let guest = try GuestOnModel()
    _ = guest.virtualProcessor.localAPIC.write(offset: 0x320, 0x4_0041, at: 0)
    _ = guest.virtualProcessor.localAPIC.writeMSR(0x6E0, guest.vcpu.timestampCounterOffset &+ 1, at: 0)
    #expect(guest.virtualProcessor.nextDeadline == 1)
    // Far back.
    _ = guest.run(
      .instruction(.wrmsr) { registers, _ in
        (registers.rcx, registers.rax, registers.rdx) = (msr, 0, 0x8000_0000)
      }.with(interruptsEnabled: true))
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    #expect(guest.entries.map(\.event) == [0x8000_0041, 0])
  }

  @Test(
    "A periodic timer leaves the guest time for instructions; another may expire as soon as it is set again",
    arguments: [(0x2_0041, true), (0x0041, false), (0x4_0041, false)] as [(UInt32, Bool)])
  func earliestExpiry(_ entry: UInt32, isPeriodic: Bool) throws {
    let guest = try GuestOnModel(options: .activateVMXPreemptionTimer)
    func set(at now: UInt64) {
      _ = guest.virtualProcessor.localAPIC.write(offset: LocalAPICRegister.initialCount, 1, at: now)
      _ = guest.virtualProcessor.localAPIC.writeMSR(0x6E0, guest.vcpu.timestampCounterOffset &+ now &+ 1, at: now)
    }
    _ = guest.virtualProcessor.localAPIC.write(offset: LocalAPICRegister.timer, entry, at: 0)
    set(at: 0)
    let now: UInt64 = 1 << 40
    guest.virtualProcessor.advance(to: now)
    if !isPeriodic { set(at: now) }
    let (deadline, earliest) = (guest.virtualProcessor.nextDeadline, guest.virtualProcessor.earliestExpiry)
    #expect(deadline > now && deadline <= now + 2)
    #expect(earliest == (isPeriodic ? now + 2000 : 0))
  }

  @Test(
    "An edge of INTR that comes within one access, while INTR has been up, is one for LINT0",
    arguments: [(0x041, 0x8000_0041), (0x400, 0x8000_0202), (0x8041, 0x8000_0041), (0x1_0041, 0)] as [(UInt32, UInt32)])
  func edge(_ entry: UInt32, event: UInt32) throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.virtualProcessor.localAPIC.write(offset: LocalAPICRegister.lint0, 0x1_0000, at: 0)
    guest.machine.bus.setLine(5, true)
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    _ = guest.virtualProcessor.localAPIC.write(offset: LocalAPICRegister.lint0, entry & ~0x8000, at: 0)
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    #expect(guest.entries.map(\.event) == [0, 0])
    _ = guest.virtualProcessor.localAPIC.write(offset: LocalAPICRegister.lint0, entry, at: 0)
    guest.machine.bus.setLine(5, false)
    guest.machine.bus.setLine(5, true)
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    #expect(guest.entries.map(\.event) == [event, 0])
  }

  @Test(
    "HLT with RFLAGS.IF = 0 is not for ever where INTR is an NMI",
    arguments: [(0x400, true), (0x1_0400, false), (0x041, false), (0x700, false)] as [(UInt32, Bool)])
  func haltedUntilNMI(_ entry: UInt32, mayWake: Bool) throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.virtualProcessor.localAPIC.write(offset: LocalAPICRegister.lint0, entry, at: 0)
    switch guest.run(halt) {
    case .halted: #expect(mayWake)
    case .stopped(.haltedForEver): #expect(!mayWake)
    default: Issue.record("neither halted nor at its end")
    }
    guest.machine.bus.setLine(5, true)
    let request = guest.run(cpuid)
    #expect(request.isEnd == mayWake)
    if mayWake { #expect(guest.entries.map(\.event) == [0x8000_0202, 0]) }
  }

  /// LVT LINT0, and the event that INTR is.
  @Test(
    "The 8259As' INTR is LINT0, of every delivery mode",
    arguments: [(0x700, 0x8000_0035), (0x041, 0x8000_0041), (0x400, 0x8000_0202), (0x1_0041, 0), (0x8041, 0x8000_0041)]
      as [(UInt32, UInt32)])
  func localInterrupt(_ entry: UInt32, event: UInt32) throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.virtualProcessor.localAPIC.write(offset: LocalAPICRegister.lint0, entry, at: 0)
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    guest.machine.bus.setLine(5, true)
    let request = guest.run(cpuid.with(interruptsEnabled: true))
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [event, 0])
    // It has risen once.
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    #expect(guest.entries.map(\.event) == [0, 0])
  }
}
