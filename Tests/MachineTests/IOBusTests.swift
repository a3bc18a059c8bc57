@testable import Machine
import Testing

@Suite struct IOBusTests {
  private func withBus(_ body: (inout IOBus) -> Void) {
    withTestBus(body)
  }

  @Test func `a port without a device reads all ones and ignores writes`() {
    let claimed: Set<UInt16> = Set(
      [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x61, 0x64, 0x71, 0x92, 0xcf9]
        + [0x22, 0x511] + Array(0x608...0x60b) + Array(0x40...0x42) + Array(0x3f8...0x3ff) + Array(0x600...0x605))
    withBus { bus in
      for port in UInt16(0)...0xffff where !claimed.contains(port) {
        #expect(bus.read(port: port, size: .byte, at: 0) == 0xff)
      }
      for port in [0x80, 0xed, 0x2f8, 0x1000, 0x60] as [UInt16] {
        bus.write(port: port, size: .byte, value: 0, at: 0)
        #expect(bus.read(port: port, size: .byte, at: 0) == 0xff)
      }
      #expect(bus.read(port: 0x1000, size: .word, at: 0) == 0xffff)
      #expect(bus.read(port: 0x1000, size: .doubleword, at: 0) == 0xffff_ffff)
      #expect(bus.request == nil)
    }
  }

  @Test func `an access of several bytes is split from the low port up`() {
    withBus { bus in
      bus.write(port: 0x3ff, size: .byte, value: 0x5a, at: 0)
      #expect(bus.read(port: 0x3fe, size: .word, at: 0) == 0x5ab0)
      #expect(bus.read(port: 0x3ff, size: .doubleword, at: 0) == 0xffff_ff5a)
      bus.write(port: 0x3fe, size: .word, value: 0x1234, at: 0)
      #expect(bus.read(port: 0x3ff, size: .byte, at: 0) == 0x12)
      bus.write(port: 0x70, size: .word, value: 0x770f, at: 0)
      #expect(bus.read(port: 0x71, size: .byte, at: 0) == 0x77)
      #expect(bus.read(port: 0xffff, size: .doubleword, at: 0) == 0xffff_ffff)
    }
  }

  @Test func `PCI's configuration mechanism is there and has no device`() {
    withBus { bus in
      // Linux's probe of mechanism #1.
      bus.write(port: 0xcfb, size: .byte, value: 0x01, at: 0)
      bus.write(port: 0xcf8, size: .doubleword, value: 0x8000_0000, at: 0)
      #expect(bus.read(port: 0xcf8, size: .doubleword, at: 0) == 0x8000_0000)
      for device in UInt32(0)..<32 {
        bus.write(port: 0xcf8, size: .doubleword, value: 0x8000_0003 | device << 11, at: 0)
        #expect(bus.read(port: 0xcf8, size: .doubleword, at: 0) == 0x8000_0000 | device << 11)
        #expect(bus.read(port: 0xcfc, size: .doubleword, at: 0) == 0xffff_ffff)
        #expect(bus.read(port: 0xcfe, size: .word, at: 0) == 0xffff)
      }
      #expect(bus.request == nil)
    }
  }

  @Test func `fw_cfg is selected by a word and read by bytes`() {
    withBus { bus in
      func item(_ key: UInt32) -> [UInt32] {
        bus.write(port: 0x510, size: .word, value: key, at: 0)
        return (0..<4).map { _ in bus.read(port: 0x511, size: .byte, at: 0) }
      }
      let signature = item(0)
      #expect(signature == "QEMU".utf8.map { UInt32($0) })
      let processors = item(5)
      #expect(processors == [1, 0, 0, 0])
      // A byte selects nothing.
      bus.write(port: 0x510, size: .word, value: 0, at: 0)
      bus.write(port: 0x510, size: .byte, value: 5, at: 0)
      let first = bus.read(port: 0x511, size: .byte, at: 0)
      #expect(first == 0x51)
    }
  }

  /// Writes of a byte, in order, and what the guest has asked for after them.
  @Test(
    arguments: [
      ([(0x64, 0xfe)], .reset(.keyboardController)),
      ([(0x64, 0xf0)], .reset(.keyboardController)),
      ([(0x64, 0xff)], nil),
      ([(0x64, 0xd1), (0x60, 0xdf)], nil),
      ([(0x64, 0xd1), (0x60, 0xfe)], .reset(.keyboardController)),
      ([(0x64, 0xd1), (0x60, 0xdf), (0x60, 0xfe)], nil),
      ([(0x60, 0xfe)], nil),
      ([(0x92, 0x02)], nil),
      ([(0x92, 0x03)], .reset(.systemControlPortA)),
      ([(0x92, 0x01)], .reset(.systemControlPortA)),
      ([(0xcf9, 0x02)], nil),
      ([(0xcf9, 0x02), (0xcf9, 0x06)], .reset(.resetControlRegister)),
      ([(0xcf9, 0x0e)], .reset(.resetControlRegister)),
      ([(0x605, 0x20)], .powerOff),
      ([(0x605, 0x34)], nil),
      ([(0x605, 0x00)], nil),
      ([(0x604, 0x20)], nil),
      ([(0xf4, 0x10)], .exit(status: 0x21)),
      ([(0xf5, 0x10)], nil),
      ("Shutdown".utf8.map { (0x8900, UInt32($0)) }, .powerOff),
      ("Shutdow".utf8.map { (0x8900, UInt32($0)) }, nil),
      ([(0x605, 0x20), (0x64, 0xfe)], .powerOff),
    ] as [([(UInt16, UInt32)], MachineRequest?)])
  func `requests to the machine`(writes: [(UInt16, UInt32)], request: MachineRequest?) {
    withBus { bus in
      for (port, value) in writes { bus.write(port: port, size: .byte, value: value, at: 0) }
      #expect(bus.request == request)
    }
  }

  @Test func `PM1a is in ACPI mode, has no event and powers off by a word`() {
    withBus { bus in
      bus.write(port: 0x600, size: .word, value: 0xffff, at: 0)
      bus.write(port: 0x602, size: .word, value: 0xffff, at: 0)
      #expect(bus.read(port: 0x600, size: .doubleword, at: 0) == 0x0721_0000)
      bus.write(port: 0x604, size: .word, value: 0x1400, at: 0)
      #expect(bus.read(port: 0x604, size: .word, at: 0) == 0x1401)
      #expect(bus.request == nil)
      bus.write(port: 0x604, size: .word, value: 0x2000, at: 0)
      #expect(bus.read(port: 0x604, size: .word, at: 0) == 0x0001)
      #expect(bus.request == .powerOff)
    }
  }

  @Test func `the keyboard controller takes commands, and those that have an answer get one`() {
    withBus { bus in
      let answers: [(command: UInt32, answer: UInt32?)] = [
        (0x00, nil), (0x20, 0xff), (0x60, nil), (0xa7, nil), (0xa9, 0xff), (0xaa, 0xff), (0xab, 0xff), (0xad, nil),
        (0xc0, 0xff), (0xd0, 0x03), (0xd1, nil), (0xd4, nil), (0xff, nil),
      ]
      for (command, answer) in answers {
        #expect(bus.read(port: 0x64, size: .byte, at: 0) == 0x1c)
        bus.write(port: 0x64, size: .byte, value: command, at: 0)
        #expect(bus.read(port: 0x64, size: .byte, at: 0) == (answer == nil ? 0x1c : 0x1d), "\(command)")
        #expect(bus.read(port: 0x60, size: .byte, at: 0) == answer ?? 0xff)
      }
    }
  }

  /// A timer of the HPET, the port of the 8259A that has its line, and the vector that it gives.
  @Test(arguments: [(0x100, 0x21, 0x30), (0x120, 0xa1, 0x38)] as [(UInt64, UInt16, UInt8)], [0x4, 0x6] as [UInt64])
  func `the HPET takes the place of the 8254 and of the clock at the 8259As`(
    timer: (register: UInt64, port: UInt16, vector: UInt8), configuration: UInt64
  ) {
    withBus { bus in
      for (port, value) in [
        (0x20, 0x11), (0x21, 0x30), (0x21, 0x04), (0x21, 0x01), (0xa0, 0x11), (0xa1, 0x38), (0xa1, 0x02), (0xa1, 0x01),
        (0x21, 0xfb), (0xa1, 0xff), (timer.port, timer.port == 0x21 ? 0xfa : 0xfe),
      ] as [(UInt16, UInt32)] {
        bus.write(port: port, size: .byte, value: value, at: 0)
      }
      func write(_ register: UInt64, _ value: UInt64, at time: MachineTime = 0) {
        bus.store(value, at: HPET.address + register, byteCount: 8, at: time)
      }
      write(timer.register, configuration)
      write(timer.register + 8, 100)
      write(0x10, 3)
      for round in 1...3 as ClosedRange<UInt64> {
        let before = bus.interruptPending
        bus.advance(to: 1000 * round)
        let after = bus.interruptPending
        #expect(!before && after, "round \(round)")
        write(timer.register + 8, 100 * (round + 1), at: 1000 * round)
        write(0x20, ~0, at: 1000 * round)
        // By level it has gone with the status.
        guard configuration & 2 == 0 else { continue }
        #expect(bus.acknowledgeInterrupt() == timer.vector)
        bus.write(port: 0xa0, size: .byte, value: 0x20, at: 1000 * round)
        bus.write(port: 0x20, size: .byte, value: 0x20, at: 1000 * round)
      }
    }
  }

  /// The register of a timer's configuration, and the general configuration: with legacy replacement, too.
  @Test(arguments: [0x100, 0x120, 0x1E0] as [UInt64], [1, 3] as [UInt64])
  func `a timer of the HPET sends a message and leaves its line alone`(timer: UInt64, configuration: UInt64) {
    withBus { bus in
      func write(_ register: UInt64, _ value: UInt64) {
        bus.store(value, at: HPET.address + register, byteCount: 8, at: 0)
      }
      for pin in UInt64(0)..<24 {
        bus.store(0x10 + 2 * pin, at: IOAPIC.address, byteCount: 4, at: 0)
        bus.store(0x80 + pin, at: IOAPIC.address + 0x10, byteCount: 4, at: 0)
      }
      while bus.takeMessage() != nil {}
      write(timer, 0x4004 | 20 << 9)
      write(timer + 8, 100)
      write(timer + 0x10, 0xFEE0_2000_0000_0055)
      write(0x10, configuration)
      bus.hasNews = false
      bus.advance(to: 999)
      #expect(bus.hasNews == false)
      bus.advance(to: 1000)
      #expect(bus.hasNews == true)
      #expect(bus.hasNewInterrupts == true)
      #expect(bus.takeMessage() == InterruptMessage(destination: 2, vector: 0x55))
      #expect(bus.takeMessage() == nil)
      #expect(bus.hasNewInterrupts == false)
    }
  }

  /// The data of a message, and whether it could wake a processor that takes no interrupts.
  @Test(arguments: [(0x40, false), (0x400, true), (0x500, true), (0x200, false), (0x600, false)] as [(UInt64, Bool)])
  func `an HPET that will send an NMI or an INIT is known for that`(data: UInt64, isEvent: Bool) {
    withBus { bus in
      func write(_ register: UInt64, _ value: UInt64) {
        bus.store(value, at: HPET.address + register, byteCount: 8, at: 0)
      }
      write(0x108, 100)
      write(0x110, 0xFEE0_0000_0000_0000 | data)
      write(0x100, 0x4004)
      #expect(bus.canSendEvents == false, "it is halted")
      write(0x10, 1)
      #expect(bus.canSendEvents == isEvent)
      bus.advance(to: 1_000_000_000)
      #expect(bus.canSendEvents == false, "it was the only one")
      write(0x108, 1 << 40)
      #expect(bus.canSendEvents == isEvent)
      for off in [0x4000, 0x0004] as [UInt64] {
        write(0x100, off)
        #expect(bus.canSendEvents == false)
      }
    }
  }

  @Test func `port B shows the refresh bit and the timer's output`() {
    withBus { bus in
      var toggles = 0
      var last: UInt32 = 0
      for time in stride(from: UInt64(0), to: 1_000_000_000, by: 5000) {
        let refresh = bus.read(port: 0x61, size: .byte, at: time) & 0x10
        if refresh != last { toggles += 1 }
        last = refresh
      }
      #expect(toggles == 1_193_182 / 18)
      // The A20 gate stays open, and says so.
      bus.write(port: 0x92, size: .byte, value: 0x00, at: 0)
      #expect(bus.read(port: 0x92, size: .byte, at: 0) == 0x02)
      bus.write(port: 0x61, size: .byte, value: 0xff, at: 1_000_000_000)
      #expect(bus.read(port: 0x61, size: .byte, at: 1_000_000_000) & 0xcf == 0x0f)
    }
  }

  /// Linux's quick_pit_calibrate: channel 2 in mode 0, the high byte of its count over time.
  @Test func `Linux finds the time of the timer's high byte`() {
    withBus { bus in
      var time: MachineTime = 123_456
      bus.write(port: 0x61, size: .byte, value: bus.read(port: 0x61, size: .byte, at: time) & ~2 | 1, at: time)
      for (port, value) in [(0x43, 0xb0), (0x42, 0xff), (0x42, 0xff)] as [(UInt16, UInt32)] {
        bus.write(port: port, size: .byte, value: value, at: time)
      }
      let start = time
      for high in stride(from: UInt32(0xff), to: 0xb0, by: -1) {
        var reads = 0
        repeat {
          time += 1500
          _ = bus.read(port: 0x42, size: .byte, at: time)
          time += 1500
          reads += 1
        } while bus.read(port: 0x42, size: .byte, at: time) == high
        #expect(reads > 5)
        // The count is below high * 256 for the first time.
        let ticks = UInt64(0xffff - high * 256 + 2)
        let exact = start + ticks * 1_000_000_000 / 1_193_182
        #expect(time + 1000 >= exact && time < exact + 4000, "high byte \(high)")
      }
    }
  }

  /// Linux's pit_calibrate_tsc: how long OUT2 stays low.
  @Test func `the timer's output ends a wait of 10 ms in time`() {
    withBus { bus in
      bus.write(port: 0x61, size: .byte, value: 1, at: 0)
      let latch: UInt32 = 1_193_182 / 100
      for (port, value) in [(0x43, 0xb0), (0x42, latch & 0xff), (0x42, latch >> 8)] as [(UInt16, UInt32)] {
        bus.write(port: port, size: .byte, value: value, at: 0)
      }
      let end = Timer8254.time(ofTick: UInt64(latch) + 1)
      #expect(bus.read(port: 0x61, size: .byte, at: end - 1) & 0x20 == 0)
      #expect(bus.read(port: 0x61, size: .byte, at: end) & 0x20 != 0)
    }
  }

  /// The interrupt lines, from the device to the vector.
  @Test func `the timer, the clock and the serial port interrupt on their lines`() {
    withBus { bus in
      startInterrupts(&bus)
      // Channel 0 in mode 2 with 1193 ticks: 1 ms.
      for (port, value) in [(0x43, 0x34), (0x40, 0xa9), (0x40, 0x04)] as [(UInt16, UInt32)] {
        bus.write(port: port, size: .byte, value: value, at: 0)
      }
      #expect(bus.nextDeadline == Timer8254.time(ofTick: 1194))
      bus.advance(to: bus.nextDeadline - 1)
      #expect(bus.interruptPending == false)
      for _ in 0..<5 {
        bus.advance(to: bus.nextDeadline)
        #expect(bus.interruptPending == true)
        #expect(bus.acknowledgeInterrupt() == 0x30)
        bus.write(port: 0x20, size: .byte, value: 0x20, at: 0)
        #expect(bus.interruptPending == false)
      }
      // A second asleep leaves one interrupt, not a thousand.
      bus.advance(to: 2_000_000_000)
      #expect(bus.interruptPending == true)
      #expect(bus.acknowledgeInterrupt() == 0x30)
      bus.write(port: 0x20, size: .byte, value: 0x20, at: 2_000_000_000)
      #expect(bus.interruptPending == false)
      // Stop the timer; the clock's update.
      bus.write(port: 0x43, size: .byte, value: 0x30, at: 2_000_000_000)
      bus.write(port: 0x70, size: .word, value: 0x120b, at: 2_000_000_000)
      // It is late for the updates of the two seconds past: register C tells of them, and then only of new ones.
      #expect(bus.acknowledgeInterrupt() == 0x38)
      bus.write(port: 0xa0, size: .byte, value: 0x20, at: 2_000_000_000)
      bus.write(port: 0x20, size: .byte, value: 0x20, at: 2_000_000_000)
      bus.write(port: 0x70, size: .byte, value: 0x0c, at: 2_000_000_000)
      #expect(bus.read(port: 0x71, size: .byte, at: 2_000_000_000) == 0xd0)
      #expect(bus.nextDeadline == 3_000_000_000)
      bus.advance(to: 3_000_000_000)
      #expect(bus.acknowledgeInterrupt() == 0x38)
      bus.write(port: 0xa0, size: .byte, value: 0x20, at: 3_000_000_000)
      bus.write(port: 0x20, size: .byte, value: 0x20, at: 3_000_000_000)
      // A byte from the host.
      bus.write(port: 0x3fc, size: .byte, value: 0x08, at: 3_000_000_000)
      bus.write(port: 0x3f9, size: .byte, value: 0x01, at: 3_000_000_000)
      #expect(bus.interruptPending == false)
      let isTaken = bus.receive(0x41, at: 3_000_000_000)
      #expect(isTaken)
      #expect(bus.acknowledgeInterrupt() == 0x34)
      #expect(bus.read(port: 0x3f8, size: .byte, at: 3_000_000_000) == 0x41)
    }
  }

  @Test func `every byte that is sent gives a new edge`() {
    withBus { bus in
      startInterrupts(&bus)
      bus.write(port: 0x3fc, size: .byte, value: 0x08, at: 0)
      bus.write(port: 0x3f9, size: .byte, value: 0x02, at: 0)
      for byte in UInt32(0)..<20 {
        #expect(bus.acknowledgeInterrupt() == 0x34)
        bus.write(port: 0x20, size: .byte, value: 0x20, at: 0)
        #expect(bus.interruptPending == false)
        bus.write(port: 0x3f8, size: .byte, value: byte, at: 0)
        #expect(bus.interruptPending == true)
      }
      var taken: [UInt8] = []
      while let byte = bus.takeTransmitted(at: 0) { taken.append(byte) }
      #expect(taken == Array(0..<20))
      #expect(bus.hasTransmitted == false)
    }
  }

  @Test func `time does not go back`() {
    withBus { bus in
      bus.advance(to: 5_000_000_000)
      bus.write(port: 0x70, size: .byte, value: 0, at: 5_000_000_000)
      let later = bus.read(port: 0x71, size: .byte, at: 5_000_000_000)
      #expect(bus.read(port: 0x71, size: .byte, at: 0) == later)
    }
  }

  private func startInterrupts(_ bus: inout IOBus) {
    let words: [(UInt16, UInt32)] = [
      (0x20, 0x11), (0x21, 0x30), (0x21, 0x04), (0x21, 0x01), (0x21, 0),
      (0xa0, 0x11), (0xa1, 0x38), (0xa1, 0x02), (0xa1, 0x01), (0xa1, 0),
    ]
    for (port, value) in words { bus.write(port: port, size: .byte, value: value, at: 0) }
  }
}
