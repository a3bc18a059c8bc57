import VMEntryChecks

/// The mutants of checks as a whole: that never fail, and that fail with another outcome.
///
/// The number of the one is twice a check's position in the list, from 1, and that of the other one more.
enum WholeChecks {
  static var mutants: [Mutant] {
    EntryChecks.list(with: Identifiers()).ids.enumerated().flatMap { index, id in
      [
        Mutant(number: 2 * index + 1, file: id, line: 0, name: "\(id): never fails"),
        Mutant(number: 2 * index + 2, file: id, line: 0, name: "\(id): another outcome"),
      ]
    }
  }

  private struct Identifiers: EntryCheckVisitor {
    var ids: [String] = []
    mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) { ids.append(check.id.description) }
  }

  /// A source that does not have what is to be changed.
  struct MissingText: Error, CustomStringConvertible {
    var text: String
    var description: String { "EntryChecks.swift does not have “\(text)” any more" }
  }

  /// Rewrites EntryChecks.swift.
  static func rewrite(_ source: String) throws -> String {
    var source = source
    for (text, changed) in [
      ("  var visitor: Visitor\n", "  var visitor: Visitor\n  var position = 0\n"),
      (
        "    let check = EntryCheck(\n",
        "    position += 1\n    let position = self.position\n    let check = EntryCheck(\n"
      ),
      ("outcome ?? section.outcome", "mutantOtherOutcome(position, outcome ?? section.outcome)"),
      ("finding.map { .failed($0) } ??", "finding.flatMap { mutantNeverFails(position) ? nil : .failed($0) } ??"),
    ] {
      guard let range = source.firstRange(of: text) else { throw MissingText(text: text) }
      source.replaceSubrange(range, with: changed)
    }
    return source
  }
}
