import Glibc

/// A program that prints lines, and is ended when it is not wanted any more.
struct GuestProcess {
  /// How a process has ended.
  struct End {
    /// What it has printed on standard output and error.
    var output: String
    /// Its exit status; nil if a signal ended it.
    var status: Int32?
    /// How long it ran.
    var seconds: Double
  }

  /// Why a program could not be started.
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  private let process: pid_t
  private let pipe: Int32
  private let start = monotonicTime()
  private let grace: Double

  /// Starts `arguments[0]`, with nothing to read.
  ///
  /// - Parameter grace: how long it may take to end once it was told to, in seconds.
  init(_ arguments: [String], grace: Double = 10) throws(Failure) {
    self.grace = grace
    var ends: [Int32] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else { throw Failure(description: "no pipe can be made") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends[1]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    for output: Int32 in 1...2 { posix_spawn_file_actions_adddup2(&actions, ends[1], output) }
    var strings = arguments.map { strdup($0) } + [nil]
    defer { for string in strings { free(string) } }
    var process = pid_t()
    guard posix_spawn(&process, arguments[0], &actions, nil, &strings, environ) == 0 else {
      close(ends[0])
      throw Failure(description: "\(arguments[0]) cannot be started")
    }
    (self.process, pipe) = (process, ends[0])
  }

  /// Reads what the program prints until it ends, or until `isWanted`, which is asked each second, says no.
  func carry(_ hear: (Substring) -> Void, whileWaiting isWanted: () -> Bool) -> End {
    var output: [UInt8] = []
    var lineStart = 0
    var ended: Double?
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      var polled = [pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)]
      if poll(&polled, 1, 1000) > 0 {
        let count = read(pipe, &buffer, buffer.count)
        if count == 0 || (count < 0 && errno != EINTR) { break }
        output += buffer[..<max(0, count)]
        while let end = output[lineStart...].firstIndex(of: UInt8(ascii: "\n")) {
          hear(Substring(decoding: output[lineStart..<end], as: UTF8.self))
          lineStart = end + 1
        }
      }
      if ended == nil, !isWanted() {
        kill(process, SIGTERM)
        ended = monotonicTime()
      }
      if let ended, monotonicTime() - ended > grace {
        kill(process, SIGKILL)
        break
      }
    }
    close(pipe)
    var state: Int32 = 0
    while waitpid(process, &state, 0) < 0, errno == EINTR {}
    return End(
      output: String(decoding: output, as: UTF8.self), status: state & 0x7F == 0 ? state >> 8 & 0xFF : nil,
      seconds: monotonicTime() - start)
  }
}

/// Seconds since some moment.
func monotonicTime() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
