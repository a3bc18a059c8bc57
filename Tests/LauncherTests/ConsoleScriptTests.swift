import Testing

@testable import Launcher

/// The script of expected and typed texts, the keyboard's escapes, and the report channel's lines.
@Suite("Console")
struct ConsoleScriptTests {
  private static let output = Array("booting... aab aaab\r\nlogin: lologin: \u{1b}[0m# done".utf8)

  @Test("A text is found however the output is cut into pieces", arguments: 1...output.count)
  func pieces(size: Int) {
    var script = ConsoleScript([
      .init(expect: "aaab", type: [1]), .init(expect: "login: ", type: [2]), .init(expect: "login: ", type: []),
      .init(expect: "# ", type: [3, 4]),
    ])
    var typed: [UInt8] = []
    for start in stride(from: 0, to: Self.output.count, by: size) {
      typed += script.consume(Array(Self.output[start..<min(start + size, Self.output.count)]))
    }
    #expect(typed == [1, 2, 3, 4])
    #expect(script.awaited == nil)
    #expect(!script.isOver, "the last step types something, so the guest goes on")
  }

  @Test(
    "What is still awaited",
    arguments: [
      ("", "one", false), ("on", "one", false), ("one", "two", false), ("onetwo", nil, true), ("twoone", "two", false),
      ("onetw one", "two", false), ("one two", nil, true),
    ] as [(String, String?, Bool)])
  func awaited(output: String, awaited: String?, isOver: Bool) {
    var script = ConsoleScript([.init(expect: "one"), .init(expect: "two")])
    #expect(script.consume(Array(output.utf8)).isEmpty)
    #expect(script.awaited == awaited)
    #expect(script.isOver == isOver)
  }

  @Test("Without a script nothing is awaited and nothing ends the run")
  func empty() {
    var script = ConsoleScript()
    #expect(script.consume(Self.output).isEmpty)
    #expect(script.awaited == nil)
    #expect(!script.isOver)
  }

  @Test(
    "Ctrl-A on the keyboard",
    arguments: [
      ("abc", "abc", false), ("\u{1}x", "", true), ("\u{1}X", "", true), ("a\u{1}xb", "ab", true),
      ("\u{1}\u{1}", "\u{1}", false), ("\u{1}a", "\u{1}", false), ("\u{1}q", "\u{1}q", false),
      ("\u{3}\u{4}\u{1a}", "\u{3}\u{4}\u{1a}", false), ("\u{1}\u{1}x", "\u{1}x", false),
    ] as [(String, String, Bool)])
  func keyboard(typed: String, forwarded: String, wantsEnd: Bool) {
    var whole = Keyboard()
    #expect(whole.consume(typed.utf8) == Array(forwarded.utf8))
    #expect(whole.wantsEnd == wantsEnd)
    var single = Keyboard()
    #expect(typed.utf8.flatMap { single.consume([$0]) } == Array(forwarded.utf8))
    #expect(single.wantsEnd == wantsEnd)
  }

  @Test(
    "Lines of the report channel",
    arguments: [
      ("skep: note paging is on", .note("paging is on")), ("skep: error no VMX", .error("no VMX")),
      ("skep: table   CPUID  12", .table("  CPUID  12")), ("skep: table ", .table("")), ("skep: table", .table("")),
      ("skep: guest RIP 0", .guest("RIP 0")), ("skep: panic vmread failed", .panic("vmread failed")),
      ("skep: end power-off", .end(.powerOff)), ("skep: end", nil), ("skep: end quickly", nil), ("skep: other x", nil),
      ("skep:note x", nil), ("", nil), ("GRUB loading", nil),
    ] as [(String, Report?)])
  func report(line: String, report: Report?) {
    #expect(Report(line: line) == report)
  }

  @Test("Lines are cut at line feeds, whatever the pieces", arguments: 1...8)
  func lines(size: Int) {
    let bytes = Array("one\r\n\ntwo\nthree".utf8)
    var buffer = LineBuffer()
    var lines: [String] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
      lines += buffer.lines(Array(bytes[start..<min(start + size, bytes.count)]))
    }
    #expect(lines == ["one", "", "two"])
  }
}
