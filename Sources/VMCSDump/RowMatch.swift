/// How far a row's text and a line agree.
struct RowMatch {
  /// How the comparison ended, in the order of certainty.
  enum End: Int {
    /// They differ, after at least one number.
    case difference
    /// The line ends where a mailer may have broken it.
    case lineEnd
    /// The row's text is all there.
    case complete
  }

  private(set) var end = End.difference
  /// The position in the line after what agrees.
  private(set) var linePosition: Int
  /// The position in the row's text from which the next line may go on.
  private(set) var textPosition: Int
  /// The numbers, in the order of the row's targets.
  private(set) var numbers = InlineArray<8, UInt64>(repeating: 0)
  private(set) var numberCount = 0
  /// Whether the row ended at the line's end before text in parentheses that may still follow.
  private(set) var mayHaveParentheses = false
  /// Whether a separator has been passed, so that the line is recognizable without a number.
  private var hasSeparator = false

  /// Compares `row` from `textPosition` on, with `line` from `linePosition` on; nil if they have too little in common.
  ///
  /// - Parameter firstTarget: how many of the row's numbers were on lines before.
  init?(_ row: DumpRow, from textPosition: Int, firstTarget: Int, _ line: TextLine, at linePosition: Int) {
    self.linePosition = linePosition
    self.textPosition = textPosition
    end = compare(row, firstTarget: firstTarget, line)
    switch end {
    case .complete: return
    case .lineEnd: if numberCount == 0, !hasSeparator, self.linePosition - linePosition < 8 { return nil }
    case .difference: if numberCount == 0 { return nil }
    }
    // What begins with a number, which anything may, or names a field by its encoding, has to be all there.
    let first = row.text.utf8Start[0]
    if first == UInt8(ascii: "#") || first == UInt8(ascii: "%") || row.targets.first == .other(.encoding) { return nil }
  }

  private mutating func compare(_ row: DumpRow, firstTarget: Int, _ line: TextLine) -> End {
    let text = row.text.utf8Start
    let length = row.text.utf8CodeUnitCount
    while textPosition < length {
      let byte = text[textPosition]
      switch byte {
      case UInt8(ascii: " "):
        linePosition = line.skippingBlanks(from: linePosition)
        textPosition += 1
        if linePosition == line.count {
          if textPosition < length, text[textPosition] == UInt8(ascii: "~") {
            mayHaveParentheses = true
            return .complete
          }
          if textPosition < length, text[textPosition] == UInt8(ascii: "&") { return .complete }
          return .lineEnd
        }
      case UInt8(ascii: ","):
        if linePosition < line.count, line[linePosition] == byte { linePosition += 1 }
        textPosition += 1
      case UInt8(ascii: "%"):
        // The digits after "%" are skipped by `readHexadecimal`.
        guard numberCount < 8, readHexadecimal(text, length, line, bitWidth: width(row, firstTarget)) else {
          return .difference
        }
      case UInt8(ascii: "#"):
        guard numberCount < 8, readDecimal(line, bitWidth: width(row, firstTarget)) else { return .difference }
        textPosition += 1
      case UInt8(ascii: "0") where isOptionalBase(text, length):
        if line.has("0x", at: linePosition) || line.has("0X", at: linePosition) { linePosition += 2 }
        textPosition += 2
      case UInt8(ascii: "~"), UInt8(ascii: "^"):
        skipEnclosed(line, byte == UInt8(ascii: "~") ? (0x28, 0x29) : (0x5B, 0x5D))
        textPosition += 1
      case UInt8(ascii: "@"):
        guard skipWord(line) else { return .difference }
        textPosition += 1
      case UInt8(ascii: "&"):
        linePosition = line.count
        textPosition += 1
      default:
        guard linePosition < line.count, line[linePosition] == byte else { return .difference }
        if byte == UInt8(ascii: "=") || byte == UInt8(ascii: ":") { hasSeparator = true }
        linePosition += 1
        textPosition += 1
      }
    }
    // A text that ends in the middle of a word of the line is another text.
    if linePosition < line.count, isWord(line[linePosition]), isWord(text[length - 1]) { return .difference }
    return .complete
  }

  /// The most bits that the next number can have.
  private func width(_ row: DumpRow, _ firstTarget: Int) -> Int {
    let index = firstTarget + numberCount + (row.constant == nil ? 0 : 1)
    return index < row.targets.count ? row.targets[index].bitWidth : 64
  }

  /// Whether the row's text goes on with "0x%".
  private func isOptionalBase(_ text: UnsafePointer<UInt8>, _ length: Int) -> Bool {
    textPosition + 2 < length && text[textPosition + 1] == UInt8(ascii: "x")
      && text[textPosition + 2] == UInt8(ascii: "%")
  }

  private mutating func readHexadecimal(
    _ text: UnsafePointer<UInt8>, _ length: Int, _ line: TextLine, bitWidth: Int
  ) -> Bool {
    var position = textPosition + 1
    var minimum = 0
    while position < length, isDigit(text[position]) {
      minimum = 10 * minimum + Int(text[position] - 0x30)
      position += 1
    }
    var (number, digits, next) = (UInt64(0), 0, linePosition)
    if line.has("0x", at: next) || line.has("0X", at: next) { next += 2 }
    while next < line.count, let digit = hexadecimalDigit(line[next]) {
      guard digits < 16 else { return false }
      number = number << 4 | digit
      digits += 1
      next += 1
    }
    // Fewer digits than are printed: the line was cut inside the number.
    guard digits >= minimum, digits > 0, next == line.count || !isWord(line[next]) else { return false }
    guard bitWidth == 64 || number >> UInt64(bitWidth) == 0 else { return false }
    (textPosition, linePosition) = (position, next)
    numbers[numberCount] = number
    numberCount += 1
    return true
  }

  private mutating func readDecimal(_ line: TextLine, bitWidth: Int) -> Bool {
    var (number, digits, next) = (UInt64(0), 0, linePosition)
    while next < line.count, isDigit(line[next]) {
      guard digits < 18 else { return false }
      number = number * 10 + UInt64(line[next] - 0x30)
      digits += 1
      next += 1
    }
    guard digits > 0, bitWidth == 64 || number >> UInt64(bitWidth) == 0 else { return false }
    linePosition = next
    numbers[numberCount] = number
    numberCount += 1
    return true
  }

  private mutating func skipEnclosed(_ line: TextLine, _ brackets: (open: UInt8, close: UInt8)) {
    var position = line.skippingBlanks(from: linePosition)
    guard position < line.count, line[position] == brackets.open else { return }
    while position < line.count, line[position] != brackets.close { position += 1 }
    if position < line.count { linePosition = position + 1 }
  }

  private mutating func skipWord(_ line: TextLine) -> Bool {
    let start = linePosition
    // Kernels print "(____ptrval____)" for a pointer that they hide.
    if start < line.count, line[start] == 0x28 {
      skipEnclosed(line, (0x28, 0x29))
      return linePosition > start
    }
    while linePosition < line.count, isWord(line[linePosition]) { linePosition += 1 }
    return linePosition > start
  }
}
