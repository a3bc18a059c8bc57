import ArgumentParser
import VMCS
import VMEntryChecks

/// `skep checks`: the checks of a VM entry, all or one of them.
struct ChecksCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checks",
    abstract: "List the checks that a VM entry makes, or explain one of them.",
    discussion: """
      The order is that of the SDM, which is the processor's. A field has the name of its Swift property, as \
      the explanation of a check shows it.

      EXAMPLES:
        skep checks
        skep checks guest.rflags.if-for-external-interrupt
        skep checks --field guestRFLAGS
        skep checks --format json
      """)

  /// How the list is written.
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case text, json
  }

  @Argument(help: ArgumentHelp("The identifier of the check to explain.", valueName: "id"))
  var id: String?

  @Option(help: ArgumentHelp("Only the checks that read this field of the VMCS.", valueName: "name"))
  var field: String?

  @Option(help: "text or json.")
  var format = Format.text

  func run() throws {
    let checks = try selected()
    if format == .json {
      print(JSON.array(checks.map(\.json)))
    } else if id != nil {
      for check in checks { print(check.explanation) }
    } else {
      printList(checks)
    }
  }

  /// The checks that the arguments ask for, in the SDM's order.
  func selected() throws -> [CheckDescription] {
    var checks = CheckDescription.all
    if let field {
      guard VMCSFieldDescription(name: field.utf8) != nil else {
        throw ValidationError("There is no VMCS field named “\(field)”.\(Self.similar(to: field, in: Self.fieldNames))")
      }
      checks = checks.filter { $0.inputs.contains(field) }
    }
    if let id {
      checks = checks.filter { $0.id == id }
      if checks.isEmpty, field == nil || !CheckDescription.all.contains(where: { $0.id == id }) {
        throw ValidationError("There is no check “\(id)”.\(Self.similar(to: id, in: CheckDescription.all.map(\.id)))")
      }
    }
    return checks
  }

  private func printList(_ checks: [CheckDescription]) {
    var section: String?
    for check in checks {
      if check.section != section {
        print("\(section == nil ? "" : "\n")\(check.section)")
        section = check.section
      }
      print("  \(check.id)\n      \(check.statement)")
    }
    print("\n\(checks.count) \(checks.count == 1 ? "check" : "checks")")
  }

  private static var fieldNames: [String] { VMCSFieldDescription.all.map { "\($0.name)" } }

  /// A hint at the names that contain `text`, whatever the case of its letters.
  private static func similar(to text: String, in names: [String]) -> String {
    let text = text.lowercased()
    let found = names.filter { !text.isEmpty && $0.lowercased().contains(text) }.prefix(5)
    return found.isEmpty ? "" : " Similar: \(found.joined(separator: ", "))."
  }
}

/// What is printed of a check.
struct CheckDescription: Sendable {
  var id: String
  var section: String
  var statement: String
  /// The Swift names of what the check reads.
  var inputs: [String]
  var outcome: String
  var isOptional: Bool

  init(_ check: EntryCheck) {
    id = check.id.description
    section = "\(check.section.title)"
    statement = check.statement.description
    inputs = check.inputs.description.split(separator: " ").map(String.init)
    var text = Text()
    check.outcome.write(to: &text)
    outcome = String(decoding: text.bytes, as: UTF8.self)
    isOptional = check.isOptional
  }

  static let all: [Self] = {
    struct Collector: EntryCheckVisitor {
      var checks: [CheckDescription] = []
      mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) { checks.append(CheckDescription(check)) }
    }
    return EntryChecks.list(with: Collector()).checks
  }()

  private struct Text: ByteOutput {
    var bytes: [UInt8] = []
    mutating func write(_ byte: UInt8) { bytes.append(byte) }
  }

  /// The check in several lines.
  var explanation: String {
    let reads = inputs.map { "  \($0): \(Self.title(of: $0))" }.joined(separator: "\n")
    return """
      \(id)
        \(statement)

      SDM: “\(section)”
      On failure: \(outcome)\(isOptional ? "\nA processor may leave this check out." : "")
      Reads:
      \(reads)
      """
  }

  /// What an input is called outside Swift.
  private static func title(of input: String) -> String {
    if let field = VMCSFieldDescription(name: input.utf8) { return "\(field.title)" }
    if let capability = EntryCapability.allCases.first(where: { "\($0)" == input }) { return "\(capability.title)" }
    if let fact = EntryFact.allCases.first(where: { "\($0)" == input }) { return "\(fact.title)" }
    return "memory that the VMCS refers to"
  }

  /// The check as a JSON object.
  var json: String {
    JSON.object([
      ("id", JSON.string(id)), ("section", JSON.string(section)), ("statement", JSON.string(statement)),
      ("reads", JSON.array(inputs.map(JSON.string))), ("onFailure", JSON.string(outcome)),
      ("optional", isOptional ? "true" : "false"),
    ])
  }
}

/// Writes JSON (RFC 8259).
private enum JSON {
  static func array(_ elements: [String]) -> String { "[" + elements.joined(separator: ",") + "]" }

  static func object(_ members: [(String, String)]) -> String {
    "{" + members.map { "\(string($0)):\($1)" }.joined(separator: ",") + "}"
  }

  static func string(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"", "\\": "\\\(scalar)"
      case _ where scalar.value < 0x20:
        "\\u00" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16)
      default: String(scalar)
      }
    }
    return "\"" + escaped.joined() + "\""
  }
}
