import Subprocess
import SystemPackage

/// The `skep` command, which starts what is measured.
struct Skep {
  var program: FilePath

  /// The run ended in another way than it should have.
  struct Failure: Error, CustomStringConvertible {
    var arguments: [String]
    var status: String
    var message: String

    var description: String { "skep \(arguments.joined(separator: " ")): \(status)\n\(message)" }
  }

  /// Runs it to its end and returns its standard output: what came over the console, and the table of costs.
  func run(_ arguments: [String]) async throws -> String {
    // The clock's time and what follows from it shall be the same in every run.
    let arguments = ["run", "--start-time", "1700000000", "--timeout", "20m"] + arguments
    let result = try await Subprocess.run(
      .path(program), arguments: Arguments(arguments), input: .none, output: .string(limit: 1 << 20),
      error: .string(limit: 1 << 20))
    guard result.terminationStatus.isSuccess else {
      throw Failure(arguments: arguments, status: "\(result.terminationStatus)", message: result.standardError)
    }
    return result.standardOutput
  }
}
