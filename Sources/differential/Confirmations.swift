import EntryProbe

/// Which checks the runs of several models confirmed, held against the list of those that Bochs does not make.
struct Confirmations {
  /// The models that together have all that Bochs 2.7 has of what checks are about.
  static let models: Set<String> = ["core2_penryn_t9600", "corei7_sandy_bridge_2600k", "corei7_skylake_x", "tigerlake"]
  /// How many states of a model confirm all checks that it can; most of them are not left to chance.
  static let sufficientCount = 20_000

  /// How often each check was confirmed, by its number.
  var counts: [Int: Int] = [:]
  /// Whether enough states ran, on all models, for every check that Bochs makes to be confirmed.
  var isComplete = false
  /// Checks that failed without the one that is said to fail with them.
  var failedAlone: Set<Int> = []

  /// What contradicts the list; nothing if it is right.
  var contradictions: [String] {
    let unlisted = CheckList.ids.indices.filter {
      isComplete && counts[$0] == nil && ChecksBochsDoesNotMake.reasons[$0] == nil
    }
    let confirmed = ChecksBochsDoesNotMake.reasons.keys.filter { counts[$0] != nil }
    return unlisted.map { "\(CheckList.ids[$0]) was not confirmed, and no reason is listed" }
      + confirmed.sorted().map { "\(CheckList.ids[$0]) was confirmed, though a reason is listed why it cannot be" }
      + failedAlone.sorted().map { "\(CheckList.ids[$0]) failed without the check that is listed to fail with it" }
  }
}

extension Confirmations {
  /// What runs confirmed, from their beginning.
  init(_ comparisons: [Comparison]) {
    for comparison in comparisons {
      counts.merge(comparison.confirmations, uniquingKeysWith: +)
      failedAlone.formUnion(comparison.failedAlone)
    }
    isComplete =
      Self.models.isSubset(of: comparisons.map(\.model))
      && comparisons.allSatisfy { $0.first == 0 && $0.next >= Self.sufficientCount }
  }
}
