import VMCS

/// What the processor will do, from the checks alone: a visitor that needs no heap.
///
/// Evaluation stops at the group of checks in which one fails: the SDM has the basic checks made one after the other, those
/// on controls and host state in any order, then those on guest state in any order, then MSR loading.
public struct EntryPrediction: EntryCheckVisitor, Sendable {
  /// What the processor does if it makes the checks of each group in the order of the SDM's text; nil if the guest is
  /// entered.
  public private(set) var outcome: EntryOutcome?
  /// The number of the first entry of the VM-entry MSR-load area that cannot be loaded, counted from 1; 0 if all can be, or
  /// if the VM entry fails before.
  public private(set) var msrLoadEntry: UInt32 = 0
  /// Whether every check that matters could be decided.
  public private(set) var isDecided = true
  private var group = 0
  private var allowed: UInt64 = 0

  /// Makes a prediction from no check.
  public init() {}

  /// Predicts what a VM entry with `state` does.
  public init<State: VMCSState>(_ state: State, capabilities: EntryCapabilities, facts: EntryFacts) {
    self = EntryChecks.visit(state, capabilities: capabilities, facts: facts, with: Self())
  }

  /// Whether the SDM lets the processor do `outcome`, nil if it is that the guest is entered.
  public func allows(_ outcome: EntryOutcome?) -> Bool {
    guard let outcome else { return self.outcome == nil }
    return allowed >> outcome.index & 1 == 1
  }

  /// Takes a check into account.
  public mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
    let group = check.section.group
    if outcome != nil, group == 0 || group > self.group { return }
    switch verdict() {
    case .passed: return
    case .undecidable: isDecided = false
    case .failed(let finding):
      allowed |= 1 << check.outcome.index
      if check.isOptional { return }
      if outcome == nil { (outcome, self.group) = (check.outcome, group) }
      if case .msrLoadEntry(let number) = finding.subject { noteEntry(number) }
      if case .msrLoadData(let number) = finding.subject { noteEntry(number) }
    }
  }

  private mutating func noteEntry(_ number: UInt32) {
    msrLoadEntry = msrLoadEntry == 0 ? number : min(msrLoadEntry, number)
  }
}

extension EntryCheckSection {
  /// The group of checks that are made in any order, after those of the groups before.
  fileprivate var group: Int {
    switch self {
    case .basicVMEntryChecks: 0
    case .vmExecutionControlFields, .vmExitControlFields, .vmEntryControlFields, .executiveVMCSPointer,
      .hostControlRegistersMSRsAndSSP, .hostSegmentAndDescriptorTableRegisters, .addressSpaceSize:
      1
    case .loadingMSRs: 3
    default: 2
    }
  }
}

extension EntryOutcome {
  /// A number below 64 for each outcome.
  fileprivate var index: UInt64 {
    switch self {
    case .invalidOpcode: 0
    case .generalProtection: 1
    case .vmFailInvalid: 2
    case .msrLoading: 3
    case .invalidGuestState(let qualification): 4 + qualification.rawValue & 7
    case .vmFailValid(let error): 16 + UInt64(error.rawValue & 31)
    }
  }
}
