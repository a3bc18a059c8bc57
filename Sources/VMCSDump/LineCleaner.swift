/// Undoes what mailers and terminals do to the bytes of a line: quoted-printable, non-breaking spaces, colours.
struct LineCleaner {
  /// The clean line so far; a soft line break of quoted-printable leaves it unfinished.
  private(set) var bytes: [UInt8] = []
  /// Whether the last line ended in a soft line break.
  private(set) var isUnfinished = false

  /// The most bytes of a line that are kept.
  static var limit: Int { 4096 }

  /// Whether a line has anything to undo.
  static func isNeeded(for line: TextLine) -> Bool {
    var last: UInt8 = 0
    for byte in line {
      if byte >= 0x80 || byte == 0x1B || last == UInt8(ascii: "=") && (byte == 0x33 || byte == 0x32) { return true }
      last = byte
    }
    return last == UInt8(ascii: "=") && line.count >= 72
  }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    isUnfinished = false
  }

  /// Appends a line.
  mutating func append(_ line: TextLine) {
    let isQuotedPrintable = Self.isQuotedPrintable(line)
    isUnfinished = false
    var position = 0
    while position < line.count, bytes.count < Self.limit {
      let byte = line[position]
      position += 1
      if byte == UInt8(ascii: "="), isQuotedPrintable {
        if position == line.count {
          isUnfinished = true
        } else if position + 1 < line.count, let high = hexadecimalDigit(line[position]),
          let low = hexadecimalDigit(line[position + 1])
        {
          append(UInt8(high << 4 | low))
          position += 2
        } else {
          append(byte)
        }
      } else if byte == 0x1B {
        position = Self.endOfEscape(line, from: position)
      } else {
        append(byte)
      }
    }
  }

  /// Appends a byte; with those before it, it may be a space of another kind.
  private mutating func append(_ byte: UInt8) {
    bytes.append(byte)
    let count = bytes.count
    if byte == 0xA0, count >= 2, bytes[count - 2] == 0xC2 {
      replaceLast(2, withSpace: true)
    } else if byte == 0xA0, count < 2 || bytes[count - 2] < 0x80 {
      replaceLast(1, withSpace: true)
    } else if count >= 3, bytes[count - 3] == 0xE2, bytes[count - 2] == 0x80,
      (0x80...0x8A).contains(byte) || byte == 0xAF
    {
      replaceLast(3, withSpace: true)
    } else if count >= 3, bytes[count - 3] == 0xEF, bytes[count - 2] == 0xBB, byte == 0xBF {
      replaceLast(3, withSpace: false)
    }
  }

  private mutating func replaceLast(_ count: Int, withSpace: Bool) {
    bytes.removeLast(count)
    if withSpace { bytes.append(0x20) }
  }

  /// Whether the line is in quoted-printable: every "=" in it is an escape, and one of a byte that occurs in dumps.
  ///
  /// Escapes have upper-case digits, the values in dumps lower-case ones.
  private static func isQuotedPrintable(_ line: TextLine) -> Bool {
    // A soft line break in a line that is full, and not a wrapped " = ".
    var found = line.count >= 72 && line[line.count - 1] == UInt8(ascii: "=") && isWord(line[line.count - 2])
    var position = 0
    while position < line.count {
      defer { position += 1 }
      guard line[position] == UInt8(ascii: "="), position + 1 < line.count else { continue }
      guard position + 2 < line.count, let high = hexadecimalDigit(line[position + 1]),
        let low = hexadecimalDigit(line[position + 2]), line[position + 1] < 0x60, line[position + 2] < 0x60
      else { return false }
      let byte = high << 4 | low
      let hasUpperCase = line[position + 1] >= 0x41 || line[position + 2] >= 0x41
      if hasUpperCase, byte == 0x3D || byte == 0xA0 { found = true }
      // A space at the end of a line; elsewhere this would be the beginning of a value.
      if byte == 0x20, position + 3 == line.count { found = true }
    }
    return found
  }

  /// The position after a control sequence, whose ESC is before `position`.
  private static func endOfEscape(_ line: TextLine, from position: Int) -> Int {
    guard position < line.count, line[position] == UInt8(ascii: "[") else { return position }
    var position = position + 1
    while position < line.count, (0x20...0x3F).contains(line[position]) { position += 1 }
    return min(line.count, position + 1)
  }
}
