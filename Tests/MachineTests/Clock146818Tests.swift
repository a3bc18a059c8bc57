import Machine
import Testing

private let second: UInt64 = 1_000_000_000

extension Clock146818 {
  fileprivate subscript(_ index: UInt8, at time: MachineTime) -> UInt8 {
    mutating get {
      advance(to: time)
      write(port: 0x70, value: index, at: time)
      return read(port: 0x71, at: time)
    }
    set {
      advance(to: time)
      write(port: 0x70, value: index, at: time)
      write(port: 0x71, value: newValue, at: time)
    }
  }

  fileprivate mutating func bytes(_ indices: [UInt8], at time: MachineTime) -> [UInt8] {
    indices.map { self[$0, at: time] }
  }
}

@Suite struct Clock146818Tests {
  private let leapDay = CalendarTime(year: 2024, month: 2, day: 28, hour: 23, minute: 59, second: 58)

  private func clock(_ start: CalendarTime? = nil) -> Clock146818 {
    Clock146818(startingAt: start ?? leapDay, memorySize: 128 << 20)
  }

  /// Seconds, minutes, hours, weekday, day, month, year, century.
  static let timeRegisters: [UInt8] = [0, 2, 4, 6, 7, 8, 9, 0x32]

  @Test func `the clock starts at the given time, in BCD`() {
    var clock = clock()
    #expect(clock.bytes(Self.timeRegisters, at: 0) == [0x58, 0x59, 0x23, 4, 0x28, 0x02, 0x24, 0x20])
    #expect(clock.bytes(Self.timeRegisters, at: 2 * second) == [0, 0, 0, 5, 0x29, 0x02, 0x24, 0x20])
    #expect(clock.bytes([0x0a, 0x0b, 0x0c, 0x0d], at: 2 * second) == [0x26, 0x02, 0x70, 0x80])
  }

  @Test(arguments: [0x00, 0x02, 0x04, 0x06] as [UInt8])
  func `all formats show the same time`(format: UInt8) {
    var clock = clock()
    clock[0x0b, at: 0] = 0x80 | format
    let encode = { (value: Int) in format & 4 != 0 ? UInt8(value) : UInt8(value / 10 * 16 + value % 10) }
    for (index, value) in zip(Self.timeRegisters, [0, 0, 0, 7, 31, 12, 99, 19]) where index != 4 {
      clock[index, at: 0] = encode(value)
    }
    clock[4, at: 0] = format & 2 != 0 ? 0 : encode(12)
    clock[0x0b, at: 0] = format
    for hour in 0...24 {
      let time = UInt64(hour) * 3600 * second
      let shown =
        if format & 2 != 0 { encode(hour % 24) } else {
          encode(hour % 12 == 0 ? 12 : hour % 12) | (hour % 24 >= 12 ? 0x80 : 0)
        }
      #expect(clock[4, at: time] == shown, "hour \(hour)")
      let date = hour < 24 ? [7, 31, 12, 99, 19] : [1, 1, 1, 0, 20]
      #expect(clock.bytes([6, 7, 8, 9, 0x32], at: time) == date.map(encode), "hour \(hour)")
    }
  }

  @Test func `UIP warns before every new second, and not while SET holds the time`() {
    var clock = clock()
    for tenth in UInt64(0)..<30000 {
      let time = tenth * second / 10000
      let isUpdating = clock[0x0a, at: time] & 0x80 != 0
      // 1984 µs of update after 244 µs of warning.
      #expect(isUpdating == (tenth % 10000 >= 9978), "\(time) ns")
    }
    clock[0x0b, at: 3 * second] = 0x82
    #expect(clock[0x0a, at: 4 * second - 1] == 0x26)
    #expect(clock[0, at: 9 * second] == 0x01)
    clock[0x0b, at: 9 * second] = 0x02
    #expect(clock[0, at: 10 * second] == 0x02)
  }

  @Test func `the first second after a reset of the divider has 500 ms`() {
    var clock = clock()
    clock[0x0a, at: 100] = 0x76
    #expect(clock[0, at: 5 * second] == 0x58)
    clock[0x0a, at: 5 * second + 7] = 0x26
    #expect(clock[0, at: 5 * second + second / 2 + 6] == 0x58)
    #expect(clock[0, at: 5 * second + second / 2 + 7] == 0x59)
    #expect(clock[0, at: 6 * second + second / 2 + 7] == 0x00)
  }

  /// The periodic rates of the data sheet for a time base of 32768 Hz.
  @Test(
    arguments: zip(
      1...15, [256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2]))
  func `the periodic interrupt has its rate`(select: Int, rate: Int) {
    var clock = clock()
    clock[0x0a, at: 0] = 0x20 | UInt8(select)
    clock[0x0b, at: 0] = 0x42
    var count = 0
    while clock.nextDeadline <= 2 * second {
      let deadline = clock.nextDeadline
      clock.advance(to: deadline - 1)
      #expect(clock.interruptLine == false)
      clock.advance(to: deadline)
      #expect(clock.interruptLine == true)
      #expect(clock.nextDeadline == .max)
      #expect(clock[0x0c, at: deadline] & 0xc0 == 0xc0)
      #expect(clock.interruptLine == false)
      count += 1
    }
    #expect(count == 2 * rate)
  }

  @Test func `the update-ended interrupt comes with every second`() {
    var clock = clock()
    clock[0x0b, at: 0] = 0x12
    for expected in UInt64(1)...100 {
      #expect(clock.nextDeadline == expected * second)
      clock.advance(to: clock.nextDeadline)
      #expect(clock.interruptLine == true)
      // PF and AF are set whether their interrupts are enabled or not; the alarm's bytes say midnight.
      #expect(clock[0x0c, at: expected * second] == (expected == 2 ? 0xf0 : 0xd0))
    }
    // Setting SET takes UIE away.
    clock[0x0b, at: 100 * second] = 0x92
    #expect(clock[0x0b, at: 100 * second] == 0x82)
    #expect(clock.nextDeadline == .max)
  }

  /// Alarm bytes in BCD, 24-hour mode, and the seconds from 23:59:58 to the match; `nil` for never.
  @Test(
    arguments: [
      ([0xff, 0xff, 0xff], 1), ([0xc0, 0xff, 0xff], 1), ([0x58, 0x59, 0x23], 86400), ([0x59, 0x59, 0x23], 1),
      ([0x00, 0xff, 0xff], 2), ([0x30, 0xff, 0xff], 32), ([0xff, 0x05, 0xff], 302), ([0xff, 0xff, 0x07], 25202),
      ([0x57, 0xff, 0xff], 59), ([0x56, 0x34, 0x12], 45298), ([0x60, 0xff, 0xff], nil), ([0x0a, 0xff, 0xff], nil),
      ([0xff, 0x60, 0xff], nil), ([0xff, 0xff, 0x24], nil), ([0x00, 0x00, 0xff], 2), ([0x58, 0xff, 0xff], 60),
    ] as [([UInt8], UInt64?)])
  func `the alarm matches when its bytes say`(alarm: [UInt8], wait: UInt64?) {
    var clock = clock()
    // Second by second, and all at once.
    var atOnce = self.clock()
    for (index, byte) in zip([1, 3, 5] as [UInt8], alarm) {
      clock[index, at: 0] = byte
      atOnce[index, at: 0] = byte
    }
    clock[0x0b, at: 0] = 0x22
    atOnce[0x0b, at: 0] = 0x22
    #expect(clock.nextDeadline == wait.map { $0 * second } ?? .max)
    var found: UInt64?
    for elapsed in UInt64(1)...86400 where found == nil {
      if clock[0x0c, at: elapsed * second] & 0x20 != 0 { found = elapsed }
    }
    #expect(found == wait)
    #expect((atOnce[0x0c, at: 86400 * second] & 0x20 != 0) == (wait != nil))
  }

  /// Memory size in MiB, and the words at 0x15, 0x17, 0x30 and 0x34.
  @Test(
    arguments: [
      (1, [640, 0, 0, 0]), (16, [640, 15360, 15360, 0]), (64, [640, 64512, 64512, 768]),
      (65, [640, 65535, 65535, 784]), (3072, [640, 65535, 65535, 48896]), (1 << 20, [640, 65535, 65535, 65535]),
    ] as [(UInt64, [UInt16])])
  func `the BIOS's bytes tell the memory's size`(mebibytes: UInt64, expected: [UInt16]) {
    var clock = Clock146818(startingAt: leapDay, memorySize: mebibytes << 20)
    let words = ([0x15, 0x17, 0x30, 0x34] as [UInt8]).map {
      UInt16(clock[$0, at: 0]) | UInt16(clock[$0 + 1, at: 0]) << 8
    }
    #expect(words == expected)
  }

  @Test func `the other bytes are memory, and D and C cannot be written`() {
    var clock = clock()
    for index in UInt8(0x0e)...0x7f where index != 0x32 {
      clock[index, at: 0] = ~index
      #expect(clock[index, at: 0] == ~index)
    }
    clock[0x0d, at: 0] = 0
    clock[0x0c, at: 0] = 0xff
    #expect(clock.bytes([0x0c, 0x0d], at: 0) == [0, 0x80])
    clock.write(port: 0x70, value: 0x8d, at: 0)
    #expect(clock.read(port: 0x71, at: 0) == 0x80)
    #expect(clock.read(port: 0x70, at: 0) == 0xff)
  }

  @Test func `registers that are no time are brought into range by the next second`() {
    var random = RandomNumbers(seed: 5)
    for _ in 0..<3000 {
      var clock = clock()
      clock[0x0b, at: 0] = UInt8.random(in: 0...7, using: &random)
      for index in Self.timeRegisters + [1, 3, 5] { clock[index, at: 0] = UInt8.random(in: 0...255, using: &random) }
      let format = clock[0x0b, at: 0]
      let time = UInt64.random(in: 1...400 * 86400, using: &random) * second
      let shown = clock.bytes([0, 2, 7, 8], at: time)
      let values = shown.map { format & 4 != 0 ? $0 : $0 >> 4 * 10 + $0 & 15 }
      #expect(values[0] < 60 && values[1] < 60 && (1...31).contains(values[2]) && (1...12).contains(values[3]))
    }
  }
}
