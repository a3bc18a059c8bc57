import Glibc
import Launcher

/// A file, or standard input, read piece by piece.
struct InputText {
  /// The path; nil for standard input.
  let path: String?

  /// The inputs that a command line names: standard input if none or "-".
  static func all(_ paths: [String]) -> [Self] {
    paths.isEmpty ? [Self(path: nil)] : paths.map { Self(path: $0 == "-" ? nil : $0) }
  }

  /// Calls `body` with one piece of the text after the other.
  func read(_ body: (UnsafeBufferPointer<UInt8>) throws -> Void) throws {
    let descriptor: Int32
    if let path {
      descriptor = open(path, O_RDONLY | O_CLOEXEC)
      if descriptor < 0 { throw problem("cannot be opened") }
    } else {
      descriptor = STDIN_FILENO
    }
    defer { if path != nil { close(descriptor) } }
    let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 1 << 18)
    defer { buffer.deallocate() }
    while true {
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw problem("cannot be read")
      }
      if count == 0 { return }
      try body(UnsafeBufferPointer(rebasing: buffer[..<count]))
    }
  }

  /// All bytes, at most `limit`.
  func contents(limit: Int = 1 << 24) throws -> [UInt8] {
    var bytes: [UInt8] = []
    try read { piece in
      if bytes.count + piece.count > limit {
        throw LaunchProblem("\(path ?? "standard input") is larger than \(limit >> 20) MiB")
      }
      bytes += piece
    }
    return bytes
  }

  private func problem(_ what: String) -> LaunchProblem {
    let reason = String(cString: strerror(errno))
    return LaunchProblem("\(path ?? "standard input") \(what): \(reason)")
  }
}
