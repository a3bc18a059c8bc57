import Subprocess
import SystemPackage

/// One guest that means harm, from its start to its end.
struct HostileRun {
  /// All that `skep run` printed.
  var output: String
  /// How many rounds it has begun, rounded down to a number that it prints.
  var rounds: Int
  /// How it ended, as Skep tells it.
  var end: String
  /// What must not happen and has happened; nil if nothing has.
  var failure: String?

  init(_ options: Hostile, seed: UInt64) async throws {
    let arguments = [
      "run", "--kernel", options.guest, "--memory", "32M", "--check-memory", "--no-metered",
      "--cpus", "\(options.cpus)", "--cpu-model", options.cpuModel, "--start-time", "1700000000",
      "--timeout", "\(options.patience)",
      "--append", "seed=\(seed) rounds=\(options.rounds) cpus=\(options.cpus)",
    ]
    let result = try await Subprocess.run(
      .path(FilePath(options.skep)), arguments: Arguments(arguments), input: .none, output: .bytes(limit: 1 << 24),
      error: .combinedWithOutput)
    var status: Int32?
    if case .exited(let code) = result.terminationStatus { status = code }
    self.init(output: String(decoding: result.standardOutput, as: UTF8.self), status: status, processors: options.cpus)
  }

  /// Judges what a run has printed.
  init(output: String, status: Int32?, processors: Int) {
    // Swift takes a carriage return with its line feed for one character.
    let lines = output.split(whereSeparator: \.isNewline).map(String.init)
    self.output = output
    rounds = lines.compactMap { Self.number($0, after: "round ") ?? Self.number($0, after: "over ") }.last ?? 0
    end = lines.last { $0.hasPrefix("==> The guest") } ?? lines.last ?? ""
    failure = Self.failure(in: lines, status, processors)
  }

  private static func number(_ line: String, after word: String) -> Int? {
    line.hasPrefix(word) ? Int(line.dropFirst(word.count)) : nil
  }

  /// Beginnings and parts of lines that tell of a fault of Skep's, or of the second processor's.
  private static let faults = [
    "VM entry failed", "a reason that Skep does not handle", "has changed while the guest ran", "Skep panicked",
    "the second processor has exception", "the second processor stands still", "Skep's extended page tables",
  ]

  private static func failure(in lines: [String], _ status: Int32?, _ processors: Int) -> String? {
    if let fault = faults.first(where: { fault in lines.contains { $0.contains(fault) } }) { return fault }
    if status == 4 { return "it hangs" }
    guard lines.contains(where: { $0.hasPrefix("==> The guest") }) else { return "the run died" }
    if !lines.contains(where: { $0.contains("memory outside the guest is unchanged") }) {
      return "memory was not checked"
    }
    if !lines.contains(where: { $0.hasPrefix("round 0") }) { return "the guest did not come to its first round" }
    let isOver = lines.contains { $0.hasPrefix("over ") }
    if processors > 1 && isOver && !lines.contains(where: { $0.hasPrefix("alive") }) {
      return "the second processor does not answer"
    }
    return nil
  }
}
