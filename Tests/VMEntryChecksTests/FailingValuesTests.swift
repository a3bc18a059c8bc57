import Testing
import VMCS
import VMEntryChecks

@Suite struct FailingValuesTests {
  @Test(arguments: FailingValues.all)
  func failsForTheseAndNoOthers(_ values: FailingValues) throws {
    let check = try #require(CheckList.positions[values.id])
    let base = values.base.state.with(values.setUp)
    var (failing, undecidable): (Set<UInt64>, Set<UInt64>) = ([], [])
    var notExcepted: [String] = []
    for candidate in values.candidates {
      let state = base.with { values.apply(&$0, candidate) }
      switch state.verdict(of: check) {
      case .passed: break
      case .failed:
        failing.insert(candidate)
        for (number, exception) in values.exceptions.enumerated()
        where state.with(exception).verdict(of: check) != .passed {
          notExcepted.append("\(candidate), exception \(number)")
        }
      case .undecidable: undecidable.insert(candidate)
      }
    }
    #expect(notExcepted == [])
    #expect(failing.sorted() == values.failing.sorted())
    #expect(undecidable.sorted() == values.undecidable.sorted())
  }
}

extension CheckList {
  /// The position of each check in `all`.
  static let positions = Dictionary(uniqueKeysWithValues: zip(ids, ids.indices))
}

extension TestState {
  /// The verdict of the check at a position in `CheckList.all`; no other is evaluated.
  func verdict(of position: Int) -> BareVerdict {
    struct One: EntryCheckVisitor {
      var position: Int
      var verdict = BareVerdict.undecidable
      mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
        if position == 0 { self.verdict = BareVerdict(verdict()) }
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
