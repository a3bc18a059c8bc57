import ArgumentParser
import Testing
import VMCS

@testable import skep

/// The command line of `skep checks`.
@Suite struct ChecksCommandTests {
  private func ids(_ arguments: [String]) throws -> [String] {
    try #require(ChecksCommand.parseAsRoot(arguments) as? ChecksCommand).selected().map(\.id)
  }

  @Test func allChecksWithoutArguments() throws {
    #expect(try ids([]).count == CheckDescription.all.count)
    #expect(CheckDescription.all.count > 200)
  }

  @Test func oneCheckByItsIdentifier() throws {
    #expect(try ids(["guest.rflags.reserved"]) == ["guest.rflags.reserved"])
    #expect(try ids(["guest.rflags.reserved", "--field", "guestRIP"]) == [])
  }

  @Test func theChecksThatReadAField() throws {
    #expect(try ids(["--field", "guestGDTRLimit"]) == ["guest.gdtr.limit.bits-31-16"])
    for field in VMCSFieldDescription.all {
      let expected = CheckDescription.all.filter { $0.inputs.contains("\(field.name)") }.map(\.id)
      #expect(try ids(["--field", "\(field.name)"]) == expected)
    }
  }

  @Test(arguments: [
    ["no.such.check"], [""], ["--field", "noField"], ["--field", ""], ["--format", "xml"], ["a", "b"],
    ["no.such.check", "--field", "guestRIP"],
  ])
  func refused(arguments: [String]) {
    #expect(throws: (any Error).self) { try ids(arguments) }
  }

  @Test func anUnknownNameGetsSimilarOnes() {
    let error = #expect(throws: (any Error).self) { try ids(["PDPTE0"]) }
    #expect("\(error.map(String.init(describing:)) ?? "")".contains("guest.pdpte0.reserved"))
  }

  @Test func everyInputHasATitle() {
    for check in CheckDescription.all {
      for line in check.explanation.split(separator: "\n").drop(while: { $0 != "Reads:" }).dropFirst() {
        let parts = line.split(separator: ": ", maxSplits: 1)
        #expect(parts.count == 2, "\(check.id): \(line)")
        #expect(line.hasSuffix("memory that the VMCS refers to") == line.hasPrefix("  memory:"), "\(check.id): \(line)")
      }
    }
  }

  @Test func jsonHasBalancedBracketsAndQuotes() {
    for check in CheckDescription.all {
      let json = check.json
      #expect(json.hasPrefix("{\"id\":\"\(check.id)\",") && json.hasSuffix("}"))
      #expect(json.filter { $0 == "\"" }.count % 2 == 0)
      #expect(!json.contains("\n"))
    }
  }
}
