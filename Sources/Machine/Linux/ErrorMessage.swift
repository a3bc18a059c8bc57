import VMCS

/// What an error says to the user: a sentence with what is wrong, and one with what to do.
///
/// It holds no text of its own, so that it can be made and written on bare metal.
public struct ErrorMessage: Sendable {
  /// The text, in which each `%d` (decimal) or `%x` (hexadecimal) stands for the next number, and each `%s` for the
  /// next name.
  public let template: StaticString
  /// What `%d` and `%x` stand for, in order.
  public let numbers: (UInt64, UInt64)
  /// What `%s` stands for, in order.
  public let names: (StaticString, StaticString, StaticString)

  init(
    _ template: StaticString, _ numbers: (UInt64, UInt64) = (0, 0),
    names: (StaticString, StaticString, StaticString) = ("", "", "")
  ) {
    self.template = template
    self.numbers = numbers
    self.names = names
  }

  /// Writes the message, with its numbers and names in place, and no line feed at its end.
  public func write<Output: ByteOutput & ~Copyable>(to output: inout Output) {
    var numberIndex = 0
    var nameIndex = 0
    var index = 0
    while index < template.utf8CodeUnitCount {
      let byte = template.utf8Start[index]
      index += 1
      guard byte == UInt8(ascii: "%"), index < template.utf8CodeUnitCount else {
        output.write(byte)
        continue
      }
      let number = numberIndex == 0 ? numbers.0 : numbers.1
      switch template.utf8Start[index] {
      case UInt8(ascii: "s"):
        output.write(nameIndex == 0 ? names.0 : nameIndex == 1 ? names.1 : names.2)
        nameIndex += 1
      case UInt8(ascii: "x"):
        output.write(hexadecimal: number, digits: max(1, (64 - number.leadingZeroBitCount + 3) / 4))
        numberIndex += 1
      default:
        output.write(decimal: number)
        numberIndex += 1
      }
      index += 1
    }
  }
}

#if !hasFeature(Embedded)
  extension ErrorMessage: CustomStringConvertible {
    /// The message with its numbers and names in place.
    public var description: String {
      struct Bytes: ByteOutput {
        var bytes: [UInt8] = []
        mutating func write(_ byte: UInt8) { bytes.append(byte) }
      }
      var output = Bytes()
      write(to: &output)
      return String(decoding: output.bytes, as: UTF8.self)
    }
  }
#endif
