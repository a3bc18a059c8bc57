import Machine
import Testing

/// A comparator that looks at every tick.
private struct ReferenceTimer {
  var configuration: UInt64 = 0
  var comparator: UInt64 = 0
  var period: UInt64 = 0

  private var mask: UInt64 { configuration & 0x100 != 0 ? 0xFFFF_FFFF : ~0 }
  var isLevelTriggered: Bool { configuration & 2 != 0 }
  var isInterruptEnabled: Bool { configuration & 4 != 0 }
  var usesMessages: Bool { configuration & 0x4000 != 0 }

  mutating func matches(_ counter: UInt64) -> Bool {
    guard counter & mask == comparator & mask else { return false }
    if configuration & 8 != 0 { comparator &+= period }
    return true
  }

  func line(_ index: Int, isLegacy: Bool) -> UInt32 {
    if isLegacy && index < 2 { return index == 0 ? 1 : 0x100 }
    return 1 << UInt32(configuration >> 9 & 0x1F) & 0x00F0_0000
  }

  /// What software writes for timer `index`, and the message that it is.
  static func route(_ index: Int) -> UInt64 { 0xFEE0_0000 << 32 | UInt64(index + 1) << 44 | UInt64(0x40 + index) }
  static func message(_ index: Int) -> InterruptMessage {
    InterruptMessage(destination: UInt32(index + 1), vector: 0x40 + UInt8(index))
  }
}

extension HPET {
  fileprivate mutating func write(_ offset: Int, _ value: UInt64, at time: MachineTime = 0) {
    write(offset: offset, byteCount: 8, value, at: time)
  }

  fileprivate mutating func read(_ offset: Int, at time: MachineTime = 0) -> UInt64 {
    read(offset: offset, byteCount: 8, at: time)
  }

  fileprivate mutating func takeMessages() -> [InterruptMessage] {
    var messages: [InterruptMessage] = []
    while hasMessages { if let message = takeMessage() { messages.append(message) } }
    return messages
  }
}

@Suite struct HPETTests {
  @Test func `capabilities and writable bits`() {
    let rows: [(offset: Int, value: UInt64, mask: UInt64)] =
      [(0x000, 0x0098_9680_8086_A701, 0), (0x010, 0, 3), (0x020, 0, 0), (0x0F0, 0, ~0)]
      + (0..<8).map { (0x100 + $0 * 0x20, 0x00F0_0000_0000_8020 | ($0 == 0 ? 0x10 : 0), $0 == 0 ? 0x410E : 0x4106) }
      + (0..<8).map { (0x108 + $0 * 0x20, ~0, ~0) } + (0..<8).map { (0x110 + $0 * 0x20, 0, ~0) }
    for offset in stride(from: 0, to: 0x1000, by: 8) {
      let row = rows.first { $0.offset == offset }
      for value in [0, ~0 & ~0x3E00, 0x5555_5555_5555_4155, 0xAAAA_AAAA_AAAA_80AA] as [UInt64] {
        var hpet = HPET()
        let old = hpet.read(offset)
        #expect(old == row?.value ?? 0, "offset \(offset)")
        hpet.write(offset, value)
        let mask = row?.mask ?? 0
        #expect(hpet.read(offset) == old & ~mask | value & mask, "offset \(offset), \(value)")
      }
    }
  }

  @Test func `only routes that exist stay`() {
    for route in UInt64(0)..<32 {
      var hpet = HPET()
      hpet.write(0x120, 21 << 9)
      hpet.write(0x120, route << 9)
      #expect(hpet.read(0x120) >> 9 & 0x1F == ((20...23).contains(route) ? route : 21))
    }
  }

  @Test func `registers are read in parts and written in halves`() {
    var hpet = HPET()
    hpet.write(0x0F0, 0x0123_4567_89AB_CDEF)
    let reads: [(offset: Int, byteCount: Int, value: UInt64)] = [
      (0x0F0, 4, 0x89AB_CDEF), (0x0F4, 4, 0x0123_4567), (0x0F1, 1, 0xCD), (0x0F6, 2, 0x0123), (0x0F6, 4, 0x0123),
      (0x0F7, 8, 0x01), (0x0F8, 8, 0),
    ]
    for row in reads { #expect(hpet.read(offset: row.offset, byteCount: row.byteCount, at: 0) == row.value) }
    hpet.write(offset: 0x0F4, byteCount: 4, 0x1111_1111, at: 0)
    hpet.write(offset: 0x0F0, byteCount: 4, 0xFFFF_FFFF_2222_2222, at: 0)
    #expect(hpet.read(0x0F0) == 0x1111_1111_2222_2222)
    for (offset, byteCount) in [(0x0F0, 1), (0x0F0, 2), (0x0F2, 4), (0x0F4, 8), (0x0F1, 8)] {
      hpet.write(offset: offset, byteCount: byteCount, ~0, at: 0)
      #expect(hpet.read(0x0F0) == 0x1111_1111_2222_2222)
    }
  }

  @Test func `the counter runs while it is enabled, and is written while it is not`() {
    var hpet = HPET()
    #expect(hpet.read(0x0F0, at: 1000) == 0)
    hpet.write(0x010, 1, at: 1000)
    #expect(hpet.read(0x0F0, at: 1009) == 0)
    #expect(hpet.read(0x0F0, at: 1010) == 1)
    hpet.write(0x0F0, 77, at: 2000)
    #expect(hpet.read(0x0F0, at: 2000) == 100)
    hpet.write(0x010, 0, at: 3000)
    #expect(hpet.read(0x0F0, at: 1 << 40) == 200)
    hpet.write(0x0F0, ~0 - 1, at: 1 << 40)
    hpet.write(0x010, 1, at: 1 << 40)
    #expect(hpet.read(0x0F0, at: 1 << 40 + 30) == 1)
  }

  @Test(arguments: 0..<32)
  func `comparators match as those that look at every tick`(seed: Int) {
    var random = RandomNumbers(seed: UInt64(seed))
    var hpet = HPET()
    var timers = [ReferenceTimer](repeating: ReferenceTimer(), count: 8)
    let isLegacy = Bool.random(using: &random)
    // So that some wrap around 32 bits, and some around 64.
    var counter: UInt64 = [0, 0xFFFF_FF80, ~0 - 100].randomElement(using: &random)!
    hpet.write(0x0F0, counter)
    for index in 0..<8 {
      var bits: UInt64 = [0, 2, 4, 6].randomElement(using: &random)! | UInt64.random(in: 20...23, using: &random) << 9
      if Bool.random(using: &random) { bits |= 0x100 }
      if index == 0 && Bool.random(using: &random) { bits |= 8 }
      if random.chance(3) { bits |= 0x4000 }
      let first = counter &+ UInt64.random(in: 1...50, using: &random)
      let period = UInt64.random(in: 1...20, using: &random)
      timers[index] = ReferenceTimer(configuration: bits, comparator: first, period: period)
      hpet.write(0x100 + index * 0x20, bits | 0x40)
      hpet.write(0x108 + index * 0x20, first)
      hpet.write(0x110 + index * 0x20, ReferenceTimer.route(index))
      if bits & 8 != 0 { hpet.write(0x108, period) }
    }
    hpet.write(0x010, isLegacy ? 3 : 1)
    #expect(hpet.replacesLegacyInterrupts == isLegacy)

    var status: UInt64 = 0
    for tick in UInt64(1)...400 {
      counter &+= 1
      var pulses: UInt32 = 0
      var lines: UInt32 = 0
      var messages: [InterruptMessage] = []
      let isDue = hpet.nextDeadline <= tick * 10
      for index in 0..<8 {
        let line = timers[index].line(index, isLegacy: isLegacy)
        if timers[index].matches(counter) {
          if timers[index].isLevelTriggered { status |= 1 << UInt64(index) }
          if timers[index].isInterruptEnabled {
            #expect(isDue == true)
            if timers[index].usesMessages {
              messages.append(ReferenceTimer.message(index))
            } else if !timers[index].isLevelTriggered {
              pulses |= line
            }
          }
        }
        let raisesLevel = timers[index].isInterruptEnabled && !timers[index].usesMessages
        if status >> UInt64(index) & 1 != 0 && raisesLevel { lines |= line }
      }
      hpet.advance(to: tick * 10)
      #expect(hpet.takePulses() == pulses, "tick \(tick)")
      #expect(hpet.takePulses() == 0)
      #expect(hpet.takeMessages() == messages, "tick \(tick)")
      #expect(hpet.lines == lines, "tick \(tick)")
      #expect(hpet.read(0x020, at: tick * 10) == status)
      #expect(hpet.nextDeadline > tick * 10)
      if random.chance(10) {
        let clears = UInt64.random(in: 0..<256, using: &random)
        hpet.write(0x020, clears, at: tick * 10)
        status &= ~clears
      }
    }
  }

  @Test(arguments: 0..<16)
  func `one long step ends where many short ones do`(seed: Int) {
    var random = RandomNumbers(seed: UInt64(seed))
    var short = HPET()
    var long = HPET()
    let period = UInt64.random(in: 1...1_000_000, using: &random)
    let bits: UInt64 = 0x40 | 8 | 4 | 20 << 9 | (seed % 2 == 0 ? 0x100 : 0)
    func program(_ hpet: inout HPET) {
      hpet.write(0x100, bits)
      hpet.write(0x108, period)
      hpet.write(0x010, 1)
    }
    program(&short)
    program(&long)
    let end = UInt64.random(in: 0...1 << 44, using: &random)
    var now: UInt64 = 0
    var count: UInt64 = 0
    while now < end && count < 2000 {
      #expect(short.nextDeadline == (count + 1) * period * 10)
      now = short.nextDeadline
      short.advance(to: now)
      #expect(short.takePulses() == 1 << 20)
      count += 1
    }
    short.advance(to: max(now, end))
    long.advance(to: max(now, end))
    #expect(long.nextDeadline == short.nextDeadline)
    for offset in [0x0F0, 0x100, 0x108] { #expect(long.read(offset, at: end) == short.read(offset, at: end)) }
  }

  @Test func `in periodic mode a write sets the period, and the comparator when asked`() {
    var hpet = HPET()
    hpet.write(0x100, 0x4C)
    #expect(hpet.read(0x100) & 0x40 == 0)
    hpet.write(0x108, 1000)
    #expect(hpet.read(0x108) == 1000)
    hpet.write(0x108, 300)
    #expect(hpet.read(0x108) == 1000)
    hpet.write(0x010, 1)
    hpet.advance(to: 10_000)
    #expect(hpet.read(0x108, at: 10_000) == 1300)
    // A period of 0 does not match at all times.
    hpet.write(0x108, 0, at: 10_000)
    hpet.advance(to: 13_000)
    #expect(hpet.nextDeadline == .max)
  }

  @Test func `what is masked or halted has no deadline`() {
    var hpet = HPET()
    hpet.write(0x120, 20 << 9)
    hpet.write(0x128, 100)
    hpet.write(0x010, 1)
    #expect(hpet.nextDeadline == .max)
    hpet.write(0x120, 20 << 9 | 4)
    #expect(hpet.nextDeadline == 1000)
    hpet.write(0x010, 0)
    #expect(hpet.nextDeadline == .max)
    hpet.advance(to: 1 << 40)
    #expect(hpet.takePulses() == 0)
  }

  @Test func `an address that is no local APIC's gets no message`() {
    for (route, isMessage) in [
      (0xFEE0_1000_0000_0040, true), (0xFEC0_0000_0000_0040, false), (0x0000_1000_0000_0040, false),
      (0xFEE0_1000_0000_0340, false), (0xFEE0_1000_0000_0600, false),
    ] as [(UInt64, Bool)] {
      var hpet = HPET()
      hpet.write(0x120, 0x4004)
      hpet.write(0x128, 100)
      hpet.write(0x130, route)
      hpet.write(0x010, 1)
      hpet.advance(to: 1000)
      #expect(hpet.hasMessages == true)
      #expect(hpet.takeMessages() == (isMessage ? [InterruptMessage(destination: 1, vector: 0x40)] : []))
    }
  }
}
