import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// A guest in 64-bit mode whose instructions access devices.
struct DeviceGuest {
  let guest: GuestOnModel
  static let code: UInt64 = 0x1000
  private static let tables: UInt64 = 0x8000

  /// A guest that takes interrupts.
  init(options: OptionalControls = [], processorCount: Int = 1) throws {
    guest = try GuestOnModel(options: options, processorCount: processorCount)
    _ = IdentityPageTables.write(to: guest.memory, at: Self.tables)
    guest.vcpu.start(LinuxEntry(rip: Self.code, rsi: 0, rsp: 0x7000, cr3: Self.tables, gdtBase: 0, gdtLimit: 0))
    guest.vcpu.flags = RFLAGS(rawValue: 0x202)
  }

  /// The exit of `bytes`, executed with `value` in RCX and `address`, of a device, in RAX.
  func exit(_ bytes: [UInt8], at address: UInt64, _ value: UInt64 = 0, isWrite: Bool) -> ScriptedExit {
    var exit = ScriptedExit(.eptViolation, qualification: isWrite ? 0x182 : 0x181)
    exit.guestPhysicalAddress = address
    exit.guestLinearAddress = address
    exit[.guestRIP] = Self.code
    let memory = guest.memory
    exit.guest = { registers, _ in
      (registers.rax, registers.rcx) = (address, value)
      for (index, byte) in bytes.enumerated() { _ = memory.store(byte, at: Self.code + UInt64(index)) }
    }
    return exit
  }

  /// MOV [RAX], ECX; or an ADD that the quick path does not know, where the register has been 0.
  func store(_ value: UInt64, at address: UInt64, quickly: Bool = true) -> ScriptedExit {
    exit([quickly ? 0x89 : 0x01, 0x08], at: address, value, isWrite: true)
  }

  /// MOV EDX, [RAX].
  func load(_ address: UInt64) -> ScriptedExit { exit([0x8B, 0x10], at: address, isWrite: false) }
}

@Suite("Exits of instructions that access devices") struct MMIOExitTests {
  private let select = IOAPIC.address
  private let window = IOAPIC.address + 0x10
  /// Line 9, with level, as vector 55H.
  private let entry: UInt64 = 0x8055
  private let entryIndex: UInt64 = 0x10 + 2 * 9

  @Test("A store that interrupts another processor is not the end of the devices' news", arguments: [true, false])
  func newsWithKick(quickly: Bool) throws {
    let device = try DeviceGuest(processorCount: 2)
    device.guest.machine.mailboxes[1].publish(
      LocalAPICIdentity(id: 1, mode: .xAPIC, ldr: 0, dfr: ~0, isSoftwareEnabled: true))
    device.guest.machine.bus.store(entryIndex + 1, at: select, byteCount: 4, at: 0)
    device.guest.machine.bus.store(1 << 24, at: window, byteCount: 4, at: 0)
    device.guest.machine.bus.store(entryIndex, at: select, byteCount: 4, at: 0)
    let mask: UInt64 = 1 << 16
    device.guest.machine.bus.store(entry | mask, at: window, byteCount: 4, at: 0)
    device.guest.machine.bus.setLine(9, true)
    _ = device.guest.run([])
    device.guest.machine.armedDeadline = 1
    // By ADD it is -10000H.
    let exit = device.store(quickly ? entry : 0 &- mask, at: window, quickly: quickly)
    var requests: [HostRequest] = [device.guest.run([exit])]
    device.guest.machine.armedDeadline = device.guest.machine.bus.nextDeadline
    requests.append(device.guest.run([]))
    let kicks = device.guest.virtualProcessor.takeKicks()
    guard case .deviceDeadlineChanged = requests[0], case .kick = requests[1] else {
      Issue.record("\(requests)")
      return
    }
    #expect(kicks.exits == ProcessorSet(1))
  }

  @Test("An active line that a store to the I/O APIC unmasks interrupts at once", arguments: [true, false])
  func unmasking(quickly: Bool) throws {
    let device = try DeviceGuest()
    device.guest.machine.bus.setLine(9, true)
    let mask: UInt64 = 1 << 16
    let request = device.guest.run([
      device.store(entryIndex, at: select), device.store(entry | mask, at: window),
      // By ADD it is -10000H.
      device.store(quickly ? entry : 0 &- mask, at: window, quickly: quickly),
    ])
    #expect(request.isEnd)
    #expect(device.guest.entries.map(\.event) == [0, 0, 0, 0x8000_0055])
  }

  /// Whether the timer sends messages, and the store that comes too late: to its message, or to the mask of its pin.
  @Test(
    "What is due when a store changes where it goes, goes where it was to go", arguments: [false, true], [false, true])
  func dueBeforeStore(isMessage: Bool, quickly: Bool) throws {
    let device = try DeviceGuest()
    func store(_ value: UInt64, at address: UInt64) {
      device.guest.machine.bus.store(value, at: address, byteCount: address < HPET.address ? 4 : 8, at: 0)
    }
    store(0x10 + 2 * 20, at: select)
    store(0x61, at: window)
    store(0xFEE0_0000_0000_0061, at: HPET.address + 0x110)
    store(isMessage ? 0x4004 : 0x4 | 20 << 9, at: HPET.address + 0x100)
    store(1, at: HPET.address + 0x108)
    store(1, at: HPET.address + 0x10)
    device.guest.machine.armedDeadline = device.guest.machine.bus.nextDeadline
    let late =
      isMessage
      ? device.store(0xFFFF_FFFF, at: HPET.address + 0x114, quickly: quickly)
      : device.store(1 << 16, at: window, quickly: quickly)
    let request = device.guest.run([late, .instruction(.cpuid)])
    if case .deviceDeadlineChanged = request { _ = device.guest.run([]) }
    #expect(device.guest.entries.contains { $0.event == 0x8000_0061 }, "\(request) \(device.guest.entries)")
  }

  @Test("An active line interrupts again after EOI, through MMIO and in x2APIC mode", arguments: [false, true])
  func endOfInterrupt(isX2APIC: Bool) throws {
    let device = try DeviceGuest()
    device.guest.machine.bus.setLine(9, true)
    let end: ScriptedExit
    var start: [ScriptedExit] = []
    if isX2APIC {
      start = [
        .instruction(.wrmsr) { registers, _ in
          (registers.rcx, registers.rax, registers.rdx) = (0x1B, 0xFEE0_0D00, 0)
        }
      ]
      end = .instruction(.wrmsr) { registers, _ in (registers.rcx, registers.rax, registers.rdx) = (0x80B, 0, 0) }
    } else {
      end = device.store(0, at: LocalAPIC.usualAddress + 0xB0)
    }
    for exit in start { _ = device.guest.run(exit) }
    let request = device.guest.run([
      device.store(entryIndex, at: select), device.store(entry, at: window), end, .instruction(.cpuid),
    ])
    #expect(request.isEnd)
    #expect(device.guest.entries.map(\.event) == [0, 0, 0x8000_0055, 0x8000_0055, 0])
  }

  @Test("The HPET's counter is read, and the local APIC's version, by what the quick path knows and what it does not")
  func loads() throws {
    let device = try DeviceGuest()
    let guest = device.guest
    for (bytes, address, value) in [
      ([0x8B, 0x10], HPET.address, UInt64(HPET.eventTimerBlockID)),
      ([0x48, 0x8B, 0x10], HPET.address, HPET.tickLength * 1_000_000 << 32 | UInt64(HPET.eventTimerBlockID)),
      ([0x0F, 0xB7, 0x10], HPET.address, 0xA701), ([0x8B, 0x10], LocalAPIC.usualAddress + 0x30, 0x0105_0014),
      ([0x8B, 0x10], IOAPIC.address + 0x20, 0), ([0x8B, 0x10], 0xF000_0000, 0xFFFF_FFFF),
      ([0x48, 0x8B, 0x10], 0xF000_0000, ~0), ([0x8B, 0x10], 0x10_0000, 0xFFFF_FFFF),
    ] as [([UInt8], UInt64, UInt64)] {
      let request = guest.run(device.exit(bytes, at: address, isWrite: false))
      #expect(request.isEnd)
      #expect(guest.vcpu.registers.pointee.rdx == value, "\(bytes) \(address)")
      #expect(guest.entries.last?.rip == DeviceGuest.code + UInt64(bytes.count))
    }
  }

  @Test(
    "A fetch where there is no memory is #UD, of the walk for it or of an event's delivery the guest's end",
    arguments: [0x8000_0000, HPET.address, 0xFEE0_0000, 1 << 40] as [UInt64])
  func fetch(address: UInt64) throws {
    let guest = try DeviceGuest().guest
    var exit = ScriptedExit(.eptViolation, qualification: 0x184)
    exit.guestPhysicalAddress = address
    exit[.guestRIP] = 0x4000_0123
    let request = guest.run(exit)
    #expect(request.isEnd)
    #expect(guest.entries.map(\.event) == [0, 0x8000_0306] && guest.entries.last?.rip == 0x4000_0123)
    exit.qualification = 0x84
    #expect(guest.run(exit).stopText?.hasPrefix("the guest fetched an instruction from 0x") == true)
    exit.qualification = 0x184
    exit.idtVectoringInformation = IDTVectoringInformation(rawValue: 0x8000_0031)
    #expect(guest.run(exit).stopText?.hasPrefix("the guest fetched an instruction from 0x") == true)
  }

  @Test("A fetch from the APIC-access page is #UD")
  func fetchFromAPICAccessPage() throws {
    let guest = try DeviceGuest(options: [.useTPRShadow, .virtualizeAPICAccesses]).guest
    var touch = ScriptedExit(.eptViolation, qualification: 0x181)
    touch.guestPhysicalAddress = LocalAPIC.usualAddress
    #expect(guest.run(touch).isEnd)
    #expect(guest.machine.tables.translation(of: LocalAPIC.usualAddress)?.permissions == [.read, .write])
    touch.qualification = 0x19C
    for exit in [touch, ScriptedExit(.apicAccess, qualification: 0x2000)] {
      let request = guest.run(exit)
      #expect(request.isEnd)
      #expect(guest.entries.map(\.event) == [0, 0x8000_0306])
    }
  }

  @Test("Of an instruction that is not emulated the guest gets #UD, or stops, as the table says")
  func unsupported() throws {
    let device = try DeviceGuest()
    let undefined = device.guest.run(device.exit([0x0F, 0x58, 0x00], at: 0xF000_0000, isWrite: false))
    #expect(undefined.isEnd && device.guest.entries.last?.event == 0x8000_0306)
    let stop = device.guest.run(device.exit([0x0F, 0x00, 0x00], at: 0xF000_0000, isWrite: true))
    #expect(stop.stopText?.contains("by an instruction that Skep does not emulate: 0x0f 0x00 0x00") == true)
  }
}
