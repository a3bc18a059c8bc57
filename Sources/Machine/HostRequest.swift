/// What a running virtual processor needs of the host.
public enum HostRequest: Sendable {
  /// An interrupt of the host's came, and has been acknowledged.
  case interrupt(vector: UInt8)
  /// An NMI of the host's came, which has not been delivered; NMIs are blocked until the host executes IRET.
  case nmi
  /// The VMX-preemption timer has counted down.
  case preemptionTimer
  /// `VirtualProcessor.nextDeadline` has changed.
  case deadlineChanged
  /// The deadline of the devices has changed.
  case deviceDeadlineChanged
  /// The guest has sent bytes, and the host had taken all before.
  case output
  /// The guest's serial port has room for bytes that the host keeps for it.
  case input
  /// Other processors have something to look at: `VirtualProcessor.takeKicks()` says which.
  case kick
  /// The guest's processor is halted until an interrupt comes.
  case halted
  /// The guest is not to be run again.
  case stopped(GuestStop)
}
