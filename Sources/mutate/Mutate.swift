import ArgumentParser
import Foundation

/// Changes each condition of the checks, one at a time, and sees whether a test notices: `make mutate`.
@main
struct Mutate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mutate",
    abstract: "Negates or weakens each condition of VMEntryChecks, and lists the mutants that no test notices.")

  @Option(help: "Only every n-th mutant.")
  var step = 1

  @Option(help: "Where the scratch package is built.")
  var scratch = "build/mutate"

  @Option(help: "How many mutants are tested at a time.")
  var parallel = 2

  func run() async throws {
    let mutants = try ScratchPackage(directory: scratch).build()
    let chosen = stride(from: 0, to: mutants.count, by: max(1, step)).map { mutants[$0] }
    say("\(chosen.count) of \(mutants.count) mutants")
    let tests = URL(fileURLWithPath: scratch).path + "/.build/release/mutatePackageTests.xctest"
    guard try await notices(0, tests) == false else {
      say("mutate: the tests fail without any mutant")
      throw ExitCode.failure
    }
    var survivors: [ScratchPackage.Mutant] = []
    try await withThrowingTaskGroup(of: ScratchPackage.Mutant?.self) { group in
      var waiting = chosen[...]
      for _ in 0..<parallel {
        if let mutant = waiting.popFirst() { group.addTask { try await survivor(mutant, tests) } }
      }
      while let result = try await group.next() {
        if let result {
          survivors.append(result)
          say("survived: \(result.file):\(result.line): mutant \(result.number), \(result.what)")
        }
        if let mutant = waiting.popFirst() { group.addTask { try await survivor(mutant, tests) } }
      }
    }
    say("\(chosen.count - survivors.count) of \(chosen.count) mutants noticed, \(survivors.count) survived")
    if !survivors.isEmpty { throw ExitCode.failure }
  }

  private func survivor(_ mutant: ScratchPackage.Mutant, _ tests: String) async throws -> ScratchPackage.Mutant? {
    try await notices(mutant.number, tests) ? nil : mutant
  }

  /// Whether a test fails with the mutant `number`; 0 is none.
  ///
  /// The tables come first: they are quick, and notice most.
  private func notices(_ number: Int, _ tests: String) async throws -> Bool {
    let tables = ["--filter", "failsThatCheckAndOnlyIt|passesEveryCheck"]
    if try await fails(number, tests, tables) { return true }
    return try await fails(number, tests, [])
  }

  /// Whether a test fails; one that does not end counts as one that fails.
  private func fails(_ number: Int, _ tests: String, _ options: [String]) async throws -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["timeout", "120", tests, "--testing-library", "swift-testing"] + options
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["MUTANT": String(number), "SWIFT_BACKTRACE": "enable=no"], uniquingKeysWith: { $1 })
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    return try await withCheckedThrowingContinuation { continuation in
      process.terminationHandler = { continuation.resume(returning: $0.terminationStatus != 0) }
      do { try process.run() } catch { continuation.resume(throwing: error) }
    }
  }

  /// Writes a line at once, into a file too.
  private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
}
