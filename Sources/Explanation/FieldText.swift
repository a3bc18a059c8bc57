import VMCS

/// What the bits of a value mean, one by one.
public struct DecodedBits: Sendable {
  /// The bits.
  public let field: BitField
  /// Their contents, moved to bit 0.
  public let value: UInt64

  /// The SDM's title of the contents, if they are one of several that the SDM lists.
  public var meaning: String? { field.valueType.flatMap { $0.title(of: value).map { String($0) } } }

  /// Decodes every named bit of a value.
  public static func all(in value: UInt64, of type: ValueType) -> [Self] {
    type.bitFields.map { Self(field: $0, value: $0.value(in: value)) }
  }

  /// The bits that are 1 and have no name.
  public static func unnamed(in value: UInt64, of type: ValueType) -> UInt64 {
    type.bitFields.isEmpty ? 0 : value & ~type.bitFields.mask
  }
}

extension VMCSFieldDescription {
  /// What a value of the field means, in a line: the bits that are not 0 by name, or the SDM's title; empty if the value is
  /// a mere number.
  public func meaning(of value: UInt64) -> String {
    if self.valueType.isEnumeration { return String(valueType.title(of: value), or: "not defined") }
    if encoding == VMCSField.exitReason.encoding {
      return Words.exitReason(ExitReason(rawValue: UInt32(truncatingIfNeeded: value)))
    }
    if let event = Words.event(encoding, value) { return event }
    var parts: [String] = []
    for bits in DecodedBits.all(in: value, of: valueType) where bits.value != 0 {
      let name = String(bits.field.name)
      if let meaning = bits.meaning {
        parts.append("\(name)=\(meaning)")
      } else {
        parts.append(bits.field.high == bits.field.low ? name : "\(name)=\(String(hexadecimal: bits.value))")
      }
    }
    let unnamed = DecodedBits.unnamed(in: value, of: valueType)
    if unnamed != 0 { parts.append("bits \(unnamed.bitNumbers)") }
    return parts.joined(separator: " ")
  }
}

/// Values in words.
enum Words {
  /// An exit reason: the SDM's title, and that the VM entry failed.
  static func exitReason(_ reason: ExitReason) -> String {
    let basic = reason.basicReason
    let title = String(basic.title, or: "not a basic exit reason that the SDM defines")
    return "\(basic.rawValue): \(title)"
  }

  /// An event in one of the fields that hold one; nil for other fields.
  static func event(_ field: VMCSFieldEncoding, _ value: UInt64) -> String? {
    switch field {
    case VMCSField.vmEntryInterruptionInformation.encoding, VMCSField.idtVectoringInformation.encoding,
      VMCSField.vmExitInterruptionInformation.encoding:
      break
    default: return nil
    }
    // The three fields have the same layout in the bits that are used here.
    let information = VMEntryInterruptionInformation(rawValue: UInt32(truncatingIfNeeded: value))
    guard information.valid else { return value == 0 ? "no event" : "no event (valid is 0)" }
    let hasErrorCode = field == VMCSField.vmEntryInterruptionInformation.encoding ? "deliver error code" : "error code"
    return event(information) + (information.deliverErrorCode ? ", \(hasErrorCode)" : "")
  }

  /// An event, like "external interrupt 0xd1" or "general protection (#GP)".
  static func event(_ information: VMEntryInterruptionInformation) -> String {
    let vector = information.vector
    switch information.type {
    case .externalInterrupt: return "external interrupt \(String(hexadecimal: UInt64(vector)))"
    case .nmi: return vector == 2 ? "NMI" : "NMI with vector \(vector)"
    case .hardwareException:
      return String(ExceptionVector(rawValue: vector).title, or: "hardware exception with vector \(vector)")
    case .softwareInterrupt: return "software interrupt \(String(hexadecimal: UInt64(vector)))"
    case .privilegedSoftwareException: return "privileged software exception with vector \(vector)"
    case .softwareException: return "software exception with vector \(vector)"
    case .otherEvent: return "other event \(vector)"
    default: return "an event of the reserved type 1 with vector \(vector)"
    }
  }

  /// The short name of an exception, like "#GP"; nil if it has none.
  static func mnemonic(ofException vector: UInt8) -> String? {
    guard let title = ExceptionVector(rawValue: vector).title.map({ String($0) }), let open = title.firstIndex(of: "(")
    else { return nil }
    return String(title[title.index(after: open)...].dropLast())
  }
}
