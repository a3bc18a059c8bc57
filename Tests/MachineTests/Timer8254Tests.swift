import Machine
import Testing

/// A counter of the 8254 that does what the data sheet says, one clock pulse after the other.
private struct SlowChannel {
  var mode = 0
  var isDecimal = false
  var gate = true
  var out = false
  var element = 0
  var register = 0
  var isOdd = false
  var isNull = true
  var isLoaded = false
  var loadsNext = false
  var isArmed = false
  var isWritten = false

  var modulus: Int { isDecimal ? 10000 : 65536 }

  mutating func control(mode: Int, isDecimal: Bool) {
    self.mode = mode
    self.isDecimal = isDecimal
    out = mode != 0
    (isNull, isLoaded, loadsNext, isArmed, isWritten) = (true, false, false, false, false)
  }

  mutating func firstByte() {
    if mode == 0 { (out, isLoaded, loadsNext, isNull) = (false, false, false, true) }
  }

  mutating func write(_ count: Int) {
    register = count == 0 ? modulus : count
    isNull = true
    isWritten = true
    switch mode {
    case 0: (out, loadsNext) = (false, true)
    case 4: loadsNext = true
    case 2, 3: if !isLoaded { loadsNext = true }
    default: break
    }
  }

  mutating func setGate(_ level: Bool) {
    if level && !gate && isWritten {
      switch mode {
      case 1, 5, 2, 3: (loadsNext, isNull) = (true, true)
      default: break
      }
    }
    if !level && (mode == 2 || mode == 3) { out = true }
    gate = level
  }

  /// One clock pulse.
  mutating func clock() {
    if loadsNext {
      (loadsNext, isNull, isLoaded) = (false, false, true)
      isArmed = mode >= 4
      out = !(mode == 0 || mode == 1)
      reload()
      return
    }
    guard isLoaded else { return }
    if !gate && mode != 1 && mode != 5 { return }
    switch mode {
    case 0, 1:
      decrement()
      if element == 0 { out = true }
    case 2:
      decrement()
      if element == 1 { out = false }
      if element == 0 {
        out = true
        reload()
      }
    case 3:
      if out && isOdd {
        if element == 0 { flip() } else { element -= 2 }
      } else {
        element -= 2
        if element == 0 { flip() }
      }
    default:
      out = true
      decrement()
      if element == 0 && isArmed { (out, isArmed) = (false, false) }
    }
  }

  mutating func flip() {
    out.toggle()
    reload()
  }

  mutating func reload() {
    isNull = false
    isOdd = register % 2 == 1
    element = mode == 3 ? register & ~1 : register
  }

  mutating func decrement() { element = element == 0 ? modulus - 1 : element - 1 }

  /// Whether the output rises at the next clock pulse.
  mutating func clockRises() -> Bool {
    let before = out
    clock()
    return out && !before
  }

  var count: Int { element % modulus }
}

private func encode(_ count: Int, isDecimal: Bool) -> UInt16 {
  guard isDecimal else { return UInt16(count) }
  return [1000, 100, 10, 1].reduce(0) { $0 << 4 | UInt16(count / $1 % 10) }
}

@Suite struct Timer8254Tests {
  static let cases = (0..<6).flatMap { mode in [false, true].map { (mode, $0) } }

  @Test(arguments: cases)
  func `a channel is the data sheet's counter at every tick`(mode: Int, isDecimal: Bool) {
    var random = RandomNumbers(seed: UInt64(mode * 2 + (isDecimal ? 1 : 0)))
    for _ in 0..<60 {
      var channel = TimerChannel8254(gate: true)
      var model = SlowChannel()
      var tick: UInt64 = 0
      channel.writeControl(0x30 | UInt8(mode << 1) | (isDecimal ? 1 : 0))
      model.control(mode: mode, isDecimal: isDecimal)
      for step in 0..<80 {
        switch Int.random(in: 0..<8, using: &random) {
        case 0:
          // A count of 1 is not legal in modes 2 and 3.
          let count = random.chance(10) ? 0 : Int.random(in: 2...(random.chance(80) ? 12 : 9999), using: &random)
          let digits = encode(count, isDecimal: isDecimal)
          channel.write(UInt8(digits & 0xff))
          model.firstByte()
          if random.chance(30) { pass(Int.random(in: 0..<4, using: &random)) }
          channel.write(UInt8(digits >> 8))
          model.write(count)
        case 1:
          let level = Bool.random(using: &random)
          channel.setGate(level)
          model.setGate(level)
        default:
          pass(Int.random(in: 0..<(random.chance(10) ? 30000 : 20), using: &random))
        }
        let place: Comment = "mode \(mode), step \(step), tick \(tick)"
        #expect(channel.output == model.out, place)
        channel.latchCount()
        channel.latchStatus()
        let status = channel.read()
        let count = UInt16(channel.read()) | UInt16(channel.read()) << 8
        #expect((status & 0x80 != 0) == model.out, place)
        #expect((status & 0x40 != 0) == model.isNull, place)
        if model.isLoaded && !model.loadsNext {
          #expect(count == encode(model.count, isDecimal: isDecimal), place)
        }
        checkNextRise()
      }

      func pass(_ ticks: Int) {
        tick += UInt64(ticks)
        var rises = false
        for _ in 0..<ticks where model.clockRises() { rises = true }
        #expect(channel.advance(to: tick) == rises, "mode \(mode), tick \(tick)")
      }

      func checkNextRise() {
        var later = model
        let rise = (1...50).first { _ in later.clockRises() }.map { tick + UInt64($0) }
        if let rise {
          // An earlier answer is allowed only while a new count waits.
          #expect(channel.nextRise.map { $0 == rise || ($0 > tick && $0 < rise && model.isNull) } == true)
        } else {
          #expect(channel.nextRise.map { $0 > tick + 50 || model.isNull } ?? true)
        }
      }
    }
  }

  @Test func `ticks and times are exact and inverse to each other`() {
    var random = RandomNumbers(seed: 1)
    for _ in 0..<20000 {
      let time = random.next() >> UInt64.random(in: 2...63, using: &random)
      let exact = time.multipliedFullWidth(by: Timer8254.frequency)
      #expect(Timer8254.ticks(at: time) == UInt64(1_000_000_000).dividingFullWidth(exact).quotient)
      let tick = Timer8254.ticks(at: time)
      let first = Timer8254.time(ofTick: tick)
      #expect(first <= time && Timer8254.ticks(at: first) == tick)
      #expect(first == 0 || Timer8254.ticks(at: first - 1) < tick)
    }
  }

  @Test func `a periodic channel 0 does not drift, and has one edge however late it is looked at`() {
    var timer = Timer8254()
    _ = timer.write(port: 0x43, value: 0x34, at: 0)
    _ = timer.write(port: 0x40, value: 0x9c, at: 0)
    _ = timer.write(port: 0x40, value: 0x2e, at: 0)  // 11932 ticks, about 10 ms
    var edges: UInt64 = 0
    while timer.nextDeadline < 3_600_000_000_000 {
      let deadline = timer.nextDeadline
      timer.advance(to: deadline - 1)
      #expect(timer.takeRise() == false)
      timer.advance(to: deadline)
      if timer.takeRise() { edges += 1 }
      if edges > 400_000 { break }
    }
    // The count is loaded one tick after it is written.
    #expect(edges == (Timer8254.frequency * 3600 - 2) / 11932)
    timer.advance(to: 7_200_000_000_000)
    #expect(timer.takeRise() == true)
    #expect(timer.takeRise() == false)
  }

  /// What the control word's RW bits and the latches do with the bytes of a count.
  @Test(
    arguments: [
      (0x10, [0x34], [0x34, 0x34]),
      (0x20, [0x12], [0x12, 0x12]),
      (0x30, [0x34, 0x12], [0x34, 0x12]),
    ] as [(UInt8, [UInt8], [UInt8])])
  func `bytes are read as the control word says`(access: UInt8, written: [UInt8], expected: [UInt8]) {
    var timer = Timer8254()
    // Mode 0 with the gate of channel 2 closed: the count is loaded and stays.
    _ = timer.write(port: 0x43, value: 0x80 | access, at: 0)
    for byte in written { _ = timer.write(port: 0x42, value: byte, at: 0) }
    for byte in expected { #expect(timer.read(port: 0x42, at: 5000) == byte) }
    // Read-back of count and status, twice: the second one changes nothing.
    _ = timer.write(port: 0x43, value: 0xc8, at: 6000)
    _ = timer.write(port: 0x43, value: 0xc8, at: 7000)
    #expect(timer.read(port: 0x42, at: 8000) == access)
    #expect(timer.read(port: 0x42, at: 8000) == expected[0])
  }

  @Test func `a latched count stays while the counter runs`() {
    var timer = Timer8254()
    _ = timer.write(port: 0x43, value: 0x34, at: 0)
    _ = timer.write(port: 0x40, value: 0, at: 0)
    _ = timer.write(port: 0x40, value: 0, at: 0)
    _ = timer.write(port: 0x43, value: 0x00, at: 1_000_000)
    let latched = 65536 - (Timer8254.ticks(at: 1_000_000) - 1)
    #expect(timer.read(port: 0x40, at: 2_000_000) == UInt8(latched & 0xff))
    #expect(timer.read(port: 0x40, at: 3_000_000) == UInt8(latched >> 8))
    #expect(timer.read(port: 0x40, at: 4_000_000) == UInt8((65537 - Timer8254.ticks(at: 4_000_000)) & 0xff))
  }
}
