import Foundation

/// The tests with every mutant in them, in one executable.
struct MutantTests: Sendable {
  /// What the tests say of a mutant.
  enum Outcome: Sendable {
    /// A test fails, or does not end.
    case noticed
    /// None does.
    case survived
    /// There is no such change: a mask has no bit beside it, or a range ends where its type does.
    case absent
  }

  var executable: String

  /// The status with which the tests end where none fails and the mutant never changed anything.
  static let absentStatus: Int32 = 77

  /// What the tables say of some mutants, by their numbers, in one process, or in several if mutants end it; nothing of those
  /// that they do not notice, but may change something elsewhere.
  func outcomesOfTables(_ mutants: [Mutant]) async throws -> [Int: Outcome] {
    var (outcomes, rest): ([Int: Outcome], ArraySlice<Mutant>) = ([:], mutants[...])
    while !rest.isEmpty {
      let numbers = rest.map { String($0.number) }.joined(separator: ",")
      let (status, output) = try await run(["--filter", "MutantSweep"], ["MUTANTS": numbers])
      var last: Int?
      for line in output.split(separator: "\n") {
        let words = line.split(separator: " ")
        guard words.count == 2, let index = rest.firstIndex(where: { String($0.number) == words[0] }) else { continue }
        let mutant = rest[index]
        if words[1] == "?" { last = index }
        if words[1] == "!" { outcomes[mutant.number] = .noticed }
        if words[1] == "-", mutant.isConstant { outcomes[mutant.number] = .absent }
      }
      if status == 0 { break }
      // The mutant that ended the process is noticed too.
      guard let last else { break }
      outcomes[rest[last].number] = .noticed
      rest = rest[(last + 1)...]
    }
    return outcomes
  }

  /// What all tests say of a mutant, in a process of its own; 0 is none.
  func outcome(of number: Int) async throws -> Outcome {
    for options in [["--filter", "OutcomeTests"], []] {
      let (status, _) = try await run(options, ["MUTANT": String(number)])
      if status != 0, status != Self.absentStatus { return .noticed }
      if options.isEmpty { return status == 0 ? .survived : .absent }
    }
    return .survived
  }

  private func run(_ options: [String], _ environment: [String: String]) async throws -> (Int32, String) {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async { continuation.resume(with: Result { try runAndWait(options, environment) }) }
    }
  }

  /// Runs tests, which are stopped at the first failure.
  ///
  /// Gives the status with which they end, -1 if it is a signal, and what they write.
  private func runAndWait(_ options: [String], _ environment: [String: String]) throws -> (Int32, String) {
    let (process, pipe) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["timeout", "3600", executable, "--testing-library", "swift-testing", "--quiet"] + options
    process.environment = ProcessInfo.processInfo.environment.merging(
      environment.merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }
    ) { $1 }
    (process.standardOutput, process.standardError) = (pipe, pipe)
    try process.run()
    var output = Data()
    while let data = try pipe.fileHandleForReading.read(upToCount: 1 << 16), !data.isEmpty {
      output += data
      if process.isRunning, data.firstRange(of: Data("recorded an issue".utf8)) != nil { process.terminate() }
    }
    process.waitUntilExit()
    let status = process.terminationReason == .exit ? process.terminationStatus : -1
    return (status, String(decoding: output, as: UTF8.self))
  }
}
