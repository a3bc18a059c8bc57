import Glibc
import Machine
import Testing

@testable import Launcher

/// A directory of a test's own that goes when the test ends.
final class Scratch {
  let path: String

  init() throws {
    var template = Array("/tmp/skep-test-XXXXXX".utf8CString)
    path = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  deinit { _ = try? shell("cd / && rm -rf '\(path)'") }

  func write(_ bytes: [UInt8], to name: String) throws -> String {
    let file = try #require(fopen("\(path)/\(name)", "w"))
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    return "\(path)/\(name)"
  }

  /// A kernel that passes all checks and has `code` at its 64-bit entry point.
  func kernel(code: [UInt8] = []) throws -> String {
    var bytes = [UInt8](repeating: 0, count: 4 * 512 + 4096)
    func put<Value>(_ field: LinuxBootField<Value>, _ value: Value) {
      bytes.withUnsafeMutableBytes {
        $0.storeBytes(of: value.littleEndian, toByteOffset: field.offset, as: Value.self)
      }
    }
    put(.setupSects, 3)
    put(.syssize, 4096 / 16)
    put(.bootFlag, LinuxBootProtocol.bootFlag)
    put(.jumpOpcode, LinuxBootProtocol.jumpOpcode)
    put(.jumpDisplacement, 0x6a)
    put(.header, LinuxBootProtocol.headerMagic)
    put(.version, 0x020f)
    put(.loadflags, LinuxBootProtocol.loadedHigh)
    put(.xloadflags, LinuxBootProtocol.kernel64)
    put(.relocatableKernel, 1)
    put(.kernelAlignment, 0x20_0000)
    put(.prefAddress, 0x100_0000)
    put(.initSize, 0x20_0000)
    put(.initrdAddrMax, 0x7fff_ffff)
    put(.cmdlineSize, 2047)
    // The 64-bit entry point is 0x200 into the protected-mode code, which is after the setup sectors.
    bytes.replaceSubrange(4 * 512 + 0x200..<4 * 512 + 0x200 + code.count, with: code)
    return try write(bytes, to: "kernel")
  }

  /// Runs a command of the shell in the directory, and gives its status and all that it printed.
  ///
  /// Carriage returns are left out: Swift takes one with its line feed for a single character.
  func shell(_ command: String) throws -> (status: Int32, output: String) {
    let pipe = try #require(popen("cd '\(path)' && { \(command)\n} 2>&1 </dev/null", "r"))
    var bytes: [UInt8] = []
    while case let byte = getc(pipe), byte != EOF {
      if byte != 0x0d { bytes.append(UInt8(byte)) }
    }
    return (pclose(pipe) >> 8, String(decoding: bytes, as: UTF8.self))
  }

  /// The package's directory, in which `swift test` runs.
  static func package() throws -> String {
    let directory = try #require(getcwd(nil, 0))
    defer { free(directory) }
    return String(cString: directory)
  }
}
