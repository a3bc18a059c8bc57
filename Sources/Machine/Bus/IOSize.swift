/// How many bytes an I/O instruction moves at once.
@frozen
public enum IOSize: UInt8, Sendable, CaseIterable {
  /// One byte: `IN AL`, `OUT AL`.
  case byte = 1
  /// Two bytes: `IN AX`, `OUT AX`.
  case word = 2
  /// Four bytes: `IN EAX`, `OUT EAX`.
  case doubleword = 4
}
