import Testing

@testable import Machine

@Suite struct HypervisorOptionsTests {
  /// A command line, and what it says.
  static let lines: [(String, memory: UInt64?, metered: Bool, append: String)] = [
    ("", nil, false, ""),
    ("   ", nil, false, ""),
    ("memory=268435456", 268_435_456, false, ""),
    ("memory=18446744073709551615", .max, false, ""),
    ("memory=18446744073709551616", nil, false, ""),
    ("memory=12x metered=1", nil, true, ""),
    ("metered=1 append=quiet", nil, true, "quiet"),
    (#"memory=1 "append=console=ttyS0 quiet" metered=1"#, 1, true, "console=ttyS0 quiet"),
    (#""append=a \"b c\" d" metered=1"#, nil, true, #"a "b c" d"#),
    (#"append=a\\b"#, nil, false, #"a\b"#),
    (#""append=unfinished quote"#, nil, false, "unfinished quote"),
    (#"append=end\"#, nil, false, #"end\"#),
    ("other=1 memory=2", 2, false, ""),
  ]

  @Test("The words mean what they say", arguments: lines.indices)
  func words(_ index: Int) {
    let (text, memory, metered, append) = Self.lines[index]
    var bytes = Array(text.utf8)
    bytes.withUnsafeMutableBytes { line in
      let options = HypervisorOptions(parsing: line)
      #expect(options.memory == memory)
      #expect(options.isMetered == metered)
      #expect(String(decoding: options.append, as: UTF8.self) == append)
    }
  }

  @Test(
    "How many processors the guest has",
    arguments: [("", 1), ("cpus=4", 4), ("memory=1 cpus=8 metered=1", 8), ("cpus=", 1), ("cpus=x", 1), ("cpus=0", 0)]
      as [(String, UInt64)])
  func processorCount(text: String, count: UInt64) {
    var bytes = Array(text.utf8)
    bytes.withUnsafeMutableBytes { #expect(HypervisorOptions(parsing: $0).processorCount == count) }
  }

  @Test(
    "How long the guest may run, in nanoseconds",
    arguments: [
      ("", nil), ("limit=2", 2_000_000_000), ("limit=0", 0), ("limit=x", nil), ("limit=18446744073709551615", .max),
      ("a limit=31536000 b", 31_536_000_000_000_000),
    ] as [(String, MachineTime?)])
  func timeLimit(text: String, limit: MachineTime?) {
    var bytes = Array(text.utf8)
    bytes.withUnsafeMutableBytes { #expect(HypervisorOptions(parsing: $0).timeLimit == limit) }
  }

  @Test("No bytes are bad input")
  func anyBytes() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<10_000 {
      var bytes = (0..<Int.random(in: 0..<40, using: &generator)).map { _ in
        [0x20, 0x22, 0x5C, 0x3D, 0x61].randomElement(using: &generator) ?? UInt8(0)
      }
      bytes.withUnsafeMutableBytes { line in
        let options = HypervisorOptions(parsing: line)
        #expect(options.append.count <= line.count)
      }
    }
  }
}
