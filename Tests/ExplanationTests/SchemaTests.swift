import Foundation
import Testing
import VMCS
import VMCSDump
import VMEntryChecks

@testable import Explanation

/// The JSON output has the members that the article lists, and no others.
@Suite("JSON schemas")
struct SchemaTests {
  /// The words in backticks in the row of the article that names a schema, and in the table of `skep.explain/1`.
  private static func documented(_ schema: String) throws -> Set<String> {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let article = tests.deletingLastPathComponent()
      .appendingPathComponent("Sources/Explanation/Explanation.docc/ExplainingADump.md")
    let lines = try String(contentsOf: article, encoding: .utf8).split(
      separator: "\n", omittingEmptySubsequences: false)
    let first = try #require(lines.firstIndex { $0.hasPrefix("|") && $0.contains("`\(schema)`") })
    var rows = [lines[first]]
    if schema == "skep.explain/1" { rows += lines[(first + 1)...].prefix { $0.hasPrefix("|") } }
    return Set(
      rows.joined().split(separator: "`", omittingEmptySubsequences: false).enumerated()
        .filter { $0.offset % 2 == 1 }.map { String($0.element) })
  }

  /// The names of all members of a value, but of those whose names are data.
  private static func members(_ value: Any, named name: String = "") -> Set<String> {
    if let list = value as? [Any] { return list.reduce(into: []) { $0.formUnion(members($1, named: name)) } }
    guard let object = value as? [String: Any] else { return [] }
    let isData =
      ["decoded", "capabilities", "controls", "missing", "unknown"].contains(name)
      || name == "fields" || name.hasPrefix("controls.")
    return object.reduce(into: []) { result, member in
      if !isData { result.insert(member.key) }
      result.formUnion(members(member.value, named: isData ? (name == "controls" ? "controls." : "") : member.key))
    }
  }

  private func check(_ texts: [String], _ schema: String, ignoring words: Set<String> = []) throws {
    var found: Set<String> = []
    for text in texts {
      #expect(!text.contains("\n"))
      let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
      #expect((value as? [String: Any])?["schema"] as? String == schema)
      found.formUnion(Self.members(value))
    }
    let documented = try Self.documented(schema)
    #expect(found.subtracting(documented) == [], "not in the article")
    let values: Set<String> = [
      schema, "exit-reason", "instruction-error", "hardware-error", "healthy", "undecided", "unusable", "exact", "view",
      "truncated",
    ]
    let missing = documented.subtracting(found).subtracting(values).subtracting(words)
    #expect(missing.filter { !$0.hasPrefix("skep ") } == [], "in the article, but not there")
  }

  @Test("skep.explain/1")
  func explain() throws {
    var dumps = SharedDumpExplanationTests.expectations.compactMap { sharedDump($0.name) }
    dumps += ExplanationTests.dumps(in: "kvm: vmwrite failed: field=2032 val=0 err=12\n")
    try check(dumps.map { Explanation($0).json(file: "a\"b").text }, "skep.explain/1")
  }

  @Test("skep.dump/1")
  func dump() throws {
    let dump = try #require(sharedDump("kvm-healthy"))
    try check([DumpConversion(dump).json(file: nil).text], "skep.dump/1")
  }

  @Test("skep.decode/1")
  func decode() throws {
    let texts = ["exitReason=0x80000021", "GUEST_CS_AR_BYTES=0xa09b"].compactMap { DecodedField($0)?.json.text }
    try check(texts, "skep.decode/1")
  }

  @Test("skep.fields/1")
  func fields() throws { try check(VMCSFieldDescription.all.map { $0.json.text }, "skep.fields/1") }

  @Test("skep.diff/1")
  func diff() throws {
    let (old, new) = (try #require(sharedDump("kvm-healthy")), try #require(sharedDump("xen-healthy")))
    try check([DumpDifference(old, new).json.text], "skep.diff/1")
  }

  @Test("skep.capabilities/1")
  func capabilities() throws {
    let text = "vmx flags : ept vpid\naddress sizes : 46 bits physical, 48 bits virtual\n"
    let known = CapabilityText(Array(text.utf8)).known
    let reports = [CapabilityReport(known), CapabilityReport(KnownCapabilities())]
    try check(reports.map(\.json.text), "skep.capabilities/1")
  }
}
