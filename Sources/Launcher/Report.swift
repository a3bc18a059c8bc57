/// A line that Skep writes to the report channel, the second serial port: `skep: key text`.
public enum Report: Equatable, Sendable {
  /// Progress.
  case note(String)
  /// What is wrong with the input, in one message.
  case error(String)
  /// A line of the table of what the run cost.
  case table(String)
  /// A line of the report of a stopped guest, or by what a guest has restarted its machine.
  case guest(String)
  /// A line of Skep's own panic report.
  case panic(String)
  /// The exit status that the guest has asked for.
  case status(UInt8)
  /// The run has ended; the last line.
  case end(RunEnd)

  /// Parses a line without its line end; nil for a line that is not of this form.
  public init?(line: String) {
    let prefix = "skep: "
    guard line.hasPrefix(prefix) else { return nil }
    let rest = line.dropFirst(prefix.count)
    let key = rest.prefix { $0 != " " }
    let text = String(rest.dropFirst(key.count + 1))
    switch key {
    case "note": self = .note(text)
    case "error": self = .error(text)
    case "table": self = .table(text)
    case "guest": self = .guest(text)
    case "panic": self = .panic(text)
    case "status":
      guard let status = UInt8(text) else { return nil }
      self = .status(status)
    case "end":
      guard let end = RunEnd(rawValue: text) else { return nil }
      self = .end(end)
    default: return nil
    }
  }
}

/// How a run ended, as Skep tells it.
public enum RunEnd: String, Equatable, Sendable, CaseIterable {
  /// The guest turned its machine off.
  case powerOff = "power-off"
  /// The guest reset its machine.
  case reset
  /// The guest ended the run with a status of its own.
  case exit
  /// The guest's processor shut down.
  case tripleFault = "triple-fault"
  /// The guest halted, and nothing can wake it.
  case halted
  /// The guest's time was over.
  case timeLimit = "time-limit"
  /// Skep stopped the guest for another reason.
  case stopped
  /// Skep did not start the guest.
  case error
  /// Skep panicked.
  case panic

  /// The exit status of a run that ended so.
  public var status: ExitStatus {
    switch self {
    case .powerOff, .reset: .success
    // The status that the guest has asked for is in a report of its own.
    case .exit, .tripleFault, .halted, .stopped: .guestStopped
    case .timeLimit: .timeLimitReached
    case .error: .badInput
    case .panic: .emulatorDied
    }
  }

  /// The status to exit with: that of a guest's last start, where the guest has asked for one.
  func exitStatus(_ reports: [Report]) -> Int32 {
    let statuses = reports.compactMap { if case .status(let status) = $0 { Int32(status) } else { nil } }
    return (self == .exit ? statuses.last : nil) ?? status.rawValue
  }

  /// The end in words, for the last line of progress.
  public var summary: String {
    switch self {
    case .powerOff: "The guest powered off"
    case .reset: "The guest reset itself"
    case .exit: "The guest ended the run"
    case .tripleFault: "The guest was stopped: triple fault"
    case .halted: "The guest was stopped: halted with interrupts disabled, so for ever"
    case .timeLimit: "The guest was stopped: its time was over"
    case .stopped: "The guest was stopped"
    case .error: "The guest was not started"
    case .panic: "Skep panicked"
    }
  }
}

/// Cuts a stream of bytes into lines.
struct LineBuffer {
  private var partial: [UInt8] = []

  /// Takes `bytes` and returns the lines that they complete, without line ends.
  mutating func lines(_ bytes: [UInt8]) -> [String] {
    var lines: [String] = []
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "\n"):
        lines.append(String(decoding: partial, as: UTF8.self))
        partial.removeAll(keepingCapacity: true)
      case UInt8(ascii: "\r"): continue
      default: partial.append(byte)
      }
    }
    return lines
  }
}
