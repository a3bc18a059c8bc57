/// The file that gives the tests every typed field and every property of every word, to hold them against the tables.
func testFile(_ fields: [FieldSpecification], _ words: [WordSpecification]) -> GeneratedFile {
  var text = """
    import VMCS

    /// Every typed field.
    var typedFields: [TypedField] {
      [

    """
  for field in fields { text += "    TypedField(\"\(field.name)\", VMCSField.\(field.name)),\n" }
  text += "  ]\n}\n"
  let described = words.filter { $0.kind != .values }
  text += """

    /// The properties of the words of type `word`.
    func wordProperties(_ word: ValueType) -> [WordProperty] {
      switch word {

    """
  for word in described {
    let name = memberName(ofType: word.name)
    text += "  case .\(name): \(name)Properties\n"
  }
  text += "  default: []\n  }\n}\n"
  for word in described {
    text += "\nprivate var \(memberName(ofType: word.name))Properties: [WordProperty] {\n  [\n"
    for member in word.members {
      let line = "    \(constructor(word, member)), \"\(member.name)\")"
      let isLong = line.count >= 120
      text += isLong ? line.split(separator: "(", maxSplits: 1).joined(separator: "(\n      ") : line
      text += word.members.count == 1 ? "\n" : ",\n"
    }
    text += "  ]\n}\n"
  }
  return GeneratedFile("Tests/VMCSTests/VocabularyProperties.swift", from: "*.txt", text)
}

/// The beginning of the expression that makes the `WordProperty` of a member.
private func constructor(_ word: WordSpecification, _ member: WordSpecification.Member) -> String {
  let member = (name: escaped(member.name), isBit: member.high == member.low, contents: member.contents)
  return switch (word.kind, member.contents, member.isBit) {
  case (.word, .some, _): ".values(\\\(word.name).\(member.name)"
  case (.word, nil, true): ".bit(\\\(word.name).\(member.name)"
  case (.word, nil, false): ".range(\\\(word.name).\(member.name)"
  default: ".option(\(word.name).\(member.name)"
  }
}
