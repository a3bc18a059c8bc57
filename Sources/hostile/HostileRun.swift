/// One guest that means harm, from its start to its end.
struct HostileRun {
  /// All that `skep run` printed.
  var output: String
  /// How many rounds it has begun, rounded down to a number that it prints.
  var rounds: Int
  /// How it ended, as Skep tells it.
  var end: String
  /// Whether its time was over, or its second processor has ended it since the first came to no other round: it has lost
  /// its way, or Skep repeats one of its exits for ever, which looks the same.
  var isLost: Bool { end.contains(Self.lost) || end.contains(Self.firstIsLost) }
  /// What must not happen and has happened; nil if nothing has.
  var failure: String?

  /// Judges what a run has printed.
  ///
  /// - Parameters:
  ///   - mebibytes: the guest's memory, which begins at address 0.
  ///   - silence: how long it was silent, in seconds, if it was ended for that.
  init(output: String, status: Int32?, processors: Int, mebibytes: UInt64 = 32, silence: Double? = nil) {
    // Swift takes a carriage return with its line feed for one character.
    let lines = output.split(whereSeparator: \.isNewline).map(String.init)
    self.output = output
    rounds = lines.compactMap { Self.number($0, after: "round ") ?? Self.number($0, after: "over ") }.last ?? 0
    end = Self.end(of: lines)
    failure =
      silence.map { "no heartbeat for \(decimal($0)) s" } ?? Self.refusal(in: lines, of: mebibytes << 20)
      ?? Self.failure(in: lines, status, processors)
  }

  /// The output without most of what the second processor says.
  var shortOutput: String {
    let lines = output.split(whereSeparator: \.isNewline)
    let beats = lines.filter { $0.hasPrefix("beat ") }
    return lines.filter { !$0.hasPrefix("beat ") || $0 == beats.last }.joined(separator: "\n")
  }

  /// How it ended, without the numbers: one of a few kinds.
  var kind: String {
    let words = (failure.map { "FAILED: " + $0 } ?? end).split(separator: " ").map { word in
      word.contains(where: \.isNumber) ? "…" : String(word)
    }
    return words.indices.filter { $0 == 0 || words[$0] != "…" || words[$0 - 1] != "…" }.map { words[$0] }
      .joined(separator: " ")
  }

  /// What there is to say of it in one line.
  var summary: String { "\(rounds) rounds; \(end)\(failure.map { "; FAILED: \($0)" } ?? "")" }

  private static func number(_ line: String, after word: String) -> Int? {
    line.hasPrefix(word) ? Int(line.dropFirst(word.count)) : nil
  }

  /// The last line of progress, without what shows that it is one, and the time; and why, if the guest was stopped or
  /// its second processor has ended it.
  private static func end(of lines: [String]) -> String {
    for line in lines {
      let words = line.split(separator: " ").joined(separator: " ")
      guard words.hasPrefix(restart) else { continue }
      let end = String(words.dropFirst(restart.count))
      // What it did then is reported at the end of all, before its second start's report, if that has one.
      return end == lost ? end + (position(in: lines).map { ": " + $0 } ?? "") : end
    }
    guard let line = lines.last(where: { $0.hasPrefix("==> The guest") }) else { return lines.last ?? "" }
    let end = line.dropFirst(4).prefix { $0 != "[" }.split(separator: " ").joined(separator: " ")
    let registers = lines.firstIndex { $0.hasPrefix("RAX 0x") } ?? 0
    let why =
      lines.first { $0.hasPrefix(firstIsLost) || $0.hasPrefix("the guest has destroyed what") }
      ?? lines[..<registers].last { !$0.hasPrefix("on processor") }
    return end + (why.map { ": " + $0 } ?? "")
  }

  /// What the first report says of the first processor: what it does, and where.
  private static func position(in lines: [String]) -> String? {
    guard let activity = lines.first(where: { $0.hasPrefix("on processor 0, ") }),
      let address = lines.lazy.compactMap({ $0.firstMatch(of: /^RIP 0x[0-9a-f]+/) }).first
    else { return nil }
    return "\(activity), \(address.0)"
  }

  /// Beginnings and parts of lines that tell of a fault of Skep's, or of the second processor's.
  static let faults = [
    "VM entry failed", "a reason that Skep does not handle", "has changed while the guest ran", "Skep panicked",
    "the second processor has exception", "the second processor has lost its debug registers",
    "the second processor stands still", "Skep's extended page tables",
    "no memory left for extended page tables", "the host's processor got an INIT signal",
    "the host had a machine check", "a processor has not left the guest",
  ]

  /// What Skep says when the guest has ended and is started once more, before how it has ended.
  private static let restart = "the guest is started once more: "

  /// What Skep says of a guest whose time was over.
  private static let lost = "the guest has not ended in the time that it was given"

  /// What the second processor says before it ends a guest whose first has come to no other round for long.
  private static let firstIsLost = "the first processor is lost"

  /// How often the second processor ticks in a second of the guest's, at least; it is set to 100.
  private static let leastTickRate = 60
  /// How often it ticks before it prints another line.
  private static let ticksPerLine = 50

  /// An access to the guest's memory, which all is there from the start, that Skep took for one to nothing.
  private static func refusal(in lines: [String], of byteCount: UInt64) -> String? {
    for line in lines {
      guard
        let access = line.firstMatch(
          of: /the guest (?:read|wrote to|fetched an instruction from|accessed) 0x([0-9a-f]+), where it has no memory/),
        let address = UInt64(access.1, radix: 16), address < byteCount
      else { continue }
      return "it has memory at 0x\(access.1)"
    }
    return nil
  }

  private static func failure(in lines: [String], _ status: Int32?, _ processors: Int) -> String? {
    if let fault = faults.first(where: { fault in lines.contains { $0.contains(fault) } }) { return fault }
    guard lines.contains(where: { $0.hasPrefix("==> The guest") }) else {
      return "the run died (\(status.map { "status \($0)" } ?? "a signal"))"
    }
    if !lines.contains(where: { $0.contains("memory outside the guest is unchanged") }) {
      return "memory was not checked"
    }
    if !lines.contains(where: { $0.hasPrefix("round 0") }) { return "the guest did not come to its first round" }
    let isOver = lines.contains { $0.hasPrefix("over ") }
    if processors > 1 && isOver && !lines.contains(where: { $0.hasPrefix("alive") }) {
      return "the second processor does not answer"
    }
    if processors == 1 {
      guard let end = lines.firstIndex(where: { $0.contains(restart) }) else { return "it was not started once more" }
      if !lines[end...].contains(where: { $0.hasPrefix("again ") })
        || !lines[end...].contains(where: { $0.hasPrefix("==> The guest powered off") })
      {
        return "started once more, it does not do what it did"
      }
      if lines[end...].count(where: { $0.contains("memory outside the guest is unchanged") }) != 1 {
        return "memory was not checked after the second start"
      }
    }
    return processors > 1 ? standstill(in: lines) : nil
  }

  /// Whether the second processor has ticked until the end, whatever that was: there is no other sign of life of it when
  /// the first ends the run.
  private static func standstill(in lines: [String]) -> String? {
    let times = lines.compactMap { $0.firstMatch(of: /^ *the guest's time was ([0-9]+) ms$/) }
    guard let milliseconds = times.last.flatMap({ Int($0.1) }) else { return "the guest's time is not known" }
    // What noise prints may garble a line.
    let ticks = lines.compactMap { number($0, after: "beat ") }.max() ?? 0
    // The ticks since the last line are not known, nor are those while it was printed.
    return ticks + 2 * ticksPerLine < leastTickRate * milliseconds / 1000
      ? "the second processor has stood still before the end" : nil
  }
}

/// `value` to the tenth.
func decimal(_ value: Double) -> String {
  let tenths = Int((value * 10).rounded())
  return "\(tenths / 10).\(tenths % 10)"
}
