import Glibc
import SystemPackage

/// A file that the user named, known to be a readable, regular file that is not empty and not larger than the
/// machine's memory.
public struct InputFile: Equatable, Sendable {
  /// The path as the user gave it.
  public let path: FilePath
  /// The length of the file.
  public let size: MemorySize

  /// Checks the file at `path`; `role` ("kernel", "initrd", …) names it in the message when it cannot be used.
  public init(_ path: String, role: String) throws(LaunchProblem) {
    self.path = FilePath(path)
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw LaunchProblem("the \(role) \(path) cannot be read: \(Errno(rawValue: errno))")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw LaunchProblem("the \(role) \(path) is not a regular file")
    }
    guard access(path, R_OK) == 0 else {
      throw LaunchProblem("the \(role) \(path) cannot be read: \(Errno(rawValue: errno))")
    }
    guard status.st_size > 0 else {
      throw LaunchProblem("the \(role) \(path) is empty")
    }
    size = MemorySize(bytes: UInt64(status.st_size))
    guard size <= Boot.mostMachineMemory else {
      throw LaunchProblem("the \(role) \(path) is larger than the emulator's \(Boot.mostMachineMemory)")
    }
  }

  /// All bytes of the file.
  func contents() throws(LaunchProblem) -> [UInt8] {
    do {
      let file = try FileDescriptor.open(path, .readOnly)
      defer { try? file.close() }
      var bytes = [UInt8](repeating: 0, count: Int(size.bytes))
      var length = 0
      while length < bytes.count {
        let read = try bytes.withUnsafeMutableBytes { try file.read(into: .init(rebasing: $0[length...])) }
        if read == 0 { break }
        length += read
      }
      return Array(bytes[..<length])
    } catch {
      throw LaunchProblem("\(path) cannot be read: \(error)")
    }
  }
}
