/// What a virtual processor does (SDM, "Guest Non-Register State": the activity states).
///
/// Only an active one is entered: the host waits in the place of the others.
@frozen
public enum ProcessorActivity: Sendable {
  /// It executes instructions.
  case active
  /// It has executed HLT and waits for an interrupt.
  case halted
  /// It waits for a SIPI, after power-up or INIT.
  case waitForSIPI
}

/// What can wake a virtual processor that is not active.
@usableFromInline
enum Sleep {
  /// An interrupt, or an NMI, of a device.
  case interrupt
  /// An NMI, INIT or SIPI alone.
  case event
}
