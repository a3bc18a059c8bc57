/// An error that a local APIC detects, by its bit in ESR (SDM, "Error Handling").
@frozen
public enum LocalAPICError: UInt32, Sendable, CaseIterable {
  /// Send Illegal Vector: an IPI with a vector below 16.
  case sendIllegalVector = 0x20
  /// Receive Illegal Vector: a message, or an entry of the local vector table, with a vector below 16.
  case receiveIllegalVector = 0x40
  /// Illegal Register Address: in xAPIC mode, an access to a register that does not exist.
  case illegalRegisterAddress = 0x80
}
