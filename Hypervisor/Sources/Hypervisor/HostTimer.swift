import CVMX
import Host

/// The timer of this processor's local APIC, for the deadline of a guest's local APIC.
///
/// Deadlines are values of the time-stamp counter; `UInt64.max` is none.
struct HostTimer {
  private let clock: HostClock
  private let hasTSCDeadlineMode = Host.LocalAPIC.hasTSCDeadlineMode
  /// What the timer is set for.
  private var armed = UInt64.max

  /// Takes over this processor's timer.
  init(_ clock: HostClock) {
    self.clock = clock
    if hasTSCDeadlineMode { Host.LocalAPIC.enterTSCDeadlineMode() } else { Host.LocalAPIC.setTimerMask(false) }
  }

  /// The timer may have fired: it is set again even for the same deadline.
  mutating func hasFired() { armed = .max }

  /// Sets the timer for `deadline`.
  ///
  /// Not for sooner than 20 µs: a guest that asks for more interrupts than that would have the host do nothing else.
  mutating func arm(for deadline: UInt64) {
    if deadline == armed { return }
    armed = deadline
    if deadline == .max { return hasTSCDeadlineMode ? Host.LocalAPIC.setDeadline(0) : Host.LocalAPIC.setTimer(0) }
    let now = cvmx_rdtsc()
    let shortest = clock.timestampFrequency / 50_000
    let ticks = max(deadline > now ? deadline - now : 0, shortest)
    if hasTSCDeadlineMode {
      Host.LocalAPIC.setDeadline(now &+ ticks)
    } else {
      Host.LocalAPIC.setTimer(clock.timerTicks(ticks))
    }
  }
}
