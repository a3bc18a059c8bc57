import VMCS

/// A text that is being printed.
struct TextBuffer: ByteOutput {
  private(set) var bytes: [UInt8] = []

  mutating func write(_ byte: UInt8) { bytes.append(byte) }

  /// Writes digits without "0x".
  private mutating func writeDigits(_ value: UInt64, atLeast count: Int) {
    var digits = max(1, count)
    while digits < 16, value >> UInt64(4 * digits) != 0 { digits += 1 }
    for position in stride(from: digits - 1, through: 0, by: -1) {
      let digit = UInt8(truncatingIfNeeded: value >> UInt64(4 * position)) & 15
      write(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
    }
  }

  /// Writes a row with its numbers.
  mutating func write(_ row: DumpRow, _ number: (DumpTarget) -> UInt64) {
    let text = row.text
    var (position, index) = (0, 0)
    func next() -> UInt64 {
      defer { index += 1 }
      return index < row.targets.count ? number(row.targets[index]) : 0
    }
    while position < text.utf8CodeUnitCount {
      let byte = text.utf8Start[position]
      position += 1
      switch byte {
      case UInt8(ascii: "%"):
        var count = 0
        while position < text.utf8CodeUnitCount, isDigit(text.utf8Start[position]) {
          count = 10 * count + Int(text.utf8Start[position] - 0x30)
          position += 1
        }
        writeDigits(next(), atLeast: count)
      case UInt8(ascii: "#"): write(decimal: next())
      case UInt8(ascii: "~"), UInt8(ascii: "&"): break
      case UInt8(ascii: "^"): write("[-------]")
      case UInt8(ascii: "@"): write("0")
      default: write(byte)
      }
    }
  }

  /// Writes the line of a field in a form that has one for each.
  mutating func write(_ field: VMCSFieldDescription, _ value: UInt64, as form: DumpWriter.Form) {
    let encoding = UInt64(field.encoding.rawValue)
    switch form {
    case .xenRaw:
      if bytes.isEmpty { write("16-bit Control Fields\n") }
      write("\t\t0x")
      writeDigits(encoding, atLeast: 8)
      write(": 0x")
      writeDigits(value, atLeast: 4)
    case .haxm:
      write("haxm_warning: ")
      writeDigits(encoding, atLeast: 4)
      write(" ")
      write(field.name)
      write(": ")
      writeDigits(value, atLeast: 1)
    case .vmwrite:
      write("vmwrite(0x")
      writeDigits(encoding, atLeast: 4)
      write(", 0x")
      writeDigits(value, atLeast: 1)
      write(");")
    default:
      write(hexadecimal: encoding, digits: 4)
      write("  ")
      write(field.name)
      for _ in field.name.utf8CodeUnitCount..<max(44, field.name.utf8CodeUnitCount) { write(" ") }
      write("  ")
      write(hexadecimal: value, digits: field.width.bitWidth / 4)
    }
    write("\n")
  }
}
