/// The files that come from Words.txt: one a type, and the tables that describe them all.
func wordFiles(_ words: [WordSpecification]) -> [GeneratedFile] {
  words.map { word in
    let body =
      switch word.kind {
      case .controls, .flags: optionSet(word)
      case .word: structure(word)
      case .values: enumeration(word)
      }
    return GeneratedFile(generatedDirectory + "Words/\(word.name).swift", from: "Words.txt", body)
  } + [valueTypeFile(words), bitFieldFile(words), titleFile(words), controlWordFile(words)]
}

private func declaration(_ word: WordSpecification, _ conformances: String) -> String {
  documentation("\(word.title), \(word.width) bits.", indent: "") + """
    @frozen
    public struct \(word.name): \(conformances) {
      /// All \(word.width) bits, named or not.
      public var rawValue: UInt\(word.width)

      /// Makes a value from its bits, which are kept as they are.
      @inlinable public init(rawValue: UInt\(word.width)) { self.rawValue = rawValue }

      /// What describes this type to code that knows it only at run time.
      @inlinable public static var valueType: ValueType { .\(memberName(ofType: word.name)) }

    """
}

private func optionSet(_ word: WordSpecification) -> String {
  var text = declaration(word, "OptionSet, BitWord")
  for bit in word.members {
    text += "\n" + documentation("\(bit.title) (bit \(bit.low)).", indent: "  ")
    text += "  @inlinable public static var \(escaped(bit.name)): Self { Self(rawValue: 1 << \(bit.low)) }\n"
  }
  return text + "}\n"
}

private func structure(_ word: WordSpecification) -> String {
  var text = declaration(word, "BitWord")
  for member in word.members {
    text += "\n" + (isBit(member) ? bitProperty(member) : rangeProperty(member))
  }
  return text + "}\n"
}

/// Whether the member is a Boolean: one bit without a type of its own.
private func isBit(_ member: WordSpecification.Member) -> Bool {
  member.high == member.low && member.contents == nil
}

private func bitProperty(_ member: WordSpecification.Member) -> String {
  documentation("\(member.title) (bit \(member.low)).", indent: "  ") + """
      @inlinable public var \(escaped(member.name)): Bool {
        get { self[bit: \(member.low)] }
        set { self[bit: \(member.low)] = newValue }
      }

    """
}

private func rangeProperty(_ member: WordSpecification.Member) -> String {
  let type = member.contents ?? plainType(member)
  let range = "\(member.high), \(member.low)"
  let get = "truncatingIfNeeded: self[bits: \(range)]"
  return documentation("\(member.title) (bits \(member.high):\(member.low)).", indent: "  ") + """
      @inlinable public var \(escaped(member.name)): \(type) {
        get { \(member.contents == nil ? "\(type)(\(get))" : "\(type)(rawValue: .init(\(get)))") }
        set { self[bits: \(range)] = .init(truncatingIfNeeded: newValue\(member.contents == nil ? "" : ".rawValue")) }
      }

    """
}

/// The smallest unsigned integer that holds the member.
private func plainType(_ member: WordSpecification.Member) -> String {
  let width = member.high - member.low + 1
  return "UInt\([8, 16, 32, 64].first { $0 >= width }!)"
}

private func enumeration(_ word: WordSpecification) -> String {
  var text = declaration(word, "BitWord")
  for value in word.members {
    text += "\n" + documentation("\(value.title) (\(value.low)).", indent: "  ")
    text += "  @inlinable public static var \(escaped(value.name)): Self { Self(rawValue: \(value.low)) }\n"
  }
  return text + "}\n"
}

// MARK: - The tables

private func valueTypeFile(_ words: [WordSpecification]) -> GeneratedFile {
  let plain = plainTypes.keys.sorted()
  let all = plain.map { ($0, plainTypes[$0]!) } + words.map { ($0.name, $0.width) }
  var text = """
    /// The types of the fields' values and of what their bits hold, for code that knows them only at run time.
    @frozen
    public enum ValueType: UInt8, CaseIterable, Sendable {

    """
  for (name, _) in all {
    text += "  /// `\(name)`.\n  case \(memberName(ofType: name))\n"
  }
  text += """

      /// The Swift type's name.
      public var name: StaticString {
        switch self {

    """
  for (name, _) in all { text += "    case .\(memberName(ofType: name)): \"\(name)\"\n" }
  text += """
        }
      }

      /// How many bits a value has.
      public var width: Int {
        switch self {

    """
  for width in [8, 16, 32, 64] {
    let names = all.filter { $0.1 == width }.map { ".\(memberName(ofType: $0.0))" }
    text += caseLines(names, "\(width)")
  }
  return GeneratedFile(generatedDirectory + "ValueType.swift", from: "Words.txt", text + "    }\n  }\n}\n")
}

/// A `case` with many patterns, one a line.
private func caseLines(_ patterns: [String], _ end: String) -> String {
  if patterns.count == 1 { return "    case \(patterns[0]): \(end)\n" }
  return "    case \(patterns.joined(separator: ",\n      ")):\n      \(end)\n"
}

private func bitFieldFile(_ words: [WordSpecification]) -> GeneratedFile {
  let described = words.filter { $0.kind != .values }
  var text = """
    extension ValueType {
      /// How many named bits and ranges a value has; none if it is a number or an enumeration.
      public var bitFieldCount: Int {
        switch self {

    """
  for word in described { text += "    case .\(memberName(ofType: word.name)): \(word.members.count)\n" }
  text += """
        default: 0
        }
      }

      /// The named bits or range at `index`, from the lowest, which has to be in `0..<bitFieldCount`.
      func bitField(at index: Int) -> BitField {
        switch self {

    """
  for word in described {
    text += "    case .\(memberName(ofType: word.name)): \(word.name).bitField(at: index)\n"
  }
  text += "    default: preconditionFailure()\n    }\n  }\n}\n"
  for word in described {
    text += "\nextension \(word.name) {\n  static func bitField(at index: Int) -> BitField {\n    switch index {\n"
    for (index, member) in word.members.enumerated() {
      let position = "\"\(member.name)\", \(member.high), \(member.low)"
      let rest = "\"\(member.title)\"" + (member.contents.map { ", .\(memberName(ofType: $0))" } ?? "")
      let line = "    case \(index): BitField(\(position), \(rest))\n"
      text +=
        line.count <= 120
        ? line : "    case \(index):\n      BitField(\n        \(position),\n        \(rest))\n"
    }
    text += "    default: preconditionFailure()\n    }\n  }\n}\n"
  }
  return GeneratedFile(generatedDirectory + "BitFieldTable.swift", from: "Words.txt", text)
}

private func titleFile(_ words: [WordSpecification]) -> GeneratedFile {
  let enumerations = words.filter { $0.kind == .values }
  var text = """
    extension ValueType {
      /// Whether the values of this type have titles, one each.
      public var isEnumeration: Bool {
        switch self {

    """
  text += caseLines(enumerations.map { ".\(memberName(ofType: $0.name))" }, "true")
  text += """
        default: false
        }
      }

      /// The SDM's title of a value of an enumeration; nil for a value that the SDM does not define, and for other types.
      public func title(of value: UInt64) -> StaticString? {
        switch self {

    """
  for word in enumerations {
    let typed = "\(word.name)(rawValue: .init(truncatingIfNeeded: value))"
    text += "    case .\(memberName(ofType: word.name)): \(typed).title\n"
  }
  text += "    default: nil\n    }\n  }\n}\n"
  for word in enumerations {
    text += """

      extension \(word.name) {
        /// The SDM's title of this value; nil if the SDM does not define it.
        public var title: StaticString? {
          switch rawValue {

      """
    for value in word.members { text += "    case \(value.low): \"\(value.title)\"\n" }
    text += "    default: nil\n    }\n  }\n}\n"
  }
  return GeneratedFile(generatedDirectory + "ValueTitles.swift", from: "Words.txt", text)
}

private func controlWordFile(_ words: [WordSpecification]) -> GeneratedFile {
  let controls = words.filter { $0.kind == .controls }
  var text = """
    /// The control words, whose bits say which fields exist.
    @frozen
    public enum ControlWord: UInt8, CaseIterable, Sendable {

    """
  for word in controls { text += documentation("\(word.title).", indent: "  ") + "  case \(word.id!)\n" }
  text += """

      /// The type that names the word's bits.
      public var valueType: ValueType {
        switch self {

    """
  for word in controls { text += "    case .\(word.id!): .\(memberName(ofType: word.name))\n" }
  return GeneratedFile(generatedDirectory + "ControlWord.swift", from: "Words.txt", text + "    }\n  }\n}\n")
}
