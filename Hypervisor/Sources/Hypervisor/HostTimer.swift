import CVMX
import Host
import Machine

/// The timer of this processor's local APIC, which the devices' deadline and the deadline of a guest's local APIC share.
struct HostTimer {
  private let clock: HostClock
  /// The deadlines on the time-stamp counter: of the devices, if this processor keeps it, and of the local APIC.
  private var devices = UInt64.max
  private var localAPIC = UInt64.max
  /// What the timer is set for; the greatest number if it is not.
  private var armed = UInt64.max

  init(_ clock: HostClock) { self.clock = clock }

  /// The timer may have fired: it is set again even for the same deadline.
  mutating func hasFired() { armed = .max }

  /// Takes a deadline of the guest's local APIC.
  mutating func arm(for deadline: UInt64) {
    localAPIC = deadline
    set()
  }

  /// Takes over the deadline of the devices if it has changed.
  mutating func armForDevices(_ machine: UnsafeMutablePointer<VirtualMachine>, _ now: MachineTime) {
  }
}
