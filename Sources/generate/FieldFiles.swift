/// The files that come from Fields.txt: the typed fields, one file a heading, and the table that describes them.
func fieldFiles(_ fields: [FieldSpecification]) -> [GeneratedFile] {
  var headings: [FieldHeading] = []
  for field in fields where !headings.contains(field.heading) { headings.append(field.heading) }
  return headings.map { heading in
    fieldFile(heading, fields.filter { $0.heading == heading })
  } + [tableFile(fields)]
}

private func fieldFile(_ heading: FieldHeading, _ fields: [FieldSpecification]) -> GeneratedFile {
  var groups: [(key: String, fields: [FieldSpecification])] = []
  for field in fields {
    let key = "Value == \(field.type), Access == \(field.isReadOnly ? "ReadOnly" : "ReadWrite")"
    if let index = groups.firstIndex(where: { $0.key == key }) {
      groups[index].fields.append(field)
    } else {
      groups.append((key, [field]))
    }
  }
  let body = groups.map { group in
    "extension VMCSField where \(group.key) {\n" + group.fields.map(property).joined(separator: "\n") + "}\n"
  }
  let name = heading.title.filter { $0.isLetter || $0.isNumber }
  return GeneratedFile(generatedDirectory + "Fields/\(name).swift", from: "Fields.txt", body.joined(separator: "\n"))
}

private func property(_ field: FieldSpecification) -> String {
  let encoding = hex(field.encoding, 4)
  return documentation("\(field.title), \(encoding), \(conditionText(field.condition)).", indent: "  ")
    + "  @inlinable public static var \(field.name): Self { Self(\(encoding)) }\n"
}

private func conditionText(_ condition: FieldSpecification.Condition) -> String {
  switch condition {
  case .always: "always there"
  case .controls(let bits): "there with " + bits.map { "`\($0.word).\($0.bit)`" }.joined(separator: " or ")
  case .feature(let feature): "there with \(feature)"
  }
}

private func tableFile(_ fields: [FieldSpecification]) -> GeneratedFile {
  var text = """
    extension VMCSFieldDescription {
      /// How many fields there are.
      @inlinable public static var count: Int { \(fields.count) }

      /// The encoding of the field at `index` in the order of the encodings.
      static func encoding(at index: Int) -> UInt16 {
        switch index {

    """
  for (index, field) in fields.enumerated() {
    text += "    case \(index): \(hex(field.encoding, 4))\n"
  }
  text += """
        default: 0xFFFF
        }
      }

      /// The description of the field at `index`, which has to be in `0..<count`.
      static func description(at index: Int) -> VMCSFieldDescription {
        switch index {

    """
  for (index, field) in fields.enumerated() { text += tableCase(index, field) }
  text += """
        default: preconditionFailure()
        }
      }
    }

    """
  return GeneratedFile(generatedDirectory + "VMCSFieldTable.swift", from: "Fields.txt", text)
}

private func tableCase(_ index: Int, _ field: FieldSpecification) -> String {
  let condition =
    switch field.condition {
    case .always: ".always"
    case .controls(let bits):
      ".init(" + bits.map { "ControlBit(.\($0.word), \($0.number))" }.joined(separator: ", ") + ")"
    case .feature(let feature): ".init(feature: \"\(feature)\")"
    }
  return """
        case \(index):
          VMCSFieldDescription(
            "\(field.name)", \(hex(field.encoding, 4)), .\(field.heading.width), .\(field.heading.type), \
    isReadOnly: \(field.isReadOnly),
            .\(memberName(ofType: field.type)), \(condition),
            "\(field.title)")

    """
}
