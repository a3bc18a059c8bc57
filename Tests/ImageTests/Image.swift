import Foundation
import Testing

/// The release image that `make image` has built, as a disassembler and its ELF headers show it.
struct Image {
  /// One instruction as objdump prints it, in AT&T syntax.
  struct Instruction {
    var address: UInt64
    /// The function that it is in, by its mangled name.
    var function: String
    var mnemonic: Substring
    var operands: Substring
  }

  /// A loadable segment (ELF-64, "Program Header").
  struct Segment {
    var isReadable: Bool
    var isWritable: Bool
    var isExecutable: Bool
    var addresses: Range<UInt64>
  }

  let instructions: [Instruction]
  let segments: [Segment]
  /// The addresses of the symbols, by their names.
  let symbols: [String: UInt64]

  /// Reads it once for all tests.
  static let built = Result { try Image(path: path) }

  /// `build/skep.elf` of the package.
  static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("build/skep.elf").path

  private init(path: String) throws {
    let file = try Data(contentsOf: URL(fileURLWithPath: path))
    segments = Self.segments(file)
    instructions = Self.instructions(try Self.objdump(["-d", "--no-show-raw-insn", path]))
    symbols = Self.symbols(try Self.objdump(["-t", path]))
  }

  private static func objdump(_ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["objdump"] + arguments
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "objdump failed; it is in Debian's package binutils")
    return String(decoding: data, as: UTF8.self)
  }

  /// Lines like `  106a3e:\tvmread %rax,%rdi`, after a line like `0000000000106a00 <function>:`.
  private static func instructions(_ text: String) -> [Instruction] {
    var function = ""
    var instructions: [Instruction] = []
    for line in text.utf8.split(separator: UInt8(ascii: "\n")).map({ Substring($0) }) {
      if line.utf8.last == UInt8(ascii: ":"), let start = line.utf8.firstIndex(of: UInt8(ascii: "<")) {
        function = String(line[line.utf8.index(after: start)...].dropLast(2))
        continue
      }
      let parts = line.utf8.split(separator: UInt8(ascii: "\t"), maxSplits: 1).map { Substring($0) }
      guard parts.count == 2, parts[0].utf8.last == UInt8(ascii: ":"),
        let address = UInt64(parts[0].dropLast().drop { $0 == " " }, radix: 16)
      else { continue }
      var words = parts[1].utf8.split(separator: UInt8(ascii: " ")).map { Substring($0) }
      while words.count > 1, ["rep", "repz", "repnz", "lock", "data16", "cs"].contains(words[0]) { words.removeFirst() }
      instructions.append(
        Instruction(
          address: address, function: function, mnemonic: words.first ?? "", operands: words.dropFirst().first ?? ""))
    }
    return instructions
  }

  /// Lines like `000000000010020d g       .text 0000000000000000 free`.
  private static func symbols(_ text: String) -> [String: UInt64] {
    var symbols: [String: UInt64] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count >= 4, let address = UInt64(words[0], radix: 16) { symbols[String(words.last!)] = address }
    }
    return symbols
  }

  private static func segments(_ file: Data) -> [Segment] {
    func value<T: FixedWidthInteger>(_ offset: Int, _: T.Type = T.self) -> T {
      T(littleEndian: file.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) })
    }
    let loadable: UInt32 = 1
    let start = Int(value(0x20, UInt64.self))
    let size = Int(value(0x36, UInt16.self))
    return (0..<Int(value(0x38, UInt16.self))).compactMap { index in
      let header = start + index * size
      guard value(header, UInt32.self) == loadable else { return nil }
      let flags: UInt32 = value(header + 4)
      let address: UInt64 = value(header + 0x10)
      let length: UInt64 = value(header + 0x28)
      return Segment(
        isReadable: flags & 4 != 0, isWritable: flags & 2 != 0, isExecutable: flags & 1 != 0,
        addresses: address..<address + length)
    }
  }
}
