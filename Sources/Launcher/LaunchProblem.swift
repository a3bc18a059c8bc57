import SystemPackage

/// Why a run or an image is not possible: what is wrong, what to do about it, and the exit status.
public struct LaunchProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong, and with which file or option.
  public var problem: String
  /// What the user can do about it, if anything.
  public var remedy: String?
  /// The status to exit with.
  public var status: ExitStatus

  /// Makes a problem that ends the command with `status`.
  public init(_ problem: String, remedy: String? = nil, status: ExitStatus = .badInput) {
    self.problem = problem
    self.remedy = remedy
    self.status = status
  }

  /// Whether the user wants the command to have ended already, and not to wait for a reader of the message.
  public var isUrgent: Bool { status == .timedOut || status == .interrupted }

  /// The message as it is printed after `skep: `.
  public var description: String {
    guard let remedy else { return problem }
    return problem + "\n      " + remedy
  }
}

/// Writes `text` and a newline to standard error, unbuffered; `patience` is how long a reader is waited for, nil without end.
public func printError(_ text: String, patience: Duration? = nil) {
  UserOutput(.standardError).write(text + "\n", until: patience.map { .now + $0 })
}
