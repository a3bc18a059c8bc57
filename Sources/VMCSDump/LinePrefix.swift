/// What loggers, kernels and mailers put before a line: where the hypervisor's own text begins, and who wrote it.
struct LinePrefix {
  /// The position of the first byte after the prefix that is no blank.
  private(set) var end = 0
  /// Whether there is anything but mail quoting: without it, the line may be the rest of the one before.
  private(set) var isPresent = false
  /// Lines of the same writer have the same key: it depends on the host, the program and process, and the processor or
  /// thread that the kernel names.
  private(set) var key: UInt64 = 0
  /// Whether Xen's prefix is there.
  private(set) var isXen = false

  init(_ line: TextLine) {
    // Each kind of prefix is there at most a few times; the limit is for lines made of nothing else.
    for _ in 0..<64 {
      end = line.skippingBlanks(from: end)
      guard end < line.count else { return }
      switch line[end] {
      case UInt8(ascii: ">"):
        // Xen's ">>> Domain 3 <<<" is no quotation.
        if line.has(">>> D", at: end) { return }
        end += 1
      case UInt8(ascii: "|"): end += 1
      case UInt8(ascii: "["): if !skipStamp(line) { return }
      case UInt8(ascii: "<"): if !skipPriority(line) { return }
      case UInt8(ascii: "("):
        guard line.has("(XEN)", at: end) else { return }
        end += 5
        (isPresent, isXen) = (true, true)
      case UInt8(ascii: "0")...UInt8(ascii: "9"): if !skipNumericDate(line) { return }
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): if !skipSyslogDate(line) { return }
      case UInt8(ascii: "h"), UInt8(ascii: "k"), UInt8(ascii: "s"): if !skipModule(line) { return }
      default: return
      }
    }
  }

  private mutating func mix(_ line: TextLine, _ range: Range<Int>) {
    for position in range { key = (key ^ UInt64(line[position])) &* 0x100_0000_01B3 }
  }

  /// A time in brackets, or the processor or thread, like "[ 2311.499051]", "[Mon Jun 24 17:25:51 2024]" and "[T1234]".
  private mutating func skipStamp(_ line: TextLine) -> Bool {
    var position = line.skippingBlanks(from: end + 1)
    let start = position
    var hasDigit = false
    while position < line.count, position - end < 48, line[position] != UInt8(ascii: "]") {
      let byte = line[position]
      if isDigit(byte) { hasDigit = true }
      guard isWord(byte) || isBlank(byte) || (0x2B...0x2E).contains(byte) || byte == UInt8(ascii: ":") else {
        return false
      }
      position += 1
    }
    guard position < line.count, line[position] == UInt8(ascii: "]"), hasDigit else { return false }
    let isCaller = line[start] == UInt8(ascii: "T") || line[start] == UInt8(ascii: "C")
    if isCaller, (start + 1..<position).allSatisfy({ isDigit(line[$0]) }) { mix(line, start..<position) }
    end = position + 1
    isPresent = true
    return true
  }

  /// The priority of a kernel's message, like "<3>".
  private mutating func skipPriority(_ line: TextLine) -> Bool {
    var position = end + 1
    while position < line.count, isDigit(line[position]), position - end < 5 { position += 1 }
    guard position > end + 1, position < line.count, line[position] == UInt8(ascii: ">") else { return false }
    end = position + 1
    isPresent = true
    return true
  }

  /// A date of syslog, like "Jun 24 17:25:51 host kernel: ".
  private mutating func skipSyslogDate(_ line: TextLine) -> Bool {
    let position = end
    guard line.count - position > 16, isLetter(line[position + 1]), isLetter(line[position + 2]),
      isBlank(line[position + 3])
    else { return false }
    var next = line.skippingBlanks(from: position + 3)
    let day = next
    while next < line.count, isDigit(line[next]), next - day < 2 { next += 1 }
    guard next > day, next < line.count, isBlank(line[next]) else { return false }
    next = line.skippingBlanks(from: next)
    guard isTime(line, at: next) else { return false }
    while next < line.count, !isBlank(line[next]) { next += 1 }
    end = next
    isPresent = true
    skipSource(line)
    return true
  }

  /// A date of RFC 3339, like "2024-06-24T17:25:51.123456+02:00 host kernel: ", the "T" may be a blank.
  private mutating func skipNumericDate(_ line: TextLine) -> Bool {
    let start = end
    guard line.count - start > 19, line[start + 4] == UInt8(ascii: "-"), line[start + 7] == UInt8(ascii: "-"),
      isTime(line, at: start + 11)
    else { return false }
    var next = start + 11
    while next < line.count, !isBlank(line[next]) { next += 1 }
    end = next
    isPresent = true
    skipSource(line)
    return true
  }

  private func isTime(_ line: TextLine, at position: Int) -> Bool {
    guard line.count - position >= 8 else { return false }
    return isDigit(line[position]) && isDigit(line[position + 1]) && line[position + 2] == UInt8(ascii: ":")
      && isDigit(line[position + 3]) && isDigit(line[position + 4]) && line[position + 5] == UInt8(ascii: ":")
      && isDigit(line[position + 6]) && isDigit(line[position + 7])
  }

  /// The host and the program after a date: at most two words, the last of which ends with a colon.
  private mutating func skipSource(_ line: TextLine) {
    var position = end
    for _ in 0..<2 {
      position = line.skippingBlanks(from: position)
      let start = position
      while position < line.count, !isBlank(line[position]), position - start < 128 {
        if line[position] == UInt8(ascii: "=") { return }
        position += 1
      }
      guard position > start else { return }
      if line[position - 1] == UInt8(ascii: ":") {
        mix(line, end..<position)
        end = position
        return
      }
    }
  }

  /// The names that kernels' modules and Skep's launcher put before their lines, and dmesg's facility and level.
  private mutating func skipModule(_ line: TextLine) -> Bool {
    func skips(_ text: StaticString) -> Bool { line.has(text, at: end) }
    let length: Int
    if skips("kvm_intel:") || skips("skep: guest") {
      length = line[end] == UInt8(ascii: "k") ? 10 : 11
    } else if skips("haxm_warning:") {
      length = 13
    } else if skips("haxm_error:") {
      length = 11
    } else if skips("haxm_info:") || skips("haxm_panic:") {
      length = skips("haxm_info:") ? 10 : 11
    } else if skips("kvm_amd:") {
      length = 8
    } else if skips("kvm:") {
      length = 4
    } else if skips("kern") {
      return skipLevel(line)
    } else {
      return false
    }
    end += length
    isPresent = true
    return true
  }

  /// Facility and level of `dmesg -x`, like "kern  :info  : ".
  private mutating func skipLevel(_ line: TextLine) -> Bool {
    var position = end
    for _ in 0..<2 {
      while position < line.count, isLetter(line[position]) { position += 1 }
      position = line.skippingBlanks(from: position)
      guard position < line.count, line[position] == UInt8(ascii: ":") else { return false }
      position += 1
    }
    end = position
    isPresent = true
    return true
  }
}
