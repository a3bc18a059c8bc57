import Glibc

/// A program that was run to its end, and what that took.
struct ChildProcess {
  /// How long it ran, from before its start to its end, in seconds.
  var seconds: Double
  /// How long it had a processor, in seconds.
  var processorSeconds: Double
  /// The most memory that it had, in bytes.
  var peakMemory: Int
  /// Its exit status; nil if a signal ended it.
  var status: Int32?

  /// Why a program could not be run.
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  /// Runs a program with nothing on its standard output and error.
  ///
  /// - Parameter input: is called with the descriptor of a pipe to its standard input; nil for no input.
  init(_ arguments: [String], input: ((Int32) -> Void)? = nil) throws(Failure) {
    // A program that ends before it has read everything is seen by its status.
    signal(SIGPIPE, SIG_IGN)
    var pipe: [Int32] = [-1, -1]
    if input != nil, Glibc.pipe(&pipe) != 0 { throw Failure(description: "no pipe can be made") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if input == nil {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    } else {
      posix_spawn_file_actions_adddup2(&actions, pipe[0], 0)
      posix_spawn_file_actions_addclose(&actions, pipe[0])
      posix_spawn_file_actions_addclose(&actions, pipe[1])
    }
    for output: Int32 in 1...2 { posix_spawn_file_actions_addopen(&actions, output, "/dev/null", O_WRONLY, 0) }
    var strings = arguments.map { strdup($0) } + [nil]
    defer { for string in strings { free(string) } }

    let start = Self.now
    var process = pid_t()
    let result = posix_spawn(&process, arguments[0], &actions, nil, &strings, environ)
    guard result == 0 else { throw Failure(description: "\(arguments[0]) cannot be started") }
    if let input {
      close(pipe[0])
      input(pipe[1])
      close(pipe[1])
    }
    var (state, usage) = (Int32(), rusage())
    while wait4(process, &state, 0, &usage) < 0 {
      guard errno == EINTR else { throw Failure(description: "\(arguments[0]) was lost") }
    }
    seconds = Self.now - start
    processorSeconds = Self.seconds(usage.ru_utime) + Self.seconds(usage.ru_stime)
    peakMemory = usage.ru_maxrss << 10
    status = state & 0x7F == 0 ? state >> 8 & 0xFF : nil
  }

  private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }

  private static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
