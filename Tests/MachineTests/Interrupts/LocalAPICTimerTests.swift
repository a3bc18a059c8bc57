import Machine
import Testing

/// A timer that counts every tick, as the SDM tells it.
private struct ReferenceTimer {
  var isPeriodic: Bool
  var initial: UInt64
  var divisor: UInt64
  var count: UInt64
  var phase: UInt64 = 0
  var expirations: UInt64 = 0

  mutating func tick() {
    guard count > 0 else { return }
    phase += 1
    guard phase == divisor else { return }
    phase = 0
    count -= 1
    if count == 0 {
      expirations += 1
      if isPeriodic { count = initial }
    }
  }
}

private let vector: UInt64 = 0x71

/// The divisors by the values of the Divide Configuration Register.
private let divisors: [(configuration: UInt64, divisor: UInt64)] = [
  (0b0000, 2), (0b0001, 4), (0b0010, 8), (0b0011, 16), (0b1000, 32), (0b1001, 64), (0b1010, 128), (0b1011, 1),
]

@Suite struct LocalAPICTimerTests {
  private func withTimer(_ mode: UInt64, configuration: UInt64 = 0b1011, _ body: (inout LocalAPIC) -> Void) {
    withLocalAPIC { apic, _ in
      apic.enable()
      apic.writeRegister(LocalAPICRegister.timer, mode << 17 | vector)
      apic.writeRegister(LocalAPICRegister.divideConfiguration, configuration)
      body(&apic)
    }
  }

  @Test(arguments: divisors, [UInt64(0), 1])
  func `it counts as one that counts every tick`(divisor: (configuration: UInt64, divisor: UInt64), mode: UInt64) {
    for initial in [1, 2, 3, 10] as [UInt64] {
      withTimer(mode, configuration: divisor.configuration) { apic in
        let start: UInt64 = 1_000_003
        #expect(apic.writeRegister(LocalAPICRegister.initialCount, initial, at: start) == .deadlineChanged)
        var reference = ReferenceTimer(
          isPeriodic: mode == 1, initial: initial, divisor: divisor.divisor, count: initial)
        for now in start + 1...start + 5 * initial * divisor.divisor {
          let before = reference.expirations
          reference.tick()
          #expect(apic.advance(to: now) == reference.expirations - before)
          #expect(apic.readRegister(LocalAPICRegister.currentCount, at: now) == reference.count)
          if reference.expirations > before {
            #expect(apic.acknowledge() == 0x71)
            _ = apic.endOfInterrupt()
          }
          #expect(apic.hasDeliverableInterrupt == false)
        }
        #expect(reference.expirations == (mode == 1 ? 5 : 1))
      }
    }
  }

  @Test(arguments: 0..<16)
  func `the expirations of many steps are those of one`(seed: Int) {
    var random = RandomNumbers(seed: UInt64(seed))
    for _ in 0..<50 {
      let configuration = divisors.randomElement(using: &random)!
      let initial = UInt64.random(in: 1...(1 << UInt64.random(in: 1...32, using: &random)) - 1, using: &random)
      let period = initial * configuration.divisor
      let end = UInt64.random(in: 0...1000 * period, using: &random)
      var many: UInt64 = 0
      withTimer(1, configuration: configuration.configuration) { apic in
        apic.writeRegister(LocalAPICRegister.initialCount, initial, at: 0)
        var now: UInt64 = 0
        while now < end {
          now = min(end, now + UInt64.random(in: 0...3 * period, using: &random))
          many += apic.advance(to: now)
          #expect(apic.nextDeadline > now && apic.nextDeadline <= now + period)
        }
      }
      withTimer(1, configuration: configuration.configuration) { apic in
        apic.writeRegister(LocalAPICRegister.initialCount, initial, at: 0)
        #expect(apic.advance(to: end) == many)
        #expect(many == end / period)
        #expect(apic.nextDeadline == (many + 1) * period)
        #expect(apic.vectors(LocalAPICRegister.interruptRequest) == (many > 0 ? [0x71] : []))
      }
    }
  }

  @Test func `an initial count of 0 stops it, and a mask only silences it`() {
    for mode in 0...1 as ClosedRange<UInt64> {
      withTimer(mode) { apic in
        apic.writeRegister(LocalAPICRegister.initialCount, 100, at: 0)
        #expect(apic.nextDeadline == 100)
        #expect(apic.writeRegister(LocalAPICRegister.initialCount, 0, at: 50) == .deadlineChanged)
        #expect(apic.nextDeadline == .max)
        #expect(apic.readRegister(LocalAPICRegister.currentCount, at: 60) == 0)

        apic.writeRegister(LocalAPICRegister.initialCount, 100, at: 100)
        #expect(apic.writeRegister(LocalAPICRegister.timer, 1 << 16 | mode << 17 | vector, at: 110) == .none)
        #expect(apic.advance(to: 200) == 1)
        #expect(apic.hasDeliverableInterrupt == false)
      }
    }
  }

  @Test func `what is due when a register changes comes first`() {
    withTimer(0) { apic in
      apic.writeRegister(LocalAPICRegister.initialCount, 100, at: 0)
      #expect(apic.writeRegister(LocalAPICRegister.initialCount, 0, at: 100) == .deadlineChanged)
      #expect(apic.acknowledge() == 0x71)
    }
  }

  @Test func `another divisor keeps the count`() {
    withTimer(1) { apic in
      apic.writeRegister(LocalAPICRegister.initialCount, 1000, at: 0)
      apic.writeRegister(LocalAPICRegister.divideConfiguration, 0b0011, at: 400)
      #expect(apic.readRegister(LocalAPICRegister.currentCount, at: 400) == 600)
      #expect(apic.nextDeadline == 400 + 600 * 16)
      #expect(apic.advance(to: 10_000) == 1)
      #expect(apic.nextDeadline == 10_000 + 16_000)
    }
  }

  @Test func `one-shot becomes periodic while it counts, and back`() {
    withTimer(0) { apic in
      apic.writeRegister(LocalAPICRegister.initialCount, 100, at: 0)
      #expect(apic.writeRegister(LocalAPICRegister.timer, 1 << 17 | vector, at: 10) == .none)
      #expect(apic.advance(to: 250) == 2)
      apic.writeRegister(LocalAPICRegister.timer, vector, at: 260)
      #expect(apic.advance(to: 1000) == 1)
      #expect(apic.nextDeadline == .max)
    }
  }

  // MARK: TSC deadline

  @Test func `a TSC deadline fires once and then reads 0`() {
    withTimer(2) { apic in
      #expect(apic.writeMSR(0x6E0, 5000, at: 0) == .deadlineChanged)
      #expect(apic.readMSR(0x6E0, at: 0) == 5000)
      #expect(apic.advance(to: 4999) == 0)
      #expect(apic.advance(to: 5000) == 1)
      #expect(apic.readMSR(0x6E0, at: 0) == 0)
      #expect(apic.nextDeadline == .max)
      #expect(apic.acknowledge() == 0x71)
      #expect(apic.advance(to: .max) == 0)
    }
  }

  @Test func `a deadline of 0 disarms it, and a mode change does`() {
    withTimer(2) { apic in
      _ = apic.writeMSR(0x6E0, 5000, at: 0)
      #expect(apic.writeMSR(0x6E0, 0, at: 0) == .deadlineChanged)
      #expect(apic.nextDeadline == .max)
      for mode in [0, 1, 3] as [UInt64] {
        _ = apic.writeMSR(0x6E0, 5000, at: 0)
        #expect(apic.writeRegister(LocalAPICRegister.timer, mode << 17 | vector) == .deadlineChanged)
        #expect(apic.nextDeadline == .max)
        #expect(apic.readMSR(0x6E0, at: 0) == 0)
        // Ignored in the other modes.
        _ = apic.writeMSR(0x6E0, 5000, at: 0)
        #expect(apic.nextDeadline == .max)
        if mode < 2 {
          apic.writeRegister(LocalAPICRegister.initialCount, 100)
          #expect(apic.nextDeadline == 100)
        }
        apic.writeRegister(LocalAPICRegister.timer, 2 << 17 | vector)
        #expect(apic.nextDeadline == .max)
        #expect(apic.readMSR(0x6E0, at: 0) == 0)
      }
    }
  }

  @Test func `in TSC-deadline mode the initial count is not written and the current count is 0`() {
    withTimer(0) { apic in
      apic.writeRegister(LocalAPICRegister.initialCount, 77)
      apic.writeRegister(LocalAPICRegister.timer, 2 << 17 | vector)
      apic.writeRegister(LocalAPICRegister.initialCount, 100)
      #expect(apic.readRegister(LocalAPICRegister.initialCount) == 77)
      _ = apic.writeMSR(0x6E0, 5000, at: 0)
      #expect(apic.readRegister(LocalAPICRegister.currentCount, at: 10) == 0)
      #expect(apic.nextDeadline == 5000)
    }
  }

  private static let deadlines: [(guest: UInt64, offset: UInt64, now: UInt64, host: UInt64)] = [
    // The guest's counter started at 0 when the host's was a million.
    (1, 0 &- 1_000_000, 1_000_000, 1_000_001), (500, 0 &- 1_000_000, 1_000_000, 1_000_500),
    (500, 0 &- 1_000_000, 1_000_500, 0),
    // One that never comes must not be one that has passed.
    (.max, 0 &- 1_000_000, 1_000_000, .max), (.max - 10, 0 &- 1_000_000, 1_000_000, .max),
    // The guest's counter is ahead.
    (5000, 3000, 0, 2000), (3000, 3000, 0, 0), (1, 3000, 0, 0), (.max, 3000, 0, .max - 3000),
    (0, 3000, 0, .max), (0, 0 &- 3000, 5000, .max), (7, 0, 0, 7),
    // By more than half of what it counts to.
    (0xFFFF_0000_0000_0100, 0xFFFF_0000_0000_0000, 0xFF, 0x100),
    (0xFFFF_0000_0000_0100, 0xFFFF_0000_0000_0000, 0x100, 0),
    (1 << 33, 0xFFFF_0000_0000_0000, 1 << 30, 0),
  ]

  @Test(arguments: deadlines)
  func `a deadline of the guest's is one of the host's`(guest: UInt64, offset: UInt64, now: UInt64, host: UInt64) {
    withTimer(2) { apic in
      apic.setTimestampCounterOffset(offset, at: now)
      _ = apic.writeMSR(0x6E0, guest, at: now)
      #expect(apic.nextDeadline == host)
      #expect(apic.readMSR(0x6E0, at: now) == guest)
      // Also if the guest's counter is written after it.
      apic.setTimestampCounterOffset(0, at: now)
      #expect(apic.nextDeadline == (guest == 0 ? .max : guest > now ? guest : 0))
      apic.setTimestampCounterOffset(offset, at: now)
      #expect(apic.nextDeadline == host)
    }
  }

  @Test(arguments: [0, 5000] as [UInt64])
  func `a deadline that nobody has noticed has come all the same when another is written`(next: UInt64) {
    for now in [99, 100, 200] as [UInt64] {
      withTimer(2) { apic in
        _ = apic.writeMSR(0x6E0, 100, at: 0)
        _ = apic.writeMSR(0x6E0, next, at: now)
        #expect(apic.hasDeliverableInterrupt == (now >= 100))
        #expect(apic.nextDeadline == (next == 0 ? .max : next))
      }
    }
  }
}
