/// The exit status of the `skep` command.
public enum ExitStatus: Int32, Sendable, CaseIterable {
  /// The guest powered itself off or reset, or the last expected text was seen.
  case success = 0
  /// The guest was stopped: a triple fault, halted for ever, or something that Skep does not run.
  case guestStopped = 1
  /// A file, an option or the processor model cannot be used.
  case badInput = 2
  /// The emulator died, or Skep itself panicked.
  case emulatorDied = 3
  /// The time that `--timeout` gives has passed.
  case timedOut = 4
  /// The run ended before the text that `--expect` gives was seen.
  case textNotSeen = 5
  /// The guest has not ended in the time that `--time-limit` gives.
  case timeLimitReached = 6
  /// The user ended the run.
  case interrupted = 130

  /// What the status means, in a line of the help text.
  public var summary: String {
    switch self {
    case .success: "the guest powered off or reset, or the last expected text was seen"
    case .guestStopped: "the guest was stopped: triple fault, halted for ever, or unsupported; a report is printed"
    case .badInput: "a file, an option or the CPU model cannot be used"
    case .emulatorDied: "the emulator died, or Skep panicked"
    case .timedOut: "--timeout was reached"
    case .textNotSeen: "the run ended before an --expect text was seen"
    case .timeLimitReached: "the guest was stopped by --time-limit; a report of each of its processors is printed"
    case .interrupted: "ended by Ctrl-C, Ctrl-A X or a signal"
    }
  }
}
