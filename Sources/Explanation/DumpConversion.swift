import VMCS
import VMCSDump

/// A dump in other forms.
public struct DumpConversion: Sendable {
  /// The dump.
  public let dump: Dump

  /// Converts a dump.
  public init(_ dump: Dump) { self.dump = dump }

  private var values: [(field: VMCSFieldDescription, value: DumpValue)] {
    VMCSFieldDescription.all.compactMap { field in dump[field.encoding].map { (field, $0) } }
  }

  /// A table in the order of the SDM's Appendix B, ended by a line feed; `skep` commands can read it again.
  public func table(file: String?, style: Style) -> String {
    var lines = [style.faint("\(file ?? "standard input"):\(dump.firstLine)-\(dump.lastLine): \(dump.format.name)")]
    var group = ""
    for (field, value) in values {
      let next = "\(field.width.groupTitle) \(field.type.groupTitle)"
      if next != group {
        lines += ["", style.strong(next)]
        group = next
      }
      // Parentheses keep a reader from taking the number for the field's contents.
      let number = String(hexadecimal: value.bits, digits: field.encoding.digits)
      let bits = value.quality == .exact ? number : "(\(number))"
      var line =
        "\(String(hexadecimal: UInt64(field.encoding.rawValue), digits: 4))  \(String(field.name).padded(to: 44))  "
        + "\(bits.padded(to: 18))  line \(String(value.line).padded(to: 5))"
      if value.quality == .view { line += " not the field itself" }
      if value.quality == .truncated { line += " cut" }
      let meaning = field.meaning(of: value.bits)
      if !meaning.isEmpty { line += " \(meaning)" }
      lines.append(line)
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The fields that VMWRITE can write, as calls of a function `vmwrite`.
  public var vmwrites: String {
    writable.map { field, value in
      "vmwrite(\(String(hexadecimal: UInt64(field.encoding.rawValue), digits: 4)), \(String(hexadecimal: value)));\n"
    }.joined()
  }

  /// The fields that VMWRITE can write, as assignments to a `VMCSFieldValues` of Skep's library.
  public var swift: String {
    let lines = writable.map { field, value in
      let number = String(hexadecimal: value, digits: field.encoding.digits)
      return switch field.valueType {
      case .uint16, .uint32, .uint64: "state[.\(field.name)] = \(number)"
      case .physicalAddress: "state[.\(field.name)] = PhysicalAddress(\(number))"
      default: "state[.\(field.name)] = .init(rawValue: \(number))"
      }
    }
    return "var state = VMCSFieldValues()\n" + lines.map { $0 + "\n" }.joined()
  }

  private var writable: [(field: VMCSFieldDescription, value: UInt64)] {
    values.filter { !$0.field.isReadOnly && $0.value.quality == .exact }.map { ($0.field, $0.value.bits) }
  }

  /// The dump as an object of the schema `skep.dump/1`.
  public func json(file: String?) -> JSONValue {
    .object([
      ("schema", .string("skep.dump/1")), ("file", .optional(file)), ("format", .string(String(dump.format.name))),
      ("lines", .array([.number(dump.firstLine), .number(dump.lastLine)])),
      (
        "fields",
        .object(
          values.map { field, value in
            let quality: String
            switch value.quality {
            case .exact: quality = "exact"
            case .view: quality = "view"
            case .truncated: quality = "truncated"
            }
            return (
              String(field.name),
              .object([
                ("encoding", .hexadecimal(UInt64(field.encoding.rawValue), digits: 4)),
                ("value", .hexadecimal(value.bits)),
                ("line", .number(value.line)), ("quality", .string(quality)),
                ("meaning", .string(field.meaning(of: value.bits))),
              ])
            )
          })
      ),
    ])
  }
}

extension VMCSFieldWidth {
  /// The beginning of the SDM's title of the fields of this width.
  var groupTitle: String {
    switch self {
    case .bits16: "16-Bit"
    case .bits32: "32-Bit"
    case .bits64: "64-Bit"
    case .natural: "Natural-Width"
    }
  }
}

extension VMCSFieldType {
  /// The end of the SDM's title of the fields of this type.
  var groupTitle: String {
    switch self {
    case .control: "Control Fields"
    case .vmExitInformation: "Read-Only Data Fields"
    case .guestState: "Guest-State Fields"
    case .hostState: "Host-State Fields"
    }
  }
}
