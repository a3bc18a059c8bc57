import Foundation
import Testing

/// A source of Skep's, for tests of what stands where.
struct SourceFile: CustomTestStringConvertible {
  /// The path from the root of the repository.
  var path: String
  /// The lines that are not comments.
  var lines: [String]
  var testDescription: String { path }

  private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// The sources under `folder`.
  static func under(_ folders: String...) -> [Self] {
    folders.flatMap { folder -> [Self] in
      let start = root.appending(path: folder)
      let names = FileManager.default.enumerator(atPath: start.path)?.compactMap { $0 as? String } ?? []
      return names.filter { name in
        [".swift", ".h", ".c", ".S", ".s"].contains { name.hasSuffix($0) } && !name.contains(".build/")
      }.compactMap { name in
        (try? String(contentsOf: start.appending(path: name), encoding: .utf8)).map { text in
          let lines = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
          return Self(path: "\(folder)/\(name)", lines: lines.filter { !$0.hasPrefix("//") })
        }
      }
    }
  }

  /// The lines that contain `pattern` as a whole word.
  func lines(containing pattern: String) -> [String] {
    lines.filter { $0.range(of: "\\b\(pattern)\\b", options: .regularExpression) != nil }
  }
}

@Suite("What stands where") struct HouseTests {
  private static let mnemonics = ["vmread", "vmwrite", "vmptrld", "vmclear"]

  @Test("A1 one file alone has VMREAD, VMWRITE, VMPTRLD and VMCLEAR in assembly")
  func assembly() {
    let sources = SourceFile.under("Sources", "Hypervisor/Sources")
    #expect(sources.count > 100, "the sources have been found")
    for mnemonic in Self.mnemonics {
      // Swift has no inline assembly.
      let files = sources.filter { file in
        [".h", ".c", ".s"].contains { file.path.lowercased().hasSuffix($0) }
          && !file.lines(containing: mnemonic).isEmpty
      }
      #expect(files.map(\.path) == ["Sources/CVMX/include/CVMX.h"], "\(mnemonic)")
    }
  }

  @Test(
    "A1 above the processor, the interface alone executes these instructions, but for reports, the drill and the probe")
  func callers() {
    let processors = ["MeteredProcessor.swift", "BareMetalProcessor.swift", "VMXProcessor.swift"]
    // The drill and the probe build VMCSs that no processor accepts, by encodings, which is what they are for.
    let allowed = [
      "CurrentVMCS.swift", "VMCSRegion.swift", "VMCSState.swift", "PreemptionTimerExpiry.swift", "PanicReport.swift",
      "EntryDrill.swift",
      "ProbeRun.swift",
    ]
    for file in SourceFile.under(
      "Sources/VMCS", "Sources/VMEntryChecks", "Sources/VMX", "Sources/Machine", "Hypervisor/Sources")
    where !processors.contains(where: file.path.hasSuffix) && !allowed.contains(where: file.path.hasSuffix) {
      for mnemonic in Self.mnemonics {
        let calls = file.lines.filter { $0.range(of: "\\.\(mnemonic)\\(", options: .regularExpression) != nil }
        #expect(calls.isEmpty, "\(file.path)")
      }
    }
  }

  @Test(
    "A2 the interface to the VMCS is the seven operations: look up a register or a segment, initialize, load, clear, read, write"
  )
  func interface() {
    let expected: [String: [String]] = [
      "CurrentVMCS.swift": [
        "public let address: PhysicalAddress",
        "public subscript<Value>(field: VMCSField<Value, ReadOnly>) -> Value {",
        "public subscript<Value>(field: VMCSField<Value, ReadWrite>) -> Value {",
        "public consuming func clear() -> VMCSRegion<P> {",
      ],
      "VMCSRegion.swift": [
        "public static var byteCount: Int { 4096 }",
        "public let address: PhysicalAddress",
        "public init(",
        "public consuming func load() -> CurrentVMCS<P> {",
      ],
      "GuestRegister.swift": ["public var field: RegisterField? {"],
      "GuestSegment.swift": ["public var fields: SegmentFields {"],
    ]
    for (name, members) in expected {
      let file = SourceFile.under("Sources/VMCS").first { $0.path.hasSuffix("/\(name)") }
      let declarations = file?.lines.filter { line in
        line.hasPrefix("public ") && ["func", "init", "subscript", "var", "let"].contains { line.contains(" \($0)") }
      }
      let first = declarations.map { Array($0.prefix(members.count)) }
      #expect(first == members, "\(name)")
      if name == "CurrentVMCS.swift" || name == "VMCSRegion.swift" {
        #expect(declarations?.count == members.count, "\(name) has more: \(declarations ?? [])")
      }
    }
  }

  @Test(
    "A3 the VMCS interface means the same wherever it is compiled: it has no conditional parts and no second names")
  func noConditions() {
    for file in SourceFile.under("Sources/VMCS", "Sources/VMX") {
      #expect(!file.lines.contains { $0.hasPrefix("#if") }, "\(file.path)")
    }
    let typealiases = SourceFile.under("Sources/VMCS").flatMap { file in
      file.lines.filter { $0.contains("public typealias") }
    }
    #expect(typealiases.isEmpty)
  }

  @Test("B1 reading, writing, loading, clearing and initializing neither throw nor return an outcome")
  func infallible() {
    for name in ["CurrentVMCS.swift", "VMCSRegion.swift"] {
      let file = SourceFile.under("Sources/VMCS").first { $0.path.hasSuffix("/\(name)") }
      let lines = file?.lines ?? []
      #expect(!lines.isEmpty)
      #expect(!lines.contains { $0.contains("throws") || $0.contains("-> VMXOutcome") || $0.contains("init?") })
    }
  }

  @Test("B4 no outcome of a VMX instruction leaves the VMX logic but by the processor itself")
  func noStatusCodes() {
    for file in SourceFile.under("Sources/VMX", "Sources/Machine") where !file.path.hasSuffix("MeteredProcessor.swift")
    {
      let exposed = file.lines.filter { $0.contains("public") && $0.contains("VMXOutcome") }
      #expect(exposed.isEmpty, "\(file.path)")
    }
  }
}
