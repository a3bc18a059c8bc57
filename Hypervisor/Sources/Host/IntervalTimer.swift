import CVMX

/// Channel 0 of the host's 8254: one interrupt after a time, on input 2 of the I/O APIC.
package enum IntervalTimer {
  /// The I/O APIC's input that ISA's interrupt 0 comes to.
  package static var input: UInt32 { 2 }

  private static var longestCount: UInt64 { 65_000 }

  /// Has it interrupt once when `ticks` of the time-stamp counter have passed, not before, and soon after: or earlier, if
  /// that is more than it can count; how many of the ticks will surely have passed then.
  package static func start(_ ticks: UInt64, _ clock: HostClock) -> UInt64 {
    let longest = longestCount &* clock.timestampFrequency / HostClock.frequency8254
    let ticks = min(ticks, longest)
    let count = ticks &* HostClock.frequency8254 / clock.timestampFrequency
    // What the measured frequency may be wrong by comes on top.
    let safeCount = count &+ count >> 12 &+ 2
    cvmx_out8(0x43, 0b0011_0000)
    cvmx_out8(0x40, UInt8(truncatingIfNeeded: safeCount))
    cvmx_out8(0x40, UInt8(truncatingIfNeeded: safeCount >> 8))
    return ticks
  }
}
