import Testing
import VMCS
import VMEntryChecks

/// What a processor does when checks fail.
@Suite struct OutcomeTests {
  /// What the SDM says, by the longest beginning of an identifier.
  private static let outcomes: [(String, EntryOutcome)] = [
    ("basic.mode", .invalidOpcode), ("basic.cpl", .generalProtection), ("basic.current-vmcs", .vmFailInvalid),
    ("basic.shadow-vmcs", .vmFailInvalid), ("basic.blocking-by-mov-ss", failValid(26)),
    ("basic.vmlaunch-launch-state", failValid(4)), ("basic.vmresume-launch-state", failValid(5)),
    ("control.", failValid(7)), ("control.executive-vmcs.", failValid(16)),
    ("control.executive-vmcs.vmxon-pointer", failValid(18)), ("host.", failValid(8)),
    ("address-space-size.", failValid(8)), ("guest.", guestState(0)), ("guest.pdpte", guestState(2)),
    ("guest.interruptibility-state.nmi-sti", guestState(3)), ("guest.vmcs-link-pointer.", guestState(4)),
    ("msr-load.", .msrLoading),
  ]

  private static func failValid(_ error: UInt32) -> EntryOutcome { .vmFailValid(VMInstructionError(rawValue: error)) }

  private static func guestState(_ qualification: UInt64) -> EntryOutcome {
    .invalidGuestState(VMEntryFailureQualification(rawValue: qualification))
  }

  @Test func everyCheckHasTheOutcomeOfTheSDM() {
    for check in CheckList.all {
      let id = check.id.description
      let expected = Self.outcomes.filter { id.hasPrefix($0.0) }.max { $0.0.count < $1.0.count }
      #expect(check.outcome == expected?.1, "\(id)")
      #expect(check.isOptional == ["guest.interruptibility-state.nmi-sti", "msr-load.model-specific"].contains(id))
    }
  }

  @Test func aPredictionAllowsNoOtherOutcome() throws {
    for failing in FailingState.all where failing.also.isEmpty {
      let prediction = failing.state.report.prediction
      let check = try #require(CheckList.all.first { $0.id.description == failing.id })
      for (id, outcome) in Self.outcomes {
        #expect(prediction.allows(outcome) == (outcome == check.outcome), "\(failing) \(id)")
      }
      #expect(prediction.allows(nil) == check.isOptional)
    }
  }

  /// Several failures, what the processor does first, and what else it may do.
  private static let several: [([FailingValues.Change], first: EntryOutcome, others: [EntryOutcome])] = [
    ([{ $0.facts.cpl = 3 }, badControl, badGuest], .generalProtection, []),
    ([{ $0.facts.cpl = 3 }, { $0.facts.isInVirtual8086OrCompatibilityMode = true }], .invalidOpcode, []),
    ([badControl, badHost], failValid(7), [failValid(8)]),
    ([badControl, badHost, badGuest, badLink, badMSR(1)], failValid(7), [failValid(8)]),
    ([badHost, badGuest], failValid(8), []),
    ([badGuest, badLink], guestState(0), [guestState(4)]),
    ([badGuest, badLink, badMSR(2)], guestState(0), [guestState(4)]),
    ([badLink, badMSR(2)], guestState(4), []),
  ]

  private static let badControl: FailingValues.Change = { $0[.vmEntryControls] |= 1 << 31 }
  private static let badHost: FailingValues.Change = { $0[.hostCR0] |= 1 << 32 }
  private static let badGuest: FailingValues.Change = { $0[.guestRFLAGS] |= 1 << 3 }
  private static let badLink: FailingValues.Change = { $0[.vmcsLinkPointer] = 0x1_F001 }
  private static func badMSR(_ entry: UInt64, _ index: UInt64 = 1 << 32 | 0x174) -> FailingValues.Change {
    { $0.memory[0x2_FFF0 + 16 * entry] = index }
  }

  @Test(arguments: several.indices)
  func theFirstGroupDecides(_ index: Int) {
    let (changes, first, others) = Self.several[index]
    let prediction = BaseState.rich.state.with { state in for change in changes { change(&state) } }.report.prediction
    #expect(prediction.outcome == first)
    #expect(prediction.isDecided)
    #expect(prediction.msrLoadEntry == 0)
    for (_, outcome) in Self.outcomes {
      #expect(prediction.allows(outcome) == ([first] + others).contains(outcome), "\(outcome)")
    }
    #expect(!prediction.allows(nil))
  }

  /// The first entry that cannot be loaded counts, whichever check it fails.
  @Test(
    arguments: [
      ([(1, 0x277 | 1 << 32)], 1), ([(3, 1 << 32)], 3), ([(3, 0xC000_0100), (2, 1 << 32)], 2),
      ([(2, 0xC000_0100), (3, 1 << 32)], 2), ([(3, 0xC000_0100), (1, 1 << 32)], 1),
      ([(3, 0x800), (2, 0xC000_0100)], 2),
    ] as [([(UInt64, UInt64)], UInt32)])
  func theFirstEntryThatFailsIsTheQualification(_ entries: [(UInt64, UInt64)], _ expected: UInt32) {
    let state = BaseState.rich.state.with { state in
      for (number, index) in entries { Self.badMSR(number, index)(&state) }
    }
    #expect(state.report.prediction.outcome == .msrLoading)
    #expect(state.report.prediction.msrLoadEntry == expected)
  }

  /// A value that cannot be loaded is told by the number of its entry too.
  @Test func theEntryOfAValueIsTheQualification() {
    let state = BaseState.rich.state.with { $0.memory[0x3_0008] = 2 }
    #expect(state.report.prediction.msrLoadEntry == 1)
  }

  @Test func whatIsNotKnownMattersOnlyWhereItIsReached() {
    let unknown: FailingValues.Change = { $0.fields[VMCSField<RFLAGS, ReadWrite>.guestRFLAGS.encoding] = nil }
    let state = BaseState.long.state.with(unknown)
    #expect(!state.report.prediction.isDecided)
    #expect(state.with(Self.badHost).report.prediction.isDecided)
    #expect(state.with { $0.facts.cpl = 3 }.report.prediction.isDecided)
  }
}
