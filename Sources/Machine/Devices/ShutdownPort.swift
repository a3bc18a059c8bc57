/// The port 0x8900 of Bochs and of older versions of QEMU, which turns the machine off when "Shutdown" is written to it,
/// byte by byte.
public struct ShutdownPort {
  /// How many bytes of the word have been written.
  private var matched = 0

  /// The port.
  public static var port: UInt16 { 0x8900 }
  private static var word: StaticString { "Shutdown" }

  /// Makes the port as it is after reset.
  public init() {}

  /// Writes a byte.
  ///
  /// A byte that does not continue the word may be the first of it.
  ///
  /// - Returns: whether that turns the machine off: the word is complete.
  public mutating func write(_ value: UInt8) -> Bool {
    if value != Self.word.utf8Start[matched] { matched = 0 }
    if value == Self.word.utf8Start[matched] { matched &+= 1 }
    if matched < Self.word.utf8CodeUnitCount { return false }
    matched = 0
    return true
  }
}
