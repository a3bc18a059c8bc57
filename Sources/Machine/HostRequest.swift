/// What a running guest needs of the host.
public enum HostRequest: Sendable {
  /// An interrupt of the host's came, and has been acknowledged.
  case interrupt(vector: UInt8)
  /// `IOBus.nextDeadline` has changed.
  case deadlineChanged
  /// The guest has sent bytes, and the host had taken all before.
  case output
  /// The guest's processor is halted until an interrupt comes.
  case halted
  /// The guest is not to be run again.
  case stopped(GuestStop)
}
