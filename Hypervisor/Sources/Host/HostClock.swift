import CVMX

/// How fast the host's clocks tick, measured against its 8254, whose frequency is known.
package struct HostClock {
  /// Ticks of the time-stamp counter a second.
  package let timestampFrequency: UInt64
  /// Ticks of the local APIC's timer a second.
  package let timerFrequency: UInt64

  static var frequency8254: UInt64 { 1_193_182 }
  /// 20 ms, long enough for an error below one in ten thousand.
  private static var measuredTicks: UInt64 { 23_864 }

  /// Measures both at once with channel 2 in mode 0, whose output port 0x61 shows.
  package static func measure() -> HostClock {
    LocalAPIC.setTimerMask(true)
    cvmx_out8(0x61, cvmx_in8(0x61) & 0xFC | 1)
    cvmx_out8(0x43, 0b1011_0000)
    cvmx_out8(0x42, UInt8(truncatingIfNeeded: measuredTicks))
    cvmx_out8(0x42, UInt8(truncatingIfNeeded: measuredTicks >> 8))
    LocalAPIC.setTimer(.max)
    let start = cvmx_rdtsc()
    while cvmx_in8(0x61) & 0x20 == 0 {}
    let elapsed = cvmx_rdtsc() &- start
    let timerElapsed = UInt64(UInt32.max &- LocalAPIC.timerCount)
    LocalAPIC.setTimer(0)
    LocalAPIC.setTimerMask(false)
    return HostClock(
      timestampFrequency: elapsed * frequency8254 / measuredTicks,
      timerFrequency: timerElapsed * frequency8254 / measuredTicks)
  }

  /// How many ticks of the local APIC's timer `ticks` of the time-stamp counter are: at least 1, at most what its counter
  /// holds.
  package func timerTicks(_ ticks: UInt64) -> UInt32 {
    let product = ticks.multipliedFullWidth(by: timerFrequency)
    guard product.high < timestampFrequency else { return .max }
    return UInt32(clamping: max(timestampFrequency.dividingFullWidth(product).quotient, 1))
  }
}

/// The host's battery-backed clock, in UTC, as the firmware has set it.
package struct HostCalendar {
  package var year: UInt16, month, day, hour, minute, second: UInt8

  /// Reads the MC146818, when it is not in the middle of an update.
  package init() {
    while Self.register(0x0A) & 0x80 != 0 {}
    let isBinary = Self.register(0x0B) & 0x04 != 0
    func value(_ index: UInt8) -> UInt8 {
      let raw = Self.register(index)
      return isBinary ? raw : (raw >> 4) * 10 + (raw & 15)
    }
    (second, minute, hour) = (value(0), value(2), value(4))
    (day, month) = (value(7), value(8))
    year = 2000 + UInt16(value(9))
  }

  private static func register(_ index: UInt8) -> UInt8 {
    cvmx_out8(0x70, index)
    return cvmx_in8(0x71)
  }
}
