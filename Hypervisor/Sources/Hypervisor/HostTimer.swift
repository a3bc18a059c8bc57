import CVMX
import Host
import Machine

/// The timer of this processor's local APIC, which the devices' deadline and that of a guest's local APIC share.
///
/// Deadlines are values of the time-stamp counter; `UInt64.max` is none.
struct HostTimer {
  private let clock: HostClock
  private let hasTSCDeadlineMode = Host.LocalAPIC.hasTSCDeadlineMode
  /// The devices' deadline, if this processor keeps it, and that of the guest's local APIC.
  private var devices = UInt64.max
  private var localAPIC = UInt64.max
  /// What the timer is set for.
  private var armed = UInt64.max

  /// Takes over this processor's timer.
  init(_ clock: HostClock) {
    self.clock = clock
    if hasTSCDeadlineMode { Host.LocalAPIC.enterTSCDeadlineMode() }
  }

  /// The timer may have fired: it is set again even for the same deadline.
  mutating func hasFired() { armed = .max }

  /// Takes the deadline of the guest's local APIC.
  @inline(__always)
  mutating func arm(for deadline: UInt64) {
    localAPIC = deadline
    set()
  }

  /// Takes the deadline of the devices, with the machine's lock held, if it has changed or this processor keeps it.
  mutating func keepDeadline(of machine: UnsafeMutablePointer<VirtualMachine>, _ processor: Int) {
    let deadline = machine.pointee.bus.nextDeadline
    if deadline != machine.pointee.armedDeadline {
      machine.pointee.armedDeadline = deadline
      machine.pointee.deadlineKeeper = processor
    }
    devices = machine.pointee.deadlineKeeper == processor ? machine.pointee.clock.ticks(at: deadline) : .max
  }

  /// Not for sooner than 20 µs: a guest that asks for more interrupts than that would have the host do nothing else.
  private mutating func set() {
    let deadline = min(devices, localAPIC)
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
