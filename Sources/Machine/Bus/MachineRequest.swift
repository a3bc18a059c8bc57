/// What a guest has asked of its whole machine by writing to a port.
@frozen
public enum MachineRequest: Equatable, Sendable {
  /// Soft-off, ACPI's S5.
  case powerOff
  /// A restart of the machine, by the named register.
  case reset(ResetSource)
  /// The end of the run with an exit status, by ``DebugExitPort``.
  case exit(status: UInt8)
}

/// The register by which a guest restarts its machine.
@frozen
public enum ResetSource: Equatable, Sendable {
  /// The output port of the keyboard controller, ports 0x60 and 0x64.
  case keyboardController
  /// System control port A, port 0x92.
  case systemControlPortA
  /// The reset control register, port 0xcf9.
  case resetControlRegister
  /// An INIT of the bootstrap processor, which would begin at the reset vector.
  case initialize
}
