/// A Swift source as bytes, and a copy of it without comments and texts, in which brackets and words can be found.
struct SourceText {
  let bytes: [UInt8]
  /// The same with spaces for what is in comments and between quotation marks.
  let code: [UInt8]
  /// Where integer literals are.
  let numbers: [Range<Int>]

  init(_ source: String) {
    bytes = Array(source.utf8)
    code = Self.withoutTexts(bytes)
    numbers = Self.numbers(in: code)
  }

  func text(_ part: Range<Int>) -> String { String(decoding: bytes[part], as: UTF8.self) }

  /// The line of a position, counted from 1.
  func line(of position: Int) -> Int { 1 + bytes[..<position].count { $0 == UInt8(ascii: "\n") } }

  func lineRange(of position: Int) -> Range<Int> {
    let start = bytes[..<position].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    return start..<(bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count)
  }

  /// Whether what is before a position can be part of a name.
  func isName(before position: Int) -> Bool { position > 0 && Self.isName(code[position - 1]) }

  /// Where `text` stands in the code.
  func positions(of text: String) -> [Int] {
    let text = Array(text.utf8)
    return code.indices.filter { code[$0...].starts(with: text) }
  }

  /// Where one of some words stands in the code.
  func words(_ words: [String]) -> [Int] {
    words.flatMap { word in
      positions(of: word).filter { position in
        let end = position + word.utf8.count
        if isName(before: position) || code[..<position].ends(with: ".") { return false }
        return end == code.count || !Self.isName(code[end]) && code[end] != UInt8(ascii: ":")
      }
    }.sorted()
  }

  /// Where `text` stands first in a part, outside brackets.
  func position(of text: String, in part: Range<Int>) -> Int? {
    let text = Array(text.utf8)
    var depth = 0
    for position in part {
      if depth == 0, position + text.count <= part.upperBound, code[position...].starts(with: text) { return position }
      depth += Self.depth(code[position])
    }
    return nil
  }

  /// Where the first of `texts` stands after `start`, outside brackets.
  func end(of start: Int, before texts: [String]) -> Int? {
    var depth = 0
    for position in start..<code.count {
      if depth == 0, texts.contains(where: { code[position...].starts(with: Array($0.utf8)) }) { return position }
      depth += Self.depth(code[position])
      if depth < 0 { return nil }
    }
    return nil
  }

  /// The bracket that closes the one at a position.
  func closing(of opening: Int) -> Int? {
    var depth = 0
    for position in opening..<code.count {
      depth += Self.depth(code[position])
      if depth == 0 { return position }
    }
    return nil
  }

  /// The parts between separators outside brackets, without space around them.
  func split(_ part: Range<Int>, at separator: String) -> [Range<Int>] {
    var (parts, start, depth): ([Range<Int>], Int, Int) = ([], part.lowerBound, 0)
    let separator = Array(separator.utf8)
    for position in part {
      if depth == 0, position >= start, code[position...].starts(with: separator) {
        parts.append(trimmed(start..<position))
        start = position + separator.count
      }
      depth += Self.depth(code[position])
    }
    return (parts + [trimmed(start..<part.upperBound)]).filter { !$0.isEmpty }
  }

  func trimmed(_ part: Range<Int>) -> Range<Int> {
    var part = part
    while let first = part.first, Self.isSpace(bytes[first]) { part.removeFirst() }
    while let last = part.last, Self.isSpace(bytes[last]) { part.removeLast() }
    return part
  }

  /// Where the expression begins that ends at a position: after a bracket, a comma, a label, `=`, `return`, `in`, `where`, another
  /// operator `?` or `:`, or at a line's start.
  func expressionStart(before end: Int) -> Int {
    var (position, depth) = (end, 0)
    while position > 0 {
      let byte = code[position - 1]
      depth -= Self.depth(byte)
      if depth < 0 { break }
      if depth == 0 {
        if byte == UInt8(ascii: ",") { break }
        if byte == UInt8(ascii: "\n"), !trimmed(position..<end).isEmpty, !continuesLine(trimmed(position..<end)) {
          break
        }
        let before = code[..<position]
        if ["return ", "= ", ": ", "? ", " in ", "if ", "guard ", " where "].contains(where: {
          before.suffix($0.utf8.count).elementsEqual($0.utf8)
        }),
          !["== ", "!= ", "<= ", ">= "].contains(where: before.ends(with:))
        {
          break
        }
      }
      position -= 1
    }
    return trimmed(position..<end).lowerBound
  }

  private func continuesLine(_ part: Range<Int>) -> Bool { ["&&", "||", "?"].contains(where: text(part).hasPrefix) }

  /// Where the expression ends that goes on at a position.
  func expressionEnd(after start: Int) -> Int {
    var depth = 0
    for position in start..<code.count {
      let step = Self.depth(code[position])
      if depth == 0, step < 0 || code[position] == UInt8(ascii: ",") || code[position] == UInt8(ascii: "\n") {
        return position
      }
      if depth == 0, [" ? ", " {", " : ", " else ", ": "].contains(where: { code[position...].starts(with: $0.utf8) }) {
        return position
      }
      depth += step
    }
    return code.count
  }

  private static func depth(_ byte: UInt8) -> Int {
    switch byte {
    case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): 1
    case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"): -1
    default: 0
    }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") }

  private static func isName(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...:
      true
    default: false
    }
  }

  private static func withoutTexts(_ bytes: [UInt8]) -> [UInt8] {
    var code = bytes
    var position = 0
    while position < bytes.count {
      let rest = bytes[position...]
      let end: Int
      if rest.starts(with: "//".utf8) {
        end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      } else if rest.starts(with: "\"\"\"".utf8) {
        end = (firstIndex(of: "\"\"\"", in: bytes, from: position + 3) ?? bytes.count - 3) + 3
      } else if rest.starts(with: "\"".utf8) {
        end = (firstIndex(of: "\"", in: bytes, from: position + 1) ?? bytes.count - 1) + 1
      } else {
        position += 1
        continue
      }
      for index in position..<end where bytes[index] != UInt8(ascii: "\n") { code[index] = UInt8(ascii: " ") }
      position = end
    }
    return code
  }

  private static func firstIndex(of text: String, in bytes: [UInt8], from start: Int) -> Int? {
    (start..<bytes.count).first { bytes[$0...].starts(with: text.utf8) }
  }

  private static func numbers(in code: [UInt8]) -> [Range<Int>] {
    var (numbers, position): ([Range<Int>], Int) = ([], 0)
    while position < code.count {
      guard isName(code[position]) else {
        position += 1
        continue
      }
      let start = position
      while position < code.count, isName(code[position]) { position += 1 }
      let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(code[start])
      let isMember = start > 1 && code[start - 1] == UInt8(ascii: ".") && code[start - 2] != UInt8(ascii: ".")
      if isDigit, !isMember { numbers.append(start..<position) }
    }
    return numbers
  }
}

extension ArraySlice<UInt8> {
  /// Whether the bytes end with those of a text.
  func ends(with text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
