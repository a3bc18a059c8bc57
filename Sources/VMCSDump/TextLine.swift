/// A line of the input without its end, as bytes.
typealias TextLine = UnsafeBufferPointer<UInt8>

@inline(__always)
func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

@inline(__always)
func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

@inline(__always)
func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }

@inline(__always)
func isWord(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) || byte == UInt8(ascii: "_") }

/// The value of a hexadecimal digit; nil for any other byte.
@inline(__always)
func hexadecimalDigit(_ byte: UInt8) -> UInt64? {
  if isDigit(byte) { return UInt64(byte &- 0x30) }
  let letter = byte | 0x20
  return letter &- 0x61 < 6 ? UInt64(letter &- 0x57) : nil
}

extension TextLine {
  /// Whether the bytes at `position` are `text`.
  @inline(__always)
  func has(_ text: StaticString, at position: Int) -> Bool {
    let length = text.utf8CodeUnitCount
    guard length <= count - position else { return false }
    for index in 0..<length where self[position + index] != text.utf8Start[index] { return false }
    return true
  }

  /// The position of the first byte from `position` on that is no blank; the count if there is none.
  @inline(__always)
  func skippingBlanks(from position: Int) -> Int {
    var position = position
    while position < count, isBlank(self[position]) { position += 1 }
    return position
  }
}
