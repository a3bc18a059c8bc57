import EntryProbe
import VMCS
import VMEntryChecks

/// A known deviation of Bochs 2.7 from the SDM.
struct BochsDeviation: Sendable {
  /// What the SDM says, in our words, and what Bochs does.
  var statement: String
  /// Checks that Bochs does not make, by identifier, if `condition` holds.
  var omitted: [String] = []
  /// When the deviation applies.
  var condition: @Sendable (ProbedState) -> Bool = { _ in true }
  /// What Bochs answers where the SDM has nothing against the state.
  var added: EntryOutcome?

  private static let omittedNumbers: [Set<Int>] = all.map { deviation in
    Set(deviation.omitted.map { id in CheckList.ids.firstIndex(of: id) ?? -1 })
  }

  /// The numbers of the deviations that turn what the SDM requires into `observed`; nil if they do not.
  static func explanation(of observed: ProbeOutcome, checks: FailedChecks, state: ProbedState) -> [Int]? {
    let applicable = all.indices.filter { all[$0].condition(state) }
    var used: [Int] = []
    var outcomes: [EntryOutcome] = []
    // What checks lead to that a processor need not make.
    var possible: [EntryOutcome] = []
    for number in checks.failed {
      if let deviation = applicable.first(where: { omittedNumbers[$0].contains(number) }) {
        used.append(deviation)
      } else if CheckList.all[number].isOptional {
        possible.append(CheckList.all[number].outcome)
      } else {
        outcomes.append(CheckList.all[number].outcome)
      }
    }
    for number in applicable {
      guard let added = all[number].added else { continue }
      used.append(number)
      outcomes.append(added)
    }
    if used.isEmpty { return nil }
    if outcomes.isEmpty, observed.kind == .entered { return used }
    let group = outcomes.map(\.group).min()
    let candidates = outcomes.filter { $0.group == group } + possible.filter { $0.group <= group ?? $0.group }
    return candidates.contains { ProbeOutcome($0, msrLoadEntry: UInt32(observed.number)).matches(observed) }
      ? used : nil
  }
}

extension EntryOutcome {
  /// Groups of outcomes of which an earlier one comes first.
  fileprivate var group: Int {
    switch self {
    case .invalidOpcode, .generalProtection, .vmFailInvalid: 0
    case .vmFailValid: 1
    case .invalidGuestState: 2
    case .msrLoading: 3
    }
  }
}
