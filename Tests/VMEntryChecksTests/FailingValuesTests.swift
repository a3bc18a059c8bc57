import Testing
import VMCS
import VMEntryChecks

@Suite struct FailingValuesTests {
  @Test(arguments: FailingValues.all)
  func failsForTheseAndNoOthers(_ values: FailingValues) throws {
    try #require(CheckList.positions[values.id] != nil)
    #expect(values.disagreements == [])
  }
}

extension FailingValues {
  /// The values of which the check says something else, and the exceptions that are none.
  var disagreements: [String] {
    let check = CheckList.positions[id] ?? -1
    let base = base.state.with(setUp)
    var disagreements: [String] = []
    for candidate in candidates {
      let state = base.with { apply(&$0, candidate) }
      let verdict = state.verdict(of: check)
      let expected: BareVerdict =
        failing.contains(candidate) ? .failed : undecidable.contains(candidate) ? .undecidable : .passed
      if verdict != expected { disagreements.append("\(candidate) \(verdict)") }
      if verdict != .failed { continue }
      for (number, exception) in exceptions.enumerated() where state.with(exception).verdict(of: check) != .passed {
        disagreements.append("\(candidate), exception \(number)")
      }
    }
    return disagreements
  }
}

extension CheckList {
  /// The position of each check in `all`.
  static let positions = Dictionary(uniqueKeysWithValues: zip(ids, ids.indices))
}

extension TestState {
  /// The verdict of the check at a position in `CheckList.all`.
  func verdict(of position: Int) -> BareVerdict { fullVerdict(of: position).map { BareVerdict($0) } ?? .undecidable }

  /// The verdict of one check; no other is evaluated.
  private func fullVerdict(of position: Int) -> EntryVerdict? {
    struct One: EntryCheckVisitor {
      var position: Int
      var verdict: EntryVerdict?
      mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
        if position == 0 { self.verdict = verdict() }
        position -= 1
      }
    }
    return EntryChecks.visit(self, capabilities: capabilities, facts: facts, with: One(position: position)).verdict
  }
}

extension BareVerdict {
  init(_ verdict: EntryVerdict) {
    self =
      switch verdict {
      case .passed: .passed
      case .failed: .failed
      case .undecidable: .undecidable
      }
  }
}
