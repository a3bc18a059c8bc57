/// A heading of Fields.txt: the width and the type of the fields below it.
struct FieldHeading: Equatable {
  enum Width: String { case bits16, bits64, bits32, natural }
  enum FieldType: String { case control, vmExitInformation, guestState, hostState }

  var title: String
  var width: Width
  var type: FieldType

  /// Reads a title of the SDM's tables, like "16-Bit Control Fields".
  init?(_ title: String) {
    let widths: [(String, Width)] = [
      ("16-Bit ", .bits16), ("64-Bit ", .bits64), ("32-Bit ", .bits32), ("Natural-Width ", .natural),
    ]
    let types: [(String, FieldType)] = [
      ("Control", .control), ("Read-Only Data", .vmExitInformation), ("Guest-State", .guestState),
      ("Host-State", .hostState),
    ]
    guard let (prefix, width) = widths.first(where: { title.hasPrefix($0.0) }) else { return nil }
    let rest = title.dropFirst(prefix.count)
    guard let (_, type) = types.first(where: { rest == $0.0 + " Fields" || rest == $0.0 + " Field" }) else {
      return nil
    }
    self.title = title
    self.width = width
    self.type = type
  }
}

/// A field of Fields.txt.
struct FieldSpecification {
  /// When the field exists.
  enum Condition {
    case always
    /// The processor supports the 1-setting of one of these: a control word's id, and a bit's name and number.
    case controls([(word: String, bit: String, number: UInt64)])
    case feature(String)
  }

  var encoding: UInt64
  var name: String
  var type: String
  var isReadOnly: Bool
  var condition: Condition
  var title: String
  var heading: FieldHeading
  var line: SpecificationLine
}

/// The widths of the value types that are not in Words.txt.
let plainTypes = ["UInt16": 16, "UInt32": 32, "UInt64": 64, "PhysicalAddress": 64]

/// Reads Fields.txt.
func fieldSpecifications(of text: String, file: String, words: [WordSpecification]) throws -> [FieldSpecification] {
  var heading: FieldHeading?
  var fields: [FieldSpecification] = []
  var names: Set<String> = []
  for line in try specificationLines(of: text, file: file) {
    if let title = line.heading {
      guard let next = FieldHeading(title) else { throw line.error("\"\(title)\" is not a heading of Appendix B") }
      heading = next
      continue
    }
    guard let heading else { throw line.error("a field before the first heading") }
    let field = try fieldSpecification(line, heading, words)
    guard names.insert(field.name).inserted else { throw line.error("\(field.name) occurs twice") }
    if let last = fields.last, last.encoding >= field.encoding {
      throw line.error("the encoding is not above the one before it, as in Appendix B")
    }
    fields.append(field)
  }
  return fields
}

private func fieldSpecification(
  _ line: SpecificationLine, _ heading: FieldHeading, _ words: [WordSpecification]
) throws -> FieldSpecification {
  guard line.words.count == 5 else {
    throw line.error("expected an encoding, a name, a type, rw or ro, a condition and a title")
  }
  guard let encoding = number(line.words[0]), encoding <= 0x7FFF, encoding & 1 == 0 else {
    throw line.error("\(line.words[0]) is not the encoding of a field with full access")
  }
  guard isMemberName(line.words[1]) else { throw line.error("\(line.words[1]) is not a name in lowerCamelCase") }
  guard ["rw", "ro"].contains(line.words[3]) else { throw line.error("expected rw or ro, not \(line.words[3])") }
  guard let width = plainTypes[line.words[2]] ?? words.first(where: { $0.name == line.words[2] })?.width else {
    throw line.error("\(line.words[2]) is neither in Words.txt nor a plain type")
  }
  let expected: [FieldHeading.Width: Int] = [.bits16: 16, .bits32: 32, .bits64: 64, .natural: 64]
  guard expected[heading.width] == width else {
    throw line.error("\(line.words[2]) has \(width) bits, \"\(heading.title)\" do not")
  }
  return FieldSpecification(
    encoding: encoding, name: line.words[1], type: line.words[2], isReadOnly: line.words[3] == "ro",
    condition: try condition(line.words[4], line, words), title: try line.requiredTitle(), heading: heading,
    line: line)
}

private func condition(
  _ text: String, _ line: SpecificationLine, _ words: [WordSpecification]
) throws -> FieldSpecification.Condition {
  if text == "always" { return .always }
  if text.hasPrefix("<"), text.hasSuffix(">") { return .feature(String(text.dropFirst().dropLast())) }
  let terms = try text.split(separator: "|").map { term in
    let parts = term.split(separator: ".").map(String.init)
    guard parts.count == 2, let word = words.first(where: { $0.id == parts[0] }),
      let bit = word.members.first(where: { $0.name == parts[1] })
    else { throw line.error("\(term) is not a bit of a control word in Words.txt") }
    return (word: parts[0], bit: parts[1], number: bit.low)
  }
  guard (1...2).contains(terms.count) else { throw line.error("a condition has one or two control bits") }
  return .controls(terms)
}
