import Foundation
import Testing

@testable import generate

/// The generator: that what is committed is what it makes, and that it finds mistakes in the specification.
@Suite struct VocabularyGeneratorTests {
  @Test func committedFilesAreFresh() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let generator = Generator(root: root)
    #expect(generator.stalePaths(try generator.files()) == [])
  }

  @Test func staleFilesAreNamedAndWritten() throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("generate-\(UUID())", isDirectory: true)
    defer { try? FileManager.default.removeItem(at: root) }
    let generator = Generator(root: root)
    let files = [GeneratedFile(generatedDirectory + "Words/A.swift", from: "Words.txt", "a")]
    #expect(generator.stalePaths(files) == ["Sources/VMCS/Generated/Words/A.swift"])
    #expect(try generator.write(files) == ["Sources/VMCS/Generated/Words/A.swift"])
    #expect(generator.stalePaths(files) == [])
    #expect(generator.stalePaths([]) == ["Sources/VMCS/Generated/Words/A.swift"])
    #expect(try generator.write([]) == ["Sources/VMCS/Generated/Words/A.swift"])
    #expect(generator.stalePaths([]) == [])
  }

  static let words = """
    controls Pins 32 pin "Pins"
    0 first "First"
    word Format 16 "Format"
    2:0 kind Kind "Kind"
    values Kind 8 "Kind"
    1 one "One"
    """

  @Test func aRightSpecificationIsRead() throws {
    let words = try wordSpecifications(of: Self.words, file: "W")
    #expect(words.map(\.name) == ["Pins", "Format", "Kind"])
    let fields = try fieldSpecifications(
      of: "# comment\n\n## 16-Bit Control Fields\n0x0002 a Format rw pin.first \"A\"\n", file: "F", words: words)
    #expect(fields.map(\.encoding) == [2])
  }

  @Test(arguments: [
    ("0 bit \"Bit\"", 1, "expected controls, flags, word or values"),
    ("word lower 32 \"Title\"", 1, "expected a kind"),
    ("word Name 31 \"Title\"", 1, "expected a kind"),
    ("controls Name 32 \"Title\"", 1, "expected a kind"),
    ("controls Name 32 Pin \"Title\"", 1, "is not an id"),
    ("word Name 32", 1, "a title in double quotes is missing"),
    ("word Name 32 \"Title\"", 1, "Name is empty"),
    ("word Name 32 \"Ti\" tle\"\n", 1, "a line has at most one title"),
    ("word Name 32 \"Title\"\n32 bit \"Bit\"", 2, "does not fit 32 bits"),
    ("word Name 32 \"Title\"\n1:2 bit \"Bit\"", 2, "is not a bit"),
    ("word Name 32 \"Title\"\nx bit \"Bit\"", 2, "is not a bit"),
    ("flags Name 32 \"Title\"\n1:0 bit \"Bit\"", 2, "is not a bit"),
    ("values Name 8 \"Title\"\n256 bit \"Bit\"", 2, "does not fit 8 bits"),
    ("word Name 32 \"Title\"\n3:1 a \"A\"\n3 b \"B\"", 3, "overlaps or precedes"),
    ("word Name 32 \"Title\"\n1 a \"A\"\n2 a \"A\"", 3, "a occurs twice"),
    ("word Name 32 \"Title\"\n1 a \"A\"\nword Name 32 \"Title\"\n1 a \"A\"", 3, "Name occurs twice"),
    ("word Name 32 \"Title\"\n1 a Missing \"A\"", 2, "is not a type of kind values"),
    ("word Name 32 \"T\"\n9:1 a Kind \"A\"\nvalues Kind 8 \"K\"\n0 b \"B\"", 2, "has only 8 bits"),
    ("word Name 32 \"Title\"\n1 A \"A\"", 2, "expected a bit or value"),
    ("word Name 32 \"Title\"\n1 a \"A\\\\(b)\"", 2, "backslash"),
  ])
  func mistakesInWordsAreFound(text: String, line: Int, message: String) throws {
    let error = try #require(throws: SpecificationError.self) { try wordSpecifications(of: text, file: "W") }
    #expect(error.line == line)
    #expect(error.message.contains(message))
    #expect("\(error)".hasPrefix("W:\(line): error: "))
  }

  @Test(arguments: [
    ("0x0002 a UInt16 rw always \"A\"", 1, "a field before the first heading"),
    ("## 12-Bit Control Fields", 1, "is not a heading of Appendix B"),
    ("## 16-Bit Control Fields\n0x0003 a UInt16 rw always \"A\"", 2, "full access"),
    ("## 16-Bit Control Fields\n0x8000 a UInt16 rw always \"A\"", 2, "full access"),
    ("## 16-Bit Control Fields\n0x0002 A UInt16 rw always \"A\"", 2, "lowerCamelCase"),
    ("## 16-Bit Control Fields\n0x0002 a_b UInt16 rw always \"A\"", 2, "lowerCamelCase"),
    ("## 16-Bit Control Fields\n0x0002 a UInt16 wo always \"A\"", 2, "expected rw or ro"),
    ("## 16-Bit Control Fields\n0x0002 a UInt8 rw always \"A\"", 2, "neither in Words.txt nor"),
    ("## 16-Bit Control Fields\n0x0002 a UInt32 rw always \"A\"", 2, "has 32 bits"),
    ("## 16-Bit Control Fields\n0x0002 a UInt16 rw pin.second \"A\"", 2, "is not a bit of a control word"),
    ("## 16-Bit Control Fields\n0x0002 a UInt16 rw kind.one \"A\"", 2, "is not a bit of a control word"),
    ("## 16-Bit Control Fields\n0x0002 a UInt16 rw pin.first|pin.first|pin.first \"A\"", 2, "one or two control bits"),
    ("## 16-Bit Control Fields\n0x0002 a UInt16 rw \"A\"", 2, "expected an encoding"),
    ("## 16-Bit Control Fields\n0x0002 a UInt16 rw always", 2, "a title in double quotes is missing"),
    ("## 16-Bit Control Fields\n0x0002 a UInt16 rw always \"A\"\n0x0004 a UInt16 rw always \"A\"", 3, "a occurs twice"),
    ("## 16-Bit Control Fields\n0x0002 a UInt16 rw always \"A\"\n0x0002 b UInt16 rw always \"A\"", 3, "is not above"),
  ])
  func mistakesInFieldsAreFound(text: String, line: Int, message: String) throws {
    let words = try wordSpecifications(of: Self.words, file: "W")
    let error = try #require(throws: SpecificationError.self) {
      try fieldSpecifications(of: text, file: "F", words: words)
    }
    #expect(error.line == line)
    #expect(error.message.contains(message))
  }

  @Test(arguments: [
    ("0x10 a", 1, "a title in double quotes is missing"),
    ("0x10 a 2 \"A\"", 1, "expected an index"),
    ("0x1FFFFFFFF a \"A\"", 1, "expected an index"),
    ("0x10 a 1 1 \"A\"", 1, "a family has"),
    ("0x10 a \"A\"\n0x11 a \"B\"", 2, "a occurs twice"),
    ("0x10 a 4 2 \"A\"\n0x14 b \"B\"", 2, "0x00000014 occurs twice"),
  ])
  func mistakesInMSRsAreFound(text: String, line: Int, message: String) throws {
    let error = try #require(throws: SpecificationError.self) { try msrSpecifications(of: text, file: "M") }
    #expect(error.line == line)
    #expect(error.message.contains(message))
  }

  @Test(arguments: [
    ("CR0", "cr0"), ("EPTPointer", "eptPointer"), ("UInt64", "uint64"), ("SegmentSelector", "segmentSelector"),
    ("VMXPart", "vmxPart"), ("DR7", "dr7"),
  ])
  func memberNames(type: String, member: String) {
    #expect(memberName(ofType: type) == member)
  }
}
