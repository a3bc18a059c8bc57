import Foundation

/// The tests, which are run once for each mutant.
struct MutantTests: Sendable {
  /// What the tests say of a mutant.
  enum Outcome: Sendable {
    /// A test fails.
    case noticed
    /// None does.
    case survived
    /// There is no such change: a mask has no bit beside it, or a range ends where its type does.
    case absent
  }

  var executable: String

  /// The status with which the tests end where none fails and the mutant never changed anything.
  static let absentStatus: Int32 = 77

  /// Whether a test fails with the mutant `number`; 0 is none.
  ///
  /// The tables come first: they are quick, and notice most.
  func outcome(of number: Int) async throws -> Outcome {
    for tests in ["failsThatCheckAndOnlyIt|passesEveryCheck", "FailingValuesTests|OutcomeTests"] {
      let status = try await status(number, ["--filter", tests])
      if status != 0, status != Self.absentStatus { return .noticed }
    }
    switch try await status(number, []) {
    case 0: return .survived
    case Self.absentStatus: return .absent
    default: return .noticed
    }
  }

  /// The status with which the tests end, which are stopped at the first failure; tests that do not end count as ones that
  /// fail.
  private func status(_ number: Int, _ options: [String]) async throws -> Int32 {
    let (process, pipe) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["timeout", "300", executable, "--testing-library", "swift-testing"] + options
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["MUTANT": String(number), "SWIFT_BACKTRACE": "enable=no"], uniquingKeysWith: { $1 })
    (process.standardOutput, process.standardError) = (pipe, pipe)
    pipe.fileHandleForReading.readabilityHandler = { [process] handle in
      let data = handle.availableData
      if data.isEmpty { handle.readabilityHandler = nil }
      if String(decoding: data, as: UTF8.self).contains("recorded an issue"), process.isRunning { process.terminate() }
    }
    return try await withCheckedThrowingContinuation { continuation in
      process.terminationHandler = { process in
        continuation.resume(returning: process.terminationReason == .exit ? process.terminationStatus : -1)
      }
      do { try process.run() } catch { continuation.resume(throwing: error) }
    }
  }
}
