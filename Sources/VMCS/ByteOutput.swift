/// Where text goes, byte by byte: a serial port, a buffer, a terminal.
///
/// Needs no heap and no `String`.
public protocol ByteOutput: ~Copyable {
  /// Writes one byte.
  mutating func write(_ byte: UInt8)
}

extension ByteOutput where Self: ~Copyable {
  /// Writes the bytes of `text`.
  @inline(never)
  public mutating func write(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { write(text.utf8Start[index]) }
  }

  /// Writes `value` in decimal.
  @inline(never)
  public mutating func write(decimal value: UInt64) {
    var divisor: UInt64 = 1
    while value / divisor >= 10 { divisor *= 10 }
    while divisor > 0 {
      write(UInt8(truncatingIfNeeded: value / divisor % 10) &+ 0x30)
      divisor /= 10
    }
  }

  /// Writes `value` in hexadecimal with `0x`, with `digits` digits.
  @inline(never)
  public mutating func write(hexadecimal value: UInt64, digits: Int = 16) {
    write("0x")
    for position in stride(from: digits - 1, through: 0, by: -1) {
      let digit = UInt8(truncatingIfNeeded: value >> UInt64(4 * position)) & 15
      write(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
    }
  }
}
