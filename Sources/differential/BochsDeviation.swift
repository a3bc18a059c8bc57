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
    for number in checks.failed {
      if let deviation = applicable.first(where: { omittedNumbers[$0].contains(number) }) {
        used.append(deviation)
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
    let first = outcomes.min { $0.group < $1.group }
    let candidates = first.map { first in outcomes.filter { $0.group == first.group } } ?? []
    let isExplained =
      candidates.isEmpty
      ? observed.kind == .entered
      : candidates.contains { ProbeOutcome($0, msrLoadEntry: UInt32(observed.number)).matches(observed) }
    return isExplained ? used : nil
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
