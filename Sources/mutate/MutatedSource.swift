/// A Swift source in which every condition and every mask can be changed at run time, by the number of a mutant.
///
/// Conditions of `if` and `guard` are wrapped as `mutated(N, condition)`, which mutant N negates; masks and values that
/// requirements are made with as `weakened(N, mask)`, from which mutant N takes the lowest bit and mutant N + 1 the highest.
struct MutatedSource {
  /// A place that can be changed.
  struct Mutant {
    var number: Int
    var line: Int
    var what: String
  }

  private(set) var text = ""
  private(set) var mutants: [Mutant] = []
  private var next: Int

  /// Rewrites `source`; its first mutant gets the number `first`.
  init(_ source: String, first: Int) {
    next = first
    for (index, line) in source.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      text += rewrite(String(line), index + 1) + "\n"
    }
  }

  private mutating func rewrite(_ line: String, _ number: Int) -> String {
    let code = line.drop { $0 == " " }
    // What is text or declaration is left alone; conditions that stand on several lines too.
    if code.hasPrefix("//") || code.hasPrefix("\"") || code.hasPrefix("case ") || code.contains(" func ") {
      return line
    }
    var result = line
    for (opening, closing) in [("guard ", " else {"), ("if ", " {")] {
      guard let start = result.firstRange(of: opening), isAtWordStart(start.lowerBound, in: result) else { continue }
      let rest = result[start.upperBound...]
      guard let end = conditionsEnd(in: rest, closing) else { continue }
      let conditions = split(String(rest[..<end])).map { condition in
        let trimmed = condition.drop { $0 == " " }
        if ["let ", "var ", "case ", "#"].contains(where: trimmed.hasPrefix) || trimmed.isEmpty { return condition }
        return " mutated(\(add("negated: \(trimmed)", number, 1)), \(trimmed))"
      }
      result = result[..<start.upperBound] + String(conditions.joined(separator: ",").drop { $0 == " " }) + rest[end...]
      break
    }
    return weakened(result, number)
  }

  /// Wraps the last argument of calls of the requirements that take a mask.
  private mutating func weakened(_ line: String, _ number: Int) -> String {
    for name in ["requireClear(", "requireSet("] {
      guard let call = line.firstRange(of: name), !line.contains("func "), call.lowerBound != line.startIndex else {
        continue
      }
      let rest = line[call.upperBound...]
      guard let end = closingParenthesis(in: rest) else { continue }
      let arguments = split(String(rest[..<end]))
      guard arguments.count == 2, !arguments[0].contains(":") else { continue }
      let mask = arguments[1].drop { $0 == " " }
      let wrapped =
        "\(arguments[0]), weakened(\(add("without its lowest or highest bit: \(mask)", number, 2)), \(mask))"
      return String(line[..<call.upperBound]) + wrapped + String(rest[end...])
    }
    return line
  }

  private mutating func add(_ what: String, _ line: Int, _ count: Int) -> Int {
    defer { next += count }
    for index in 0..<count { mutants.append(Mutant(number: next + index, line: line, what: what)) }
    return next
  }

  private func isAtWordStart(_ index: String.Index, in line: String) -> Bool {
    index == line.startIndex || [" ", "{"].contains(line[line.index(before: index)])
  }

  /// Where `closing` stands outside parentheses, first.
  private func conditionsEnd(in text: Substring, _ closing: String) -> Substring.Index? {
    var depth = 0
    for index in text.indices {
      if depth == 0, text[index...].hasPrefix(closing) { return index }
      if "([{".contains(text[index]) { depth += 1 }
      if ")]}".contains(text[index]) { depth -= 1 }
    }
    return nil
  }

  private func closingParenthesis(in text: Substring) -> Substring.Index? {
    var depth = 0
    for index in text.indices {
      if text[index] == ")", depth == 0 { return index }
      if "([{".contains(text[index]) { depth += 1 }
      if ")]}".contains(text[index]) { depth -= 1 }
    }
    return nil
  }

  /// The parts between commas outside parentheses and quotation marks.
  private func split(_ text: String) -> [String] {
    var parts = [""]
    var depth = 0
    for character in text {
      if "([{".contains(character) { depth += 1 }
      if ")]}".contains(character) { depth -= 1 }
      if character == ",", depth == 0 { parts.append("") } else { parts[parts.count - 1].append(character) }
    }
    return parts
  }
}
