/// What is wrong with a specification file, and where.
struct SpecificationError: Error, CustomStringConvertible {
  var file: String
  var line: Int
  var message: String

  var description: String { "\(file):\(line): error: \(message)" }
}

/// A line of a specification file that says something: its words, and its title in double quotes at the end.
struct SpecificationLine {
  var file: String
  var number: Int
  var words: [String]
  var title: String?
  /// The text after "## ".
  var heading: String?

  /// Makes an error at this line.
  func error(_ message: String) -> SpecificationError {
    SpecificationError(file: file, line: number, message: message)
  }

  /// The title, which has to be there and fit a Swift string literal as it is.
  func requiredTitle() throws -> String {
    guard let title, !title.isEmpty else { throw error("a title in double quotes is missing") }
    guard !title.contains("\\") else { throw error("a title cannot contain a backslash") }
    return title
  }
}

/// Splits a specification file into lines; leaves out empty ones and comments.
func specificationLines(of text: String, file: String) throws -> [SpecificationLine] {
  var lines: [SpecificationLine] = []
  for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
    var line = SpecificationLine(file: file, number: index + 1, words: [])
    if raw.hasPrefix("## ") {
      line.heading = String(raw.dropFirst(3))
      lines.append(line)
      continue
    }
    guard !raw.hasPrefix("#"), raw.contains(where: { $0 != " " }) else { continue }
    let parts = raw.split(separator: "\"", omittingEmptySubsequences: false)
    guard parts.count == 1 || (parts.count == 3 && parts[2].allSatisfy { $0 == " " }) else {
      throw line.error("a line has at most one title, in double quotes, at its end")
    }
    line.words = parts[0].split(separator: " ").map(String.init)
    line.title = parts.count == 3 ? String(parts[1]) : nil
    lines.append(line)
  }
  return lines
}

/// Reads a number in decimal, or in hexadecimal after "0x".
func number(_ word: String) -> UInt64? {
  word.hasPrefix("0x") ? UInt64(word.dropFirst(2), radix: 16) : UInt64(word)
}

/// Whether `word` can be a Swift name that begins with a lowercase letter.
func isMemberName(_ word: String) -> Bool {
  guard let first = word.first, first.isLowercase else { return false }
  return word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) }
}

/// Whether `word` can be a Swift name that begins with an uppercase letter.
func isTypeName(_ word: String) -> Bool {
  guard let first = word.first, first.isUppercase else { return false }
  return word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) }
}
