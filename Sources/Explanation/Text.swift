import VMCS
import VMEntryChecks

extension String {
  /// The text.
  init(_ text: StaticString) { self = text.description }

  /// The text, or another if there is none.
  init(_ text: StaticString?, or other: @autoclosure () -> String) { self = text?.description ?? other() }

  /// A number in hexadecimal with "0x", with at least so many digits.
  init(hexadecimal value: UInt64, digits: Int = 1) {
    let text = String(value, radix: 16)
    self = "0x" + String(repeating: "0", count: Swift.max(0, digits - text.count)) + text
  }

  /// The text, with spaces after it up to a width.
  func padded(to width: Int) -> String { self + String(repeating: " ", count: Swift.max(0, width - count)) }

  /// "1 check", "2 checks".
  init(_ count: Int, _ noun: String) { self = "\(count) \(noun)\(count == 1 ? "" : "s")" }
}

/// Collects bytes.
struct ByteBuffer: ByteOutput {
  var bytes: [UInt8] = []
  mutating func write(_ byte: UInt8) { bytes.append(byte) }
}

extension VMCSFieldEncoding {
  /// The SDM's name of the field, or the encoding.
  var title: String { String(VMCSFieldDescription(encoding: self)?.title, or: String(hexadecimal: UInt64(rawValue))) }

  /// How many hexadecimal digits a value has.
  var digits: Int { width.bitWidth / 4 }
}

extension UInt64 {
  /// The numbers of the bits that are 1, as the SDM writes them, like "63", "63:48" or "63, 61:60".
  var bitNumbers: String {
    var parts: [String] = []
    var bit = 63
    while bit >= 0 {
      guard self >> UInt64(bit) & 1 == 1 else {
        bit -= 1
        continue
      }
      let high = bit
      while bit > 0, self >> UInt64(bit - 1) & 1 == 1 { bit -= 1 }
      parts.append(high == bit ? "\(high)" : "\(high):\(bit)")
      bit -= 1
    }
    return parts.joined(separator: ", ")
  }
}
