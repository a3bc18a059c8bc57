import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// What the processor leaves to Skep of a local APIC that it helps with: exits 43, 44, 45 and 56, and MOV to CR8 without
/// that help.
@Suite("Exits for the local APIC") struct LocalAPICExitTests {
  private let cpuid = ScriptedExit.instruction(.cpuid)

  /// Programs a pin of the I/O APIC, for the first processor.
  private func program(_ pin: UInt64, _ entry: UInt64, in guest: GuestOnModel) {
    guest.machine.bus.store(0x10 + 2 * pin, at: IOAPIC.address, byteCount: 4, at: 0)
    guest.machine.bus.store(entry, at: IOAPIC.address + 0x10, byteCount: 4, at: 0)
  }

  private func entry(of pin: UInt64, in guest: GuestOnModel) -> UInt64 {
    guest.machine.bus.store(0x10 + 2 * pin, at: IOAPIC.address, byteCount: 4, at: 0)
    return guest.machine.bus.load(IOAPIC.address + 0x10, byteCount: 4, at: 0)
  }

  /// A vector, the task priority that holds it back, a lower one, and whether that lets it in.
  private static let priorities: [(vector: UInt8, before: UInt8, after: UInt8, isDelivered: Bool)] = [
    (0x41, 0x50, 0x30, true), (0x41, 0x40, 0x3F, true), (0x41, 0xFF, 0x00, true), (0xF1, 0xFF, 0xE0, true),
    (0x11, 0x10, 0x00, true), (0x41, 0x50, 0x40, false), (0x41, 0xF0, 0x41, false),
  ]

  @Test(
    "F3 43: the processor is told when to exit, and what the task priority has held back goes in",
    arguments: priorities)
  func tprBelowThreshold(_ row: (vector: UInt8, before: UInt8, after: UInt8, isDelivered: Bool)) throws {
    let guest = try GuestOnModel(options: .useTPRShadow)
    guest.vcpu.taskPriority = row.before
    _ = guest.machine.mailboxes[0].post(vector: row.vector, isLevelTriggered: false)
    let page = guest.vcpu.virtualAPICPage
    var thresholds: [UInt8] = []
    // The guest's MOV to CR8 makes no exit but that for the threshold.
    func lower(_ exit: ScriptedExit) -> ScriptedExit {
      var exit = exit.with(interruptsEnabled: true)
      exit.guest = { [unowned guest] _, _ in
        thresholds.append(UInt8(truncatingIfNeeded: guest.contents(.tprThreshold).rawValue))
        page.storeBytes(of: row.after, toByteOffset: 0x80, as: UInt8.self)
      }
      return exit
    }
    let request = guest.run([lower(row.isDelivered ? ScriptedExit(.tprBelowThreshold) : cpuid), lower(cpuid)])
    #expect(request.isEnd)
    let event: UInt32 = row.isDelivered ? 0x8000_0000 | UInt32(row.vector) : 0
    #expect(guest.entries.map(\.event) == [0, event, 0])
    #expect(thresholds == [row.vector >> 4, row.isDelivered ? 0 : row.vector >> 4])
  }

  @Test("F3 28: MOV to CR8 lets in what the task priority has held back", arguments: priorities)
  func cr8(_ row: (vector: UInt8, before: UInt8, after: UInt8, isDelivered: Bool)) throws {
    let guest = try GuestOnModel()
    func move(_ priority: UInt8) -> ScriptedExit {
      .instruction(BasicExitReason(rawValue: 28), qualification: 0x308, length: 3) { registers, _ in
        registers.rbx = UInt64(priority >> 4)
      }.with(interruptsEnabled: true)
    }
    _ = guest.run(move(row.before))
    _ = guest.machine.mailboxes[0].post(vector: row.vector, isLevelTriggered: false)
    let request = guest.run([cpuid, move(row.after), cpuid])
    #expect(request.isEnd)
    let event: UInt32 = row.isDelivered ? 0x8000_0000 | UInt32(row.vector) : 0
    #expect(guest.entries.map(\.event) == [0, 0, event, 0])
  }

  /// Offset in the page, the value, whether that is a read, and whether the guest gets an interrupt with vector 41H.
  @Test(
    "F3 44: an access to the APIC-access page is emulated",
    arguments: [
      (0x300, 0x4_4041, false, true), (0x300, 0x4_4041, true, false), (0x380, 0, true, false),
      (0x080, 0x50, false, false), (0x030, 0x0105_0014, true, false),
    ] as [(UInt64, UInt64, Bool, Bool)])
  func apicAccess(offset: UInt64, value: UInt64, isRead: Bool, isInterrupted: Bool) throws {
    let guest = try GuestOnModel(options: [.useTPRShadow, .virtualizeAPICAccesses])
    let (code, tables) = (0x1000, 0x8000) as (UInt64, UInt64)
    _ = IdentityPageTables.write(to: guest.memory, at: tables)
    guest.vcpu.start(LinuxEntry(rip: code, rsi: 0, rsp: 0x7000, cr3: tables, gdtBase: 0, gdtLimit: 0))
    guest.vcpu.flags = RFLAGS(rawValue: 0x202)
    let page = guest.vcpu.virtualAPICPage
    if isRead { page.storeBytes(of: UInt32(value), toByteOffset: Int(offset), as: UInt32.self) }
    // MOV EDX, [RAX] and MOV [RAX], ECX.
    for (index, byte) in [isRead ? 0x8B : 0x89, isRead ? 0x10 : 0x08].enumerated() {
      _ = guest.memory.store(UInt8(byte), at: code + UInt64(index))
    }
    let access = ScriptedExit.instruction(.apicAccess, qualification: offset | (isRead ? 0 : 1 << 12)) { registers, _ in
      (registers.rax, registers.rcx, registers.rdx) = (LocalAPIC.usualAddress + offset, value, 0)
    }
    let request = guest.run(access)
    #expect(request.isEnd)
    #expect(guest.entries.map(\.rip) == [code, code + 2])
    #expect(guest.entries.map(\.event) == [0, isInterrupted ? 0x8000_0041 : 0])
    let found = isRead ? guest.vcpu.register(.rdx) : UInt64(page.load(fromByteOffset: Int(offset), as: UInt32.self))
    #expect(found == value)
  }

  @Test("F3 45: the I/O APIC gets the EOI of a level, and requests it again while its line is high", arguments: 1...3)
  func virtualizedEOI(count: Int) throws {
    let guest = try GuestOnModel(options: [.useTPRShadow, .virtualInterruptDelivery, .activateVMXPreemptionTimer])
    program(9, 0x8055, in: guest)
    guest.machine.bus.setLine(9, true)
    guest.processor.program = GuestProgram([.sti, .nop, .nop, .hlt])
    guest.processor.onStep = { [unowned guest] in
      // The handler serves the device.
      if guest.processor.program?.deliveries.count == count { guest.machine.bus.setLine(9, false) }
    }
    guest.virtualProcessor.withDevices { _ in }
    #expect(entry(of: 9, in: guest) == 0xC055, "remote IRR")
    guard case .halted = guest.virtualProcessor.run(&guest.vcpu) else {
      Issue.record("not halted")
      return
    }
    #expect(guest.processor.program?.deliveries.map(\.vector) == Array(repeating: 0x55, count: count))
    #expect(entry(of: 9, in: guest) == 0x8055, "no remote IRR")
    #expect(guest.processor.faults.isEmpty)
  }

  /// Offset of a register, and what the processor has written to it.
  @Test(
    "F3 56: what the processor has written to the virtual-APIC page takes effect, once",
    arguments: [
      (0x300, 0x4_4041, 0x8000_0041), (0x300, 0x4_4400, 0x8000_0202), (0x0D0, 0x1200_0000, 0), (0x320, 0x2_0041, 0),
      (0x0F0, 0x0FF, 0),
    ] as [(Int, UInt32, UInt32)])
  func apicWrite(offset: Int, value: UInt32, event: UInt32) throws {
    let guest = try GuestOnModel(options: [.useTPRShadow, .virtualizeAPICAccesses, .apicRegisterVirtualization])
    let page = guest.vcpu.virtualAPICPage
    var write = ScriptedExit(.apicWrite, qualification: UInt64(offset)).with(interruptsEnabled: true)
    write.guest = { _, _ in page.storeBytes(of: value, toByteOffset: offset, as: UInt32.self) }
    let request = guest.run([write, cpuid.with(interruptsEnabled: true)])
    #expect(request.isEnd)
    #expect(guest.entries.map(\.rip) == [0xFFF0, 0xFFF0, 0xFFF2], "RIP is past the instruction")
    #expect(guest.entries.map(\.event) == [0, event, 0])
    let identity = LocalAPICIdentity(
      id: 0, mode: .xAPIC, ldr: offset == 0x0D0 ? value : 0, dfr: ~0, isSoftwareEnabled: offset != 0x0F0)
    #expect(guest.machine.mailboxes[0].identity.rawValue == identity.rawValue)
    #expect(guest.virtualProcessor.localAPIC.isTimerPeriodic == (offset == 0x320))
  }

  @Test(
    "An I/O APIC's pin of delivery mode ExtINT asks the 8259As for the vector, once for each edge",
    arguments: [(0x700, true), (0x1_0700, false), (0x041, false)] as [(UInt64, Bool)])
  func extINT(_ entry: UInt64, isFromPair: Bool) throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    _ = guest.virtualProcessor.localAPIC.write(offset: LocalAPICRegister.lint0, 0x1_0000, at: 0)
    program(5, entry, in: guest)
    _ = guest.run(cpuid.with(interruptsEnabled: true))
    guest.machine.bus.setLine(5, true)
    let request = guest.run(cpuid.with(interruptsEnabled: true))
    #expect(request.isEnd)
    let event: UInt32 = isFromPair ? 0x8000_0035 : entry == 0x041 ? 0x8000_0041 : 0
    #expect(guest.entries.map(\.event) == [event, 0])
    #expect(guest.machine.bus.interruptPending == !isFromPair, "it has been acknowledged")
    // Line 6 has no such pin: the pair's request for it reaches no processor.
    guest.machine.bus.write(port: 0x20, size: .byte, value: 0x20, at: 0)
    guest.machine.bus.setLine(6, true)
    _ = guest.run([cpuid, cpuid])
    #expect(guest.entries.map(\.event) == [0, 0, 0])
  }
}
