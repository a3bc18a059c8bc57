import Glibc
import SystemPackage

/// The signals that a run handles, as bytes that can be read from a pipe together with everything else.
final class Signals: Sendable {
  /// Ends the run: the user's Ctrl-C, `kill`, the terminal going away.
  static let ending = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]

  /// The end of the pipe to poll and read.
  let descriptor: FileDescriptor
  private let writeEnd: FileDescriptor

  /// Begins to catch the signals; SIGPIPE is ignored from here on.
  init() throws(LaunchProblem) {
    guard let ends = try? FileDescriptor.pipe() else {
      throw LaunchProblem("no pipe can be opened: \(Errno(rawValue: errno))", status: .emulatorDied)
    }
    (descriptor, writeEnd) = (ends.readEnd, ends.writeEnd)
    for end in [descriptor, writeEnd] {
      _ = fcntl(end.rawValue, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end.rawValue, F_SETFL, O_NONBLOCK)
    }
    signalPipe = writeEnd.rawValue
    for number in Self.ending + [SIGTSTP, SIGCONT] {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { number in
        let saved = errno
        var byte = UInt8(truncatingIfNeeded: number)
        _ = Glibc.write(signalPipe, &byte, 1)
        errno = saved
      }
      action.sa_flags = SA_RESTART
      sigaction(number, &action, nil)
    }
    signal(SIGPIPE, SIG_IGN)
  }

  deinit {
    for number in Self.ending + [SIGTSTP, SIGCONT] { signal(number, SIG_DFL) }
    signalPipe = -1
    try? descriptor.close()
    try? writeEnd.close()
  }

  /// The next signal that has arrived; nil if none has.
  func next() -> Int32? {
    var byte: UInt8 = 0
    let count = withUnsafeMutableBytes(of: &byte) { try? descriptor.read(into: $0) }
    return count == 1 ? Int32(byte) : nil
  }
}

/// The end of the pipe that the signal handler writes to: all that a handler may touch.
nonisolated(unsafe) private var signalPipe: Int32 = -1
