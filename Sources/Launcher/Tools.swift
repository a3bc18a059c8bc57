import Subprocess
import SystemPackage

/// A program of another package that the launcher starts.
enum Tool: String {
  case emulator = "bochs-bin"
  case imageMaker = "grub-mkrescue"

  /// The Debian packages that bring the program and what it needs.
  var packages: String {
    switch self {
    case .emulator: "bochs bochsbios vgabios bochs-term"
    case .imageMaker: "grub-pc-bin grub-common xorriso mtools"
    }
  }

  /// What to tell the user when the program, or `part` of what it needs, is not there.
  func missing(_ part: String? = nil) -> LaunchProblem {
    LaunchProblem("\(part ?? rawValue) is not installed", remedy: "Install it with: sudo apt-get install \(packages)")
  }

  /// Runs the program to its end and returns its standard output and error together, and how it ended.
  ///
  /// What it needs for a while goes into `directory`. If the task is cancelled, the program is killed with all that it has
  /// started.
  func collect(
    _ arguments: [String], using directory: TemporaryDirectory? = nil
  ) async throws -> (output: String, status: TerminationStatus) {
    var options = PlatformOptions()
    options.processGroupID = 0
    options.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .seconds(1))]
    do {
      let result = try await Subprocess.run(
        .name(rawValue), arguments: Arguments(arguments),
        environment: directory.map { .inherit.updating(["TMPDIR": $0.path.string]) } ?? .inherit,
        platformOptions: options, input: .none, output: .string(limit: 1 << 20), error: .combinedWithOutput)
      return (result.standardOutput, result.terminationStatus)
    } catch let error as SubprocessError where error.code == .executableNotFound {
      throw missing()
    }
  }
}
