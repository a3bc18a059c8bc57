/// A type of Words.txt.
struct WordSpecification {
  enum Kind: String { case controls, flags, word, values }

  /// A bit, a range of bits, or (of kind `values`) a value.
  struct Member {
    var name: String
    var high: UInt64
    var low: UInt64
    /// The type of a range's contents, if Words.txt names one.
    var contents: String?
    var title: String
    var line: SpecificationLine
  }

  var kind: Kind
  var name: String
  var width: Int
  /// What Fields.txt calls a control word.
  var id: String?
  var title: String
  var members: [Member] = []
  var line: SpecificationLine
}

/// Reads Words.txt.
func wordSpecifications(of text: String, file: String) throws -> [WordSpecification] {
  var words: [WordSpecification] = []
  for line in try specificationLines(of: text, file: file) {
    if let kind = line.words.first.flatMap(WordSpecification.Kind.init) {
      words.append(try wordSpecification(kind, line))
    } else if words.isEmpty {
      throw line.error("expected controls, flags, word or values")
    } else {
      words[words.count - 1].members.append(try member(of: words[words.count - 1], line))
    }
  }
  try checkWords(words)
  return words
}

private func wordSpecification(_ kind: WordSpecification.Kind, _ line: SpecificationLine) throws -> WordSpecification {
  guard line.words.count == (kind == .controls ? 4 : 3), isTypeName(line.words[1]),
    let width = Int(line.words[2]), [8, 16, 32, 64].contains(width)
  else { throw line.error("expected a kind, a type's name, a width (8, 16, 32, 64), an id for controls, and a title") }
  if kind == .controls, !isMemberName(line.words[3]) { throw line.error("\(line.words[3]) is not an id") }
  return WordSpecification(
    kind: kind, name: line.words[1], width: width, id: kind == .controls ? line.words[3] : nil,
    title: try line.requiredTitle(), line: line)
}

private func member(of word: WordSpecification, _ line: SpecificationLine) throws -> WordSpecification.Member {
  guard line.words.count == 2 || (line.words.count == 3 && word.kind == .word), isMemberName(line.words[1]) else {
    throw line.error("expected a bit or value, a name, in a word perhaps a type, and a title")
  }
  let bounds = line.words[0].split(separator: ":").map { number(String($0)) }
  guard (1...2).contains(bounds.count), let high = bounds[0], let low = bounds[bounds.count - 1], high >= low,
    bounds.count == 1 || word.kind == .word
  else { throw line.error("\(line.words[0]) is not a bit, a range of bits or a value") }
  guard word.kind == .values ? (word.width == 64 || high >> UInt64(word.width) == 0) : high < word.width else {
    throw line.error("\(line.words[0]) does not fit \(word.width) bits")
  }
  return WordSpecification.Member(
    name: line.words[1], high: high, low: low, contents: line.words.count == 3 ? line.words[2] : nil,
    title: try line.requiredTitle(), line: line)
}

private func checkWords(_ words: [WordSpecification]) throws {
  var byName: [String: WordSpecification] = [:]
  var ids: Set<String> = []
  for word in words {
    guard byName.updateValue(word, forKey: word.name) == nil else { throw word.line.error("\(word.name) occurs twice") }
    if let id = word.id, !ids.insert(id).inserted { throw word.line.error("the id \(id) occurs twice") }
    guard !word.members.isEmpty else { throw word.line.error("\(word.name) is empty") }
  }
  for word in words {
    var names: Set<String> = []
    var next: UInt64 = 0
    for member in word.members {
      guard names.insert(member.name).inserted else { throw member.line.error("\(member.name) occurs twice") }
      guard member.low >= next else { throw member.line.error("\(member.name) overlaps or precedes what is above it") }
      next = member.high + 1
      if let contents = member.contents {
        guard let type = byName[contents], type.kind == .values else {
          throw member.line.error("\(contents) is not a type of kind values")
        }
        guard type.width >= Int(member.high - member.low + 1) else {
          throw member.line.error("\(contents) has only \(type.width) bits")
        }
      }
    }
  }
}
