import Testing
import VMCS
import VMEntryChecks

@Suite struct FailingStateTests {
  @Test(arguments: FailingState.all)
  func failsThatCheckAndOnlyIt(_ failing: FailingState) {
    #expect(failing.disagreements == [])
  }

  @Test(arguments: FailingState.all)
  func theSmallestChangeMendsIt(_ failing: FailingState) throws {
    let state = failing.state
    let failure = try #require(state.report.failures.first { $0.check.id.description == failing.id })
    let finding = failure.finding
    #expect(finding.change != 0)
    #expect(finding.change & ~finding.mask == 0)
    #expect(!state.with { $0.apply(finding) }.failures.contains(failing.id))
  }

  @Test func everyCheckHasAFailingState() {
    let tested = Set(FailingState.all.map(\.id))
    #expect(CheckList.all.map(\.id.description).filter { !tested.contains($0) } == [])
  }
}

extension TestState {
  /// Makes the change that a finding asks for.
  mutating func apply(_ finding: EntryFinding) {
    let area = self[.vmEntryMSRLoadAddress] & ~0xF
    switch finding.subject {
    case .field(let encoding): fields[encoding] = finding.required
    case .memory(let address): memory[address.rawValue] = finding.required
    case .msrLoadEntry(let number): memory[area + 16 * UInt64(number - 1)] = finding.required
    case .msrLoadData(let number): memory[area + 16 * UInt64(number - 1) + 8] = finding.required
    case .fact(let fact): facts.set(fact, to: finding.required)
    }
  }
}

extension EntryFacts {
  fileprivate mutating func set(_ fact: EntryFact, to value: UInt64) {
    switch fact {
    case .isLaunched: isLaunched = value == 1
    case .hasCurrentVMCS: hasCurrentVMCS = value == 1
    case .isShadowVMCS: isShadowVMCS = value == 1
    case .isInVirtual8086OrCompatibilityMode: isInVirtual8086OrCompatibilityMode = value == 1
    case .cpl: cpl = UInt8(value)
    case .isBlockedByMOVSS: isBlockedByMOVSS = value == 1
    case .isVMRESUME, .currentVMCSPointer, .vmxonPointer, .isInIA32eMode, .isInSMM, .isTracingEnabled:
      Issue.record("no check asks for a change of \(fact)")
    }
  }
}
