import Glibc
import SystemPackage

extension FilePath {
  /// Moves the file at this path to `target`, a path without symbolic links, also to another file system; what is there is
  /// replaced by the whole file or stays as it is.
  ///
  /// What is there and no regular file, as a device, is written to. So is a file that can only be written: its directory
  /// takes no other, or it is a mount.
  func move(to target: FilePath) throws(LaunchProblem) {
    do {
      switch try? target.stat().type {
      case nil: try replace(target)
      case .regular?:
        do {
          try replace(target)
        } catch let error as Errno where Self.refusalsToReplace.contains(error) {
          try copy(into: .open(target, .writeOnly, options: [.truncate]))
        }
      // A named pipe is not waited for.
      default: try copy(into: .open(target, .writeOnly, options: [.nonBlocking]))
      }
    } catch {
      throw LaunchProblem("\(target) cannot be written: \(error)")
    }
  }

  /// What a directory that takes no file and a mount answer.
  private static let refusalsToReplace: Set<Errno> = [
    .permissionDenied, .notPermitted, .resourceBusy, .readOnlyFileSystem,
  ]

  private func replace(_ target: FilePath) throws {
    if rename(string, target.string) == 0 { return }
    if errno != EXDEV { throw Errno(rawValue: errno) }
    let copy = FilePath(target.string + ".skep-\(getpid())")
    // Renamed or not, it is not there any more.
    defer { unlink(copy.string) }
    try self.copy(
      into: .open(
        copy, .writeOnly, options: [.create, .truncate],
        permissions: [.ownerReadWrite, .groupReadWrite, .otherReadWrite]))
    if rename(copy.string, target.string) != 0 { throw Errno(rawValue: errno) }
  }

  /// The path without symbolic links; itself if nothing is there.
  var resolved: FilePath {
    guard let path = realpath(string, nil) else { return self }
    defer { free(path) }
    return FilePath(platformString: path)
  }

  /// Copies the file at this path until the task is cancelled, and closes `target`.
  private func copy(into target: FileDescriptor) throws {
    try target.closeAfter {
      let source = try FileDescriptor.open(self, .readOnly)
      try source.closeAfter {
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while case let count = try buffer.withUnsafeMutableBytes({ try source.read(into: $0) }), count > 0 {
          var rest = buffer[..<count]
          while !rest.isEmpty {
            try Task.checkCancellation()
            do {
              rest.removeFirst(try rest.withUnsafeBytes { try target.write($0) })
            } catch Errno.wouldBlock {
              // A reader is waited for, but not without end: the task may be cancelled.
              var polled = pollfd(fd: target.rawValue, events: Int16(POLLOUT), revents: 0)
              poll(&polled, 1, 100)
            }
          }
        }
      }
    }
  }
}
