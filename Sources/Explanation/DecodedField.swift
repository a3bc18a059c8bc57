import VMCS

/// A field's value, bit by bit.
public struct DecodedField: Sendable {
  /// The field.
  public let field: VMCSFieldDescription
  /// The value, which fits the field's width.
  public let value: UInt64

  /// Decodes "FIELD=VALUE"; nil if it is not written so, there is no such field, or the value does not fit.
  public init?(_ text: String) {
    guard let equals = text.lastIndex(of: "="), let field = FieldReference.field(String(text[..<equals])),
      let value = FieldReference.number(String(text[text.index(after: equals)...])),
      field.width.bitWidth == 64 || value >> UInt64(field.width.bitWidth) == 0
    else { return nil }
    (self.field, self.value) = (field, value)
  }

  /// The value for people.
  public func text(style: Style) -> String {
    let digits = field.encoding.digits
    var lines = [style.strong("\(field.title) = \(String(hexadecimal: value, digits: digits))")]
    if field.valueType.bitFields.isEmpty || field.valueType.isEnumeration {
      let meaning = field.meaning(of: value)
      if !meaning.isEmpty { lines.append("  " + meaning) }
    }
    for bits in DecodedBits.all(in: value, of: field.valueType) {
      let contents = bits.field.high == bits.field.low ? "\(bits.value)" : String(hexadecimal: bits.value)
      let text =
        "  \(bits.field.range.padded(to: 7))  \(String(bits.field.name).padded(to: 36))  \(contents.padded(to: 8))  "
        + (bits.meaning ?? String(bits.field.title))
      lines.append(bits.value == 0 ? style.faint(text) : text)
    }
    let unnamed = DecodedBits.unnamed(in: value, of: field.valueType)
    if unnamed != 0 { lines.append("  bits that the SDM does not name and that are 1: \(unnamed.bitNumbers)") }
    if let event = Words.event(field.encoding, value) { lines.append("  that is: \(event)") }
    return lines.joined(separator: "\n")
  }

  /// The value as an object of the schema `skep.decode/1`.
  public var json: JSONValue {
    .object([
      ("schema", .string("skep.decode/1")), ("name", .string(String(field.name))),
      ("encoding", .hexadecimal(UInt64(field.encoding.rawValue), digits: 4)), ("value", .hexadecimal(value)),
      ("meaning", .string(field.meaning(of: value))),
      (
        "bits",
        .array(
          DecodedBits.all(in: value, of: field.valueType).map { bits in
            .object([
              ("name", .string(String(bits.field.name))), ("high", .number(UInt64(bits.field.high))),
              ("low", .number(UInt64(bits.field.low))), ("value", .hexadecimal(bits.value)),
              ("meaning", .optional(bits.meaning)),
            ])
          })
      ),
      ("unnamed", .hexadecimal(DecodedBits.unnamed(in: value, of: field.valueType))),
    ])
  }
}
