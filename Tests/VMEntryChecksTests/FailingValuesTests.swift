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
      let fullVerdict = state.fullVerdict(of: check)
      let verdict = fullVerdict.map { BareVerdict($0) } ?? .undecidable
      let expected: BareVerdict =
        failing.contains(candidate) ? .failed : undecidable.contains(candidate) ? .undecidable : .passed
      if verdict != expected { disagreements.append("\(candidate) \(verdict)") }
      guard case .failed(let finding) = fullVerdict else { continue }
      if !isExpected(finding, candidate) { disagreements.append("\(candidate) \(finding)") }
      for (number, exception) in exceptions.enumerated() where state.with(exception).verdict(of: check) != .passed {
        disagreements.append("\(candidate), exception \(number)")
      }
    }
    return disagreements
  }

  /// Whether a finding asks for what it should: where a bit was inverted, for that bit, and it is about none but bits that
  /// make the check fail.
  private func isExpected(_ finding: EntryFinding, _ bit: UInt64) -> Bool {
    if let required, finding.required != required { return false }
    if let mask, finding.mask != mask { return false }
    guard finding.subject == subject, !Self.otherFindings.contains(where: id.hasSuffix) else { return true }
    return finding.change == 1 << bit && finding.mask & ~failing.reduce(0) { $0 | 1 << $1 } == 0
  }

  /// The ends of identifiers of checks with other findings.
  private static let otherFindings = [
    // A number, or an address, is changed as a whole.
    ".canonical", "64-bit-host.rip", "64-bit-host.s-cet", "64-bit-host.ssp", ".high-bits", ".null",
    "control.cr3-target-count", "control.tpr-threshold.vtpr", "control.vpid", "control.tsc-multiplier",
    "guest.activity-state.supported",
    // Another bit of the field can be changed as well.
    "control.virtualize-x2apic-mode", "guest.cr0.pg-pe", "guest.cs.access-rights.db",
    "guest.cs.access-rights.dpl.type-3", "guest.efer.lme", "guest.interruptibility-state.sti-and-mov-ss",
    "guest.pending-debug-exceptions.rtm-bits", ".suppress-and-tracker",
    // Bits are named as reserved that the processor has, while they are 0: it is not asked for them.
    "control.ept.reserved", "control.hlat.pointer-reserved", ".cr3.reserved", ".lbr-ctl.reserved",
    ".perf-global-ctrl.reserved", ".rtit-ctl.reserved", ".spec-ctrl.reserved", "guest.pdpte0.reserved",
    "guest.pdpte1.reserved", "guest.pdpte2.reserved", "guest.pdpte3.reserved",
  ]
}

extension CheckList {
  /// The position of each check in `all`.
  static let positions = Dictionary(uniqueKeysWithValues: zip(ids, ids.indices))
}

extension TestState {
  /// The verdict of the check at a position in `CheckList.all`.
  func verdict(of position: Int) -> BareVerdict { fullVerdict(of: position).map { BareVerdict($0) } ?? .undecidable }

  /// The verdict of one check; no other is evaluated.
  fileprivate func fullVerdict(of position: Int) -> EntryVerdict? {
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
