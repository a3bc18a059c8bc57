import Dispatch
import Glibc
import Synchronization
import SystemPackage

/// The signals that a run handles, as descriptors that can be polled together with everything else.
///
/// Several may exist at a time and are told the same. What this process was started to ignore, as SIGHUP by `nohup`, it
/// goes on to ignore. When the last one goes, the signals do again what they did.
final class Signals: Sendable {
  /// What ``interrupting(_:)`` throws.
  static let interruption = LaunchProblem("ended by the user", status: .interrupted)

  private static let installed = Mutex(InstalledHandlers())

  /// Readable from when a signal has arrived that ends the run: the user's Ctrl-C, `kill`, the terminal going away.
  let ending: FileDescriptor
  /// Readable while ``nextOfJobControl()`` has something to give.
  let jobControl: FileDescriptor

  /// Begins to catch the signals that end the run; SIGPIPE is ignored from here on.
  init() throws(LaunchProblem) {
    (ending, jobControl) = try Self.installed.withLock { installed throws(LaunchProblem) in
      try installed.addUser()
      return (installed.ending.readEnd, installed.jobControl.readEnd)
    }
  }

  deinit { Self.installed.withLock { $0.removeUser() } }

  /// Begins to catch SIGTSTP and SIGCONT, too.
  func catchJobControl() {
    Self.installed.withLock { $0.catchSignals([SIGTSTP, SIGCONT], with: handleJobControl) }
  }

  /// Whether a signal has arrived that ends the run.
  var haveEnded: Bool {
    var polled = pollfd(fd: ending.rawValue, events: Int16(POLLIN), revents: 0)
    return poll(&polled, 1, 0) == 1
  }

  /// The next SIGTSTP or SIGCONT that has arrived; nil if none has.
  func nextOfJobControl() -> Int32? {
    var byte: UInt8 = 0
    let count = withUnsafeMutableBytes(of: &byte) { try? jobControl.read(into: $0) }
    return count == 1 ? Int32(byte) : nil
  }

  /// Runs `body` to its end, which a signal that ends the run brings about: it cancels `body`, and is thrown if `body`
  /// has failed then.
  func interrupting<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
    let task = Task { try await body() }
    let source = DispatchSource.makeReadSource(fileDescriptor: ending.rawValue)
    source.setEventHandler {
      task.cancel()
      source.cancel()
    }
    // The descriptor has to stay open until the source has let go of it.
    source.setCancelHandler { withExtendedLifetime(self) {} }
    source.resume()
    defer { source.cancel() }
    let result = await withTaskCancellationHandler {
      await task.result
    } onCancel: {
      task.cancel()
    }
    // What is done, as a file that has been replaced, is not called interrupted.
    if case .success(let value) = result { return value }
    if haveEnded { throw Self.interruption }
    try Task.checkCancellation()
    return try result.get()
  }
}

/// The handlers of this process, and what was there before them.
private struct InstalledHandlers: ~Copyable {
  /// The ends of a pipe.
  typealias Pipe = (readEnd: FileDescriptor, writeEnd: FileDescriptor)

  private(set) var ending: Pipe = (FileDescriptor(rawValue: -1), FileDescriptor(rawValue: -1))
  private(set) var jobControl: Pipe = (FileDescriptor(rawValue: -1), FileDescriptor(rawValue: -1))
  private var userCount = 0
  private var former: [(number: Int32, action: sigaction)] = []

  mutating func addUser() throws(LaunchProblem) {
    if userCount == 0 {
      ending = try Self.pipe()
      jobControl = try Self.pipe()
      (endingPipe, jobControlPipe) = (ending.writeEnd.rawValue, jobControl.writeEnd.rawValue)
      catchSignals([SIGINT, SIGTERM, SIGHUP, SIGQUIT], with: handleEnding)
      catchSignals([SIGPIPE], with: SIG_IGN)
    }
    userCount += 1
  }

  mutating func removeUser() {
    userCount -= 1
    if userCount > 0 { return }
    for case (let number, var action) in former { sigaction(number, &action, nil) }
    former = []
    (endingPipe, jobControlPipe) = (-1, -1)
    for pipe in [ending, jobControl] {
      try? pipe.readEnd.close()
      try? pipe.writeEnd.close()
    }
  }

  /// Has `handler` called for the signals but those that are ignored.
  mutating func catchSignals(_ numbers: [Int32], with handler: sighandler_t) {
    for number in numbers where !former.contains(where: { $0.number == number }) {
      var old = sigaction()
      sigaction(number, nil, &old)
      if unsafeBitCast(old.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
        continue
      }
      var action = sigaction()
      action.__sigaction_handler.sa_handler = handler
      action.sa_flags = SA_RESTART
      sigaction(number, &action, nil)
      former.append((number, old))
    }
  }

  private static func pipe() throws(LaunchProblem) -> Pipe {
    guard let ends = try? FileDescriptor.pipe() else {
      throw LaunchProblem("no pipe can be opened: \(Errno(rawValue: errno))", status: .emulatorDied)
    }
    for end in [ends.readEnd, ends.writeEnd] {
      _ = fcntl(end.rawValue, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end.rawValue, F_SETFL, O_NONBLOCK)
    }
    return ends
  }
}

/// The ends of the pipes that the signal handlers write to: all that a handler may touch.
nonisolated(unsafe) private var endingPipe: Int32 = -1
nonisolated(unsafe) private var jobControlPipe: Int32 = -1

private func handleEnding(_ number: Int32) { tell(number, endingPipe) }

private func handleJobControl(_ number: Int32) { tell(number, jobControlPipe) }

private func tell(_ number: Int32, _ pipe: Int32) {
  let saved = errno
  var byte = UInt8(truncatingIfNeeded: number)
  _ = Glibc.write(pipe, &byte, 1)
  errno = saved
}
