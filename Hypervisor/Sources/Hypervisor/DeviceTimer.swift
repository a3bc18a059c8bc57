import Host
import Machine

/// The interval timer of the host's, which interrupts processor 0 when a deadline of the guest's devices has come.
///
/// Used with the machine's lock held.
struct DeviceTimer {
  private let clock: HostClock
  /// Until when it has been set, by the time-stamp counter.
  private var end: UInt64 = 0

  /// Takes over the interval timer.
  init(_ clock: HostClock) { self.clock = clock }

  /// Sets the timer if the devices' deadline has changed, or if it was farther away than the timer counts.
  ///
  /// Not for sooner than 20 µs: a guest that asks for more interrupts than that would have the host do nothing else.
  mutating func keepDeadline(of machine: UnsafeMutablePointer<VirtualMachine>, at ticks: UInt64) {
    let deadline = machine.pointee.bus.nextDeadline
    let isOver = ticks >= end && deadline != .max
    if deadline == machine.pointee.armedDeadline && !isOver { return }
    machine.pointee.armedDeadline = deadline
    if deadline == .max { return }
    let wanted = machine.pointee.clock.ticks(at: deadline)
    let shortest = clock.timestampFrequency / 50_000
    end = ticks &+ IntervalTimer.start(max(wanted > ticks ? wanted - ticks : 0, shortest), clock)
  }
}
