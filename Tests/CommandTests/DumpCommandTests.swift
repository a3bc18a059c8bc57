import Explanation
import Testing

@testable import skep

/// The command line of the commands on dumps and fields.
@Suite("Commands on dumps and fields")
struct DumpCommandTests {
  @Test("The options and their defaults")
  func options() throws {
    let plain = try ExplainCommand.parse([])
    #expect(plain.files.isEmpty && plain.capabilities == nil && plain.output.format == .text)
    let full = try ExplainCommand.parse(["--format", "json", "--capabilities", "haswell", "a", "-"])
    #expect(full.output.format == .json && full.capabilities == "haswell" && full.files == ["a", "-"])
    #expect(try DiffCommand.parse(["a", "b"]).second == "b")
    #expect(try ConvertCommand.parse(["--to", "swift"]).to == .swift)
  }

  @Test("What cannot be parsed is refused")
  func refused() {
    #expect(throws: (any Error).self) { try ExplainCommand.parse(["--format", "xml"]) }
    #expect(throws: (any Error).self) { try DiffCommand.parse([]) }
    #expect(throws: (any Error).self) { try ConvertCommand.parse(["dump"]) }
    #expect(throws: (any Error).self) { try DecodeCommand.parse([]) }
  }

  @Test("Bad input is an error with a message", arguments: ["/does/not/exist", "/"])
  func badInput(path: String) {
    #expect(throws: (any Error).self) { try ExplainCommand.parse([path]).run() }
    #expect(throws: (any Error).self) { try ShowCommand.parse([path]).run() }
    #expect(throws: (any Error).self) { try CapabilitiesCommand.parse([path]).run() }
    #expect(throws: (any Error).self) { try DiffCommand.parse([path, path]).run() }
  }

  @Test("Models of processors have names", arguments: ["haswell", "Skylake-X", "sandy bridge"])
  func models(name: String) throws {
    #expect(CapabilityReport(try CapabilitySource.named(name)).words.count >= 4)
  }

  @Test("The help has examples")
  func help() {
    for text in [
      ExplainCommand.helpMessage(), ShowCommand.helpMessage(), DiffCommand.helpMessage(), DecodeCommand.helpMessage(),
      FieldsCommand.helpMessage(), ConvertCommand.helpMessage(), CapabilitiesCommand.helpMessage(),
    ] { #expect(text.contains("EXAMPLES")) }
  }
}
