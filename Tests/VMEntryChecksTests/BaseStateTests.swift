import Testing
import VMCS
import VMEntryChecks

@Suite struct BaseStateTests {
  @Test(arguments: BaseState.allCases)
  func passesEveryCheck(_ base: BaseState) {
    let report = base.state.report
    #expect(report.failures.map { "\($0.check.id): \($0.finding)" } == [])
    #expect(report.undecidable.map { "\($0.check.id): \($0.missing)" } == [])
    #expect(report.prediction.outcome == nil)
    #expect(report.prediction.isDecided)
    #expect(report.passedCount == EntryChecks.list(with: CheckList()).checks.count)
  }
}

/// Every check.
struct CheckList: EntryCheckVisitor {
  var checks: [EntryCheck] = []
  mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) { checks.append(check) }

  static let all = EntryChecks.list(with: Self()).checks
  static let ids = all.map(\.id.description)
}
