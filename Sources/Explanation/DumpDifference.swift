import VMCS
import VMCSDump

/// What is different in two dumps, field by field and bit by bit.
public struct DumpDifference: Sendable {
  /// A field that is different.
  public struct Change: Sendable {
    /// The field.
    public let field: VMCSFieldDescription
    /// The first dump's value; nil if it has none.
    public let old: UInt64?
    /// The second dump's value; nil if it has none.
    public let new: UInt64?

    /// The bits that are different, by name; empty if one dump has no value or the bits have no names.
    var bits: [(name: String, old: String, new: String)] {
      guard let old, let new else { return [] }
      func text(_ bits: DecodedBits) -> String {
        bits.meaning ?? (bits.value < 10 ? "\(bits.value)" : String(hexadecimal: bits.value))
      }
      let pairs = zip(DecodedBits.all(in: old, of: field.valueType), DecodedBits.all(in: new, of: field.valueType))
      return pairs.filter { $0.value != $1.value }.map { (String($0.field.name), text($0), text($1)) }
    }
  }

  /// The fields that are different, in the SDM's order.
  public let changes: [Change]
  /// How many fields have the same value.
  public let sameCount: Int

  /// Compares two dumps.
  public init(_ old: Dump, _ new: Dump) {
    var changes: [Change] = []
    var same = 0
    for field in VMCSFieldDescription.all {
      let (a, b) = (old[field.encoding]?.bits, new[field.encoding]?.bits)
      if a == nil && b == nil { continue }
      if a == b { same += 1 } else { changes.append(Change(field: field, old: a, new: b)) }
    }
    (self.changes, sameCount) = (changes, same)
  }

  /// The difference for people, ended by a line feed.
  public func text(style: Style) -> String {
    var lines: [String] = []
    for change in changes {
      func text(_ value: UInt64?) -> String {
        value.map { String(hexadecimal: $0, digits: change.field.encoding.digits) } ?? "not there"
      }
      lines.append(style.strong("\(change.field.title): \(text(change.old)) → \(text(change.new))"))
      for bits in change.bits { lines.append("    \(bits.name.padded(to: 36))  \(bits.old) → \(bits.new)") }
    }
    lines.append("\(changes.count) fields are different, \(sameCount) are the same.")
    return lines.joined(separator: "\n") + "\n"
  }

  /// The difference as an object of the schema `skep.diff/1`.
  public var json: JSONValue {
    .object([
      ("schema", .string("skep.diff/1")), ("same", .number(UInt64(sameCount))),
      (
        "changes",
        .array(
          changes.map { change in
            .object([
              ("field", .string(String(change.field.name))), ("old", change.old.map { .hexadecimal($0) } ?? .null),
              ("new", change.new.map { .hexadecimal($0) } ?? .null),
              (
                "bits",
                .array(
                  change.bits.map { bits in
                    .object([("name", .string(bits.name)), ("old", .string(bits.old)), ("new", .string(bits.new))])
                  })
              ),
            ])
          })
      ),
    ])
  }
}
