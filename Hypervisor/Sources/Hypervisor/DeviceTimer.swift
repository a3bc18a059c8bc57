import Host
import Machine

/// The interval timer of the host's, which interrupts processor 0 when a deadline of the guest's devices has come.
///
/// Used with the machine's lock held.
struct DeviceTimer {
  private let clock: HostClock
  /// When the guest is to be stopped, by the time-stamp counter; `UInt64.max` for never.
  private let limit: UInt64
  /// Until when it has been set, by the time-stamp counter.
  private var end: UInt64 = 0

  /// Takes over the interval timer, which interrupts at `limit`, too.
  init(_ clock: HostClock, limit: UInt64) {
    self.clock = clock
    self.limit = limit
  }

  /// Sets the timer if the devices' deadline has changed, or if what it was set for was farther away than it counts.
  ///
  /// Not for sooner than 20 µs: a guest that asks for more interrupts than that would have the host do nothing else.
  mutating func keepDeadline(of machine: UnsafeMutablePointer<VirtualMachine>, at ticks: UInt64) {
    let deadline = machine.pointee.bus.nextDeadline
    if deadline == machine.pointee.armedDeadline && ticks < end { return }
    machine.pointee.armedDeadline = deadline
    let wanted = min(deadline == .max ? .max : machine.pointee.clock.ticks(at: deadline), limit)
    if wanted == .max {
      end = .max
      return
    }
    let shortest = clock.timestampFrequency / 50_000
    end = ticks &+ IntervalTimer.start(max(wanted > ticks ? wanted - ticks : 0, shortest), clock)
  }
}
