import Glibc
import SystemPackage

/// Standard output or standard error, for writes that do not wait for a reader.
final class UserOutput: Sendable {
  /// What is written to, to be polled.
  let descriptor: FileDescriptor
  private let isOwn: Bool

  /// Takes `standard`, whose own mode is left as it is: other processes may share it.
  init(_ standard: FileDescriptor) {
    // Of a terminal, POLLOUT means less room than a write may need. Only a file has to share the position.
    let own =
      isatty(standard.rawValue) == 1
      ? open("/proc/self/fd/\(standard.rawValue)", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1
    isOwn = own >= 0
    descriptor = isOwn ? FileDescriptor(rawValue: own) : standard
  }

  deinit {
    if isOwn { try? descriptor.close() }
  }

  /// Writes the beginning of `bytes`, as much as a pipe that is ready has room for; returns how much, 0 if there is none.
  func write(_ bytes: ArraySlice<UInt8>) throws -> Int {
    do {
      return try bytes.withUnsafeBytes { try descriptor.write(.init(rebasing: $0.prefix(256))) }
    } catch Errno.wouldBlock {
      return 0
    }
  }

  /// Writes `text`, and waits for a reader until `deadline` or until a signal ends the run; then it drops what has no room.
  func write(_ text: String, until deadline: ContinuousClock.Instant?, signals: Signals? = nil) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let isHurried = deadline.isPast || signals?.haveEnded == true
      var polls = [
        pollfd(fd: descriptor.rawValue, events: Int16(POLLOUT), revents: 0),
        pollfd(fd: signals?.ending.rawValue ?? -1, events: Int16(POLLIN), revents: 0),
      ]
      poll(&polls, nfds_t(polls.count), isHurried ? 0 : deadline.milliseconds)
      var count = 0
      if polls[0].revents != 0 {
        do { count = try write(rest) } catch { return }
      }
      rest.removeFirst(count)
      if count == 0, isHurried { return }
    }
  }
}
