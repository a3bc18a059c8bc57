import VMCS

extension VMCSFieldDescription {
  /// The line of the field in a table: encoding, name, width, access, title.
  public var line: String {
    "\(String(hexadecimal: UInt64(encoding.rawValue), digits: 4))  \(String(name).padded(to: 44))  "
      + "\(width.text.padded(to: 7))  \((isReadOnly ? "read" : "read, write").padded(to: 11))  \(title)"
  }

  /// Everything about the field, for people.
  public var details: String {
    var lines = [
      "\(title)", "", "  name       \(name)",
      "  encoding   \(String(hexadecimal: UInt64(encoding.rawValue), digits: 4))",
      "  width      \(width.text)", "  access     \(isReadOnly ? "read-only" : "read and write")",
      "  there      \(conditionText)",
    ]
    if valueType.isEnumeration {
      lines.append("")
      for value in 0..<UInt64(256) {
        if let title = valueType.title(of: value) { lines.append("  \(String(value).padded(to: 9))  \(title)") }
      }
    } else if !valueType.bitFields.isEmpty {
      lines.append("")
      for bits in valueType.bitFields {
        lines.append("  \(bits.range.padded(to: 9))  \(String(bits.name).padded(to: 36))  \(bits.title)")
      }
    }
    return lines.joined(separator: "\n")
  }

  /// When the field exists, in words.
  var conditionText: String {
    if let feature = condition.feature { return "on processors with \(feature)" }
    func name(_ bit: ControlBit) -> String {
      String(bit.word.valueType.bitFields.first { $0.low == bit.bit }?.title, or: "bit \(bit.bit)")
    }
    guard let control = condition.control else { return "always" }
    let other = condition.alternative.map { " or “\(name($0))”" } ?? ""
    return "where “\(name(control))”\(other) can be 1"
  }

  /// The field as an object of the schema `skep.fields/1`.
  public var json: JSONValue {
    .object([
      ("schema", .string("skep.fields/1")),
      ("encoding", .hexadecimal(UInt64(encoding.rawValue), digits: 4)), ("name", .string(String(name))),
      ("title", .string(String(title))), ("width", .string(width.text)), ("readOnly", .boolean(isReadOnly)),
      ("there", .string(conditionText)),
      (
        "bits",
        .array(
          valueType.bitFields.map { bits in
            .object([
              ("high", .number(UInt64(bits.high))), ("low", .number(UInt64(bits.low))),
              ("name", .string(String(bits.name))),
              ("title", .string(String(bits.title))),
            ])
          })
      ),
    ])
  }
}

extension VMCSFieldWidth {
  /// The width in words.
  var text: String { self == .natural ? "natural" : "\(bitWidth) bits" }
}

extension BitField {
  /// The numbers of the bits, like "7:0".
  var range: String { high == low ? "\(low)" : "\(high):\(low)" }
}
