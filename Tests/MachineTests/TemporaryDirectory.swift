import Glibc
import Testing

/// A directory that goes when the test ends.
final class TemporaryDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/skep-test-XXXXXX".utf8CString)
    path = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  deinit { _ = try? run("cd / && rm -r '\(path)'") }

  func write(_ bytes: [UInt8], to name: String) throws {
    let file = try #require(fopen("\(path)/\(name)", "w"))
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
  }

  func read(_ name: String) throws -> String {
    let file = try #require(fopen("\(path)/\(name)", "r"))
    defer { fclose(file) }
    return Self.contents(file)
  }

  /// Runs a command in the directory, and gives its exit status and all that it printed.
  func run(_ command: String) throws -> (status: Int32, output: String) {
    let pipe = try #require(popen("cd '\(path)' && { \(command); } 2>&1", "r"))
    let output = Self.contents(pipe)
    return (pclose(pipe) >> 8, output)
  }

  private static func contents(_ file: UnsafeMutablePointer<FILE>) -> String {
    var bytes: [UInt8] = []
    while case let byte = getc(file), byte != EOF { bytes.append(UInt8(byte)) }
    return String(decoding: bytes, as: UTF8.self)
  }
}
