/// A Swift source in which conditions, comparisons, masks and numbers can be changed at run time, by the number of a mutant.
///
/// The kinds of mutants:
///
/// - a condition is negated, always true, or always false: each operand of `&&` and `||` in an `if`, in a `guard`, before
///   a `?`, or anywhere else; a closure or a getter that is one call; `true` and `false`;
/// - a comparison's boundary moves by one: `<` for `<=`, `>` for `>=`, and the other way round;
/// - a mask that something is required of loses its lowest bit, loses its highest, gains the bit above, or the bit below;
/// - a value that is required differs in the mask's lowest bit, or in its highest;
/// - a range that is required begins or ends one earlier or later;
/// - any other number is one more, or one less; so are those of a mask that is made of several with `|`.
///
/// Left alone are the texts, and the numbers in findings, which say how a failure could be mended.
struct MutatedSource {
  /// A change.
  struct Mutant: Equatable {
    var number: Int
    var line: Int
    var what: String
    /// Whether what is changed is the same each time: a number, a range, or a control.
    var isConstant = false
  }

  /// The source with the changes in it.
  let text: String
  let mutants: [Mutant]

  /// Rewrites `source`; its first mutant gets the number `first`.
  init(_ source: String, first: Int) {
    var rewriter = SourceRewriter(SourceText(source), first: first)
    rewriter.rewrite()
    (text, mutants) = (rewriter.result, rewriter.mutants)
  }
}

/// A text that is put in at a position, in the place of some bytes.
private struct Insertion {
  var position: Int
  /// What of several at a position comes first: the ends of shorter parts, a text in another's place, the beginnings of
  /// longer parts.
  var order: (Int, Int, Int, Int)
  var text: String
  var replaced = 0
}

/// The rewriting, as texts that are put in before and after parts of the source.
private struct SourceRewriter {
  let source: SourceText
  private var insertions: [Insertion] = []
  private(set) var mutants: [MutatedSource.Mutant] = []
  private var next: Int
  private var conditions: Set<Range<Int>> = []
  /// Masks and values that are changed as a whole, so that their numbers need not be.
  private var whole: [Range<Int>] = []

  init(_ source: SourceText, first: Int) { (self.source, next) = (source, first) }

  mutating func rewrite() {
    statements()
    ternaries()
    operators()
    closures()
    words()
    requirements()
    numbers()
  }

  /// The source with all that was put in.
  var result: String {
    var (bytes, position): ([UInt8], Int) = ([], 0)
    for insertion in insertions.sorted(by: { $0.order < $1.order }) {
      bytes += source.bytes[position..<insertion.position] + Array(insertion.text.utf8)
      position = insertion.position + insertion.replaced
    }
    return String(decoding: bytes + source.bytes[position...], as: UTF8.self)
  }

  /// Puts `before` and `after` around a part; what is around a longer part, or was there before, comes to be outside.
  private mutating func wrap(_ part: Range<Int>, _ before: String, _ after: String) {
    let count = insertions.count
    insertions.append(.init(position: part.lowerBound, order: (part.lowerBound, 2, -part.count, count), text: before))
    insertions.append(.init(position: part.upperBound, order: (part.upperBound, 0, part.count, -count), text: after))
  }

  /// Puts `text` in the place of a part.
  private mutating func replace(_ part: Range<Int>, _ text: String) {
    insertions.append(
      .init(position: part.lowerBound, order: (part.lowerBound, 1, 0, 0), text: text, replaced: part.count))
  }

  /// Numbers mutants, one for each of `changes`.
  private mutating func add(_ part: Range<Int>, _ changes: [String]) -> Int {
    defer { next += changes.count }
    let text = source.text(part).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    let line = source.line(of: part.lowerBound)
    let isControl = text.hasPrefix(".") && text.dropFirst().allSatisfy { $0.isLetter || $0.isNumber }
    let isConstant = isControl || text.allSatisfy { "0123456789ABCDEFx_ ~<|&().".contains($0) }
    for (index, change) in changes.enumerated() {
      mutants.append(.init(number: next + index, line: line, what: "\(text): \(change)", isConstant: isConstant))
    }
    return next
  }

  // MARK: Conditions

  private mutating func statements() {
    for position in source.words(["if", "guard"]) {
      let isGuard = source.code[position] == UInt8(ascii: "g")
      let start = position + (isGuard ? 6 : 3)
      guard let end = source.end(of: start, before: isGuard ? ["else {"] : ["{"]) else { continue }
      for part in source.split(start..<end, at: ",") {
        let text = source.text(part)
        if ["let ", "var ", "case ", "#"].contains(where: text.hasPrefix) { continue }
        condition(part)
      }
    }
  }

  private mutating func ternaries() {
    for position in source.positions(of: " ? ") { condition(source.expressionStart(before: position)..<position) }
  }

  /// Operands of `&&` and `||` that are in no condition yet.
  private mutating func operators() {
    for name in [" && ", " || "] {
      for position in source.positions(of: name) {
        let start = source.expressionStart(before: position)
        condition(start..<source.expressionEnd(after: position + 4))
      }
    }
  }

  /// Closures and getters that are one call or one member of something.
  private mutating func closures() {
    let predicates = [
      "pin", "primary", "secondary", "tertiary", "functions", "exit", "secondaryExit", "entry", "isUsable",
    ]
    for position in source.positions(of: "{ $0.") {
      guard let end = source.closing(of: position) else { continue }
      let body = source.trimmed(position + 1..<end)
      let call = source.text(body).dropFirst(3).prefix { $0 != "(" }
      if predicates.contains(String(call)), source.closing(of: body.lowerBound + 3 + call.count) == body.upperBound - 1
      {
        condition(body)
      }
    }
    for name in ["Bool { mutating get { ", "-> Bool { "] {
      for position in source.positions(of: name) {
        let brace = position + name.utf8.count - 2
        guard let end = source.closing(of: brace) else { continue }
        let body = source.trimmed(brace + 1..<end)
        if !source.text(body).contains("\n") { condition(body) }
      }
    }
  }

  private mutating func words() {
    for position in source.words(["true", "false"]) {
      let part = position..<position + (source.code[position] == UInt8(ascii: "t") ? 4 : 5)
      wrap(part, "mutantNegated(\(add(part, ["negated"])), ", ")")
    }
  }

  private mutating func condition(_ part: Range<Int>) {
    let part = source.trimmed(part)
    for name in ["||", "&&"] {
      let operands = source.split(part, at: name)
      if operands.count > 1 {
        for operand in operands { condition(operand) }
        return
      }
    }
    if source.code[part.lowerBound] == UInt8(ascii: "!"), source.code[part.lowerBound + 1] != UInt8(ascii: "=") {
      condition(part.lowerBound + 1..<part.upperBound)
      return
    }
    if ["true", "false"].contains(source.text(part)) || !conditions.insert(part).inserted { return }
    let number = add(part, ["negated", "always true", "always false"])
    wrap(part, "mutantCondition(\(number), ", ")")
    comparison(part)
  }

  private mutating func comparison(_ part: Range<Int>) {
    for (name, other) in [(" < ", "<="), (" <= ", "<"), (" > ", ">="), (" >= ", ">")] {
      guard let position = source.position(of: name, in: part) else { continue }
      let number = add(part, ["\(other) for\(name.dropLast())"])
      wrap(part, "mutantCompared(\(number), \(name.filter { $0 != " " }), \(other), ", ")")
      replace(position..<position + name.utf8.count, ", ")
    }
  }

  // MARK: Requirements

  private mutating func requirements() {
    for name in ["requireClear(", "requireSet(", "require(", "requireMemory("] {
      for position in source.positions(of: name) where !source.isName(before: position) {
        let opening = position + name.utf8.count - 1
        guard let end = source.closing(of: opening), !source.code[..<position].ends(with: "func ") else { continue }
        let arguments = source.split(opening + 1..<end, at: ",")
        guard arguments.count > 1 else { continue }
        if source.text(arguments[1]).hasPrefix("in: ") {
          let range = arguments[1].lowerBound + 4..<arguments[1].upperBound
          let number = add(range, ["begins before", "begins later", "ends before", "ends later"])
          wrap(range, "mutantMoved(\(number), ", ")")
          whole.append(range)
        } else {
          requirement(arguments, isMemory: name == "requireMemory(")
        }
      }
    }
  }

  private mutating func requirement(_ arguments: [Range<Int>], isMemory: Bool) {
    let mask = arguments[1]
    let width = isMemory ? "64" : "mutantWidth(of: \(source.text(arguments[0])))"
    let number = add(
      mask, ["without its lowest bit", "without its highest bit", "with the bit above", "with the bit below"])
    if !source.text(mask).contains("|") { whole.append(mask) }
    wrap(mask, "mutantWeakened(\(number), ", ", \(width))")
    guard arguments.count == 3 else { return }
    let required = arguments[2]
    whole.append(required)
    let changed = add(required, ["the lowest bit required otherwise", "the highest bit required otherwise"])
    wrap(required, "mutantChanged(\(changed), ", ", \(source.text(mask)))")
  }

  // MARK: Numbers

  private mutating func numbers() {
    let findings = ["finding(", "EntryFinding(", "alignment: "].flatMap { name in
      source.positions(of: name).compactMap { position -> Range<Int>? in
        if name.hasSuffix(" ") { return position..<position + name.utf8.count + 3 }
        return source.closing(of: position + name.utf8.count - 1).map { position..<$0 }
      }
    }
    for part in source.numbers where !(findings + whole).contains(where: { $0.contains(part.lowerBound) }) {
      let number = add(part, ["one more", "one less"])
      let line = source.lineRange(of: part.lowerBound)
      let isLong = source.numbers.filter { line.contains($0.lowerBound) }.count > 2
      let isStride = source.code[..<part.lowerBound].ends(with: "by: ")
      wrap(part, isLong && !isStride ? "mutantNumber64(\(number), " : "mutantNumber(\(number), ", ")")
    }
  }
}
