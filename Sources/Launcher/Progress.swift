import Glibc

/// The steps of a run, told to the user on standard error as they happen.
struct Progress: Sendable {
  /// Whether escape codes may be used: standard error is a terminal that knows them.
  private let usesColor: Bool
  private let start = ContinuousClock.now
  private let output = UserOutput(.standardError)
  private let signals: Signals
  private var deadline: ContinuousClock.Instant?

  /// Progress that is told until a signal ends the run: then, nobody is waited for who does not read.
  init(_ signals: Signals) {
    self.signals = signals
    let terminal = getenv("TERM").map { String(cString: $0) } ?? "dumb"
    usesColor = isatty(STDERR_FILENO) == 1 && terminal != "dumb" && getenv("NO_COLOR") == nil
  }

  /// The same, with no wait for a reader after `deadline`.
  func until(_ deadline: ContinuousClock.Instant?) -> Progress {
    var progress = self
    progress.deadline = deadline
    return progress
  }

  /// Begins a line of progress, with the seconds since the start.
  func step(_ text: String) {
    print("==> ", text, " [\(elapsed) s]", style: "1")
  }

  /// A remark of less weight.
  func note(_ text: String) {
    print("    ", text, "", style: "2")
  }

  /// A line that has to be read: an error, a report.
  func plain(_ text: String) {
    print("", text, "", style: nil)
  }

  /// Seconds since the start, with one decimal.
  var elapsed: String {
    let duration = ContinuousClock.now - start
    let tenths = duration.components.seconds * 10 + duration.components.attoseconds / 100_000_000_000_000_000
    return "\(tenths / 10).\(tenths % 10)"
  }

  private func print(_ prefix: String, _ text: String, _ suffix: String, style: String?) {
    var line = prefix + text + suffix
    if usesColor, let style { line = "\u{1b}[\(style)m\(line)\u{1b}[0m" }
    output.write(line + "\n", until: deadline, signals: signals)
  }
}
