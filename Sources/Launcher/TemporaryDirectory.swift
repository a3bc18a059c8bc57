import Glibc
import SystemPackage

/// A directory of this run's own, removed with everything in it by ``remove()``.
struct TemporaryDirectory: Sendable {
  /// Where the directory is.
  let path: FilePath

  /// Makes the directory below `TMPDIR`, or `/tmp` if that is not set.
  init() throws(LaunchProblem) {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? ""
    var template = Array(FilePath(parent.isEmpty ? "/tmp" : parent).appending("skep-XXXXXX").string.utf8CString)
    guard mkdtemp(&template) != nil else {
      throw LaunchProblem(
        "no temporary directory can be made in \(parent.isEmpty ? "/tmp" : parent): \(Errno(rawValue: errno))",
        remedy: "Free some space, or set TMPDIR to another directory.")
    }
    path = FilePath(platformString: template)
  }

  /// The path of the entry `name`.
  func file(_ name: String) -> FilePath { path.appending(name) }

  /// Removes the directory and all below it.
  func remove() { path.removeTree() }
}

extension FilePath {
  /// Removes the file or the directory at this path, with all below it; what is not there is no fault.
  fileprivate func removeTree() {
    // A symbolic link is removed, not followed: unlink succeeds on all that is not a directory.
    if unlink(string) == 0 { return }
    if let entries = opendir(string) {
      while let entry = readdir(entries) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { appending(name).removeTree() }
      }
      closedir(entries)
    }
    rmdir(string)
  }

  /// Writes `text` to the file at this path, replacing what was there.
  func write(_ text: String) throws(LaunchProblem) {
    do {
      let file = try FileDescriptor.open(
        self, .writeOnly, options: [.create, .truncate], permissions: [.ownerReadWrite, .groupRead, .otherRead])
      defer { try? file.close() }
      try file.writeAll(text.utf8)
    } catch {
      throw LaunchProblem("\(self) cannot be written: \(error)")
    }
  }

  /// Checks that a file at this path can be written, and leaves what is there as it is.
  ///
  /// - Returns: The path without symbolic links.
  @discardableResult
  func checkWritable() throws(LaunchProblem) -> FilePath {
    let type = try? stat().type
    // A reader of a named pipe would take it for the end if that were opened and closed.
    if let type, type != .regular, type != .directory, access(string, W_OK) == 0 { return resolved }
    let descriptor = open(string, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw LaunchProblem("\(self) cannot be written: \(Errno(rawValue: errno))") }
    close(descriptor)
    // Where a link leads to a file that was not there is known as long as it is.
    let resolved = self.resolved
    if type == nil { unlink(resolved.string) }
    return resolved
  }

  /// The text of the file at this path, its last `limit` bytes at most; empty if it cannot be read.
  func tail(_ limit: Int) -> String {
    guard let file = try? FileDescriptor.open(self, .readOnly) else { return "" }
    defer { try? file.close() }
    guard let end = try? file.seek(offset: 0, from: .end) else { return "" }
    _ = try? file.seek(offset: max(0, end - Int64(limit)), from: .start)
    var bytes = [UInt8](repeating: 0, count: limit)
    var length = 0
    while length < limit {
      guard let read = try? bytes.withUnsafeMutableBytes({ try file.read(into: .init(rebasing: $0[length...])) }),
        read > 0
      else { break }
      length += read
    }
    return String(decoding: bytes[..<length], as: UTF8.self)
  }
}
