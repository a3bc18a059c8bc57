import Machine
import Testing

@Suite("Modules' strings")
struct ModuleOptionTests {
  @Test(
    "A module's command line comes through GRUB's quoting; the strings of Skep's own modules are none",
    arguments: [
      ("module=", ""), ("module=x", "x"), (#""module=a b  c""#, "a b  c"),
      (#""module=it\'s \"x\" \\y""#, #"it's "x" \y"#),
      ("kernel", nil), ("initrd", nil), ("", nil), ("module", nil), ("\"", nil), ("xmodule=1", nil),
      (#""module=open"#, "open"), (#"module=\"#, #"\"#),
    ] as [(String, String?)])
  func commandLine(string: String, expected: String?) {
    var bytes = Array(string.utf8)
    let result = bytes.withUnsafeMutableBytes {
      HypervisorOptions.moduleCommandLine($0).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(result == expected)
    if expected == nil { #expect(bytes == Array(string.utf8), "it is a name, and stays") }
  }
}
