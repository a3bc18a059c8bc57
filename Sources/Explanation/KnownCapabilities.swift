import VMEntryChecks

/// What is known of a processor's capabilities, of some only a part of the bits.
public struct KnownCapabilities: Sendable {
  /// Those of which all bits are known.
  public var exact: EntryCapabilities
  /// Those of which some bits are known, with the other bits as they are on the processors that allow most and least.
  private(set) var partial: [(capability: EntryCapability, permissive: UInt64, restrictive: UInt64)] = []
  /// What a capability that is not known is on a processor that has nothing but what its kernel names.
  private(set) var likely: [(capability: EntryCapability, value: UInt64)] = []

  /// Makes knowledge of whole capabilities.
  public init(_ exact: EntryCapabilities = EntryCapabilities()) { self.exact = exact }

  /// Whether nothing is known.
  public var isEmpty: Bool {
    partial.isEmpty && EntryCapability.allCases.allSatisfy { exact[$0] == nil }
  }

  /// Takes in what the processors that allow most and least of those that it can be have for a capability.
  mutating func add(_ capability: EntryCapability, permissive: UInt64, restrictive: UInt64) {
    partial.append((capability, permissive, restrictive))
  }

  /// Takes in a likely value.
  mutating func addLikely(_ capability: EntryCapability, _ value: UInt64) { likely.append((capability, value)) }

  /// The capabilities of the processor that allows most.
  var permissive: EntryCapabilities {
    var capabilities = exact
    for word in partial where exact[word.capability] == nil { capabilities[word.capability] = word.permissive }
    return capabilities
  }

  /// The capabilities of the processor that allows least.
  var restrictive: EntryCapabilities {
    var capabilities = exact
    for word in partial where exact[word.capability] == nil { capabilities[word.capability] = word.restrictive }
    return capabilities
  }

  /// The verdicts of all checks on a state: a check is decided if it comes out alike on every processor that it can be.
  func report(on state: some VMCSState, facts: EntryFacts) -> CheckReport {
    let report = EntryReport(state, capabilities: exact, facts: facts)
    guard !partial.isEmpty else {
      return CheckReport(
        failures: report.failures, undecidable: report.undecidable, passedCount: report.passedCount)
    }
    let (most, least) = (
      EntryReport(state, capabilities: permissive, facts: facts),
      EntryReport(state, capabilities: restrictive, facts: facts)
    )
    func ids(_ checks: [EntryCheck]) -> Set<String> { Set(checks.map(\.id.description)) }
    let failed = ids(most.failures.map(\.check)).intersection(ids(least.failures.map(\.check)))
    let unpassed = ids((most.failures + least.failures).map(\.check))
      .union(ids((most.undecidable + least.undecidable).map(\.check)))
    let undecidable = report.undecidable.filter { check, _ in
      let id = check.id.description
      return unpassed.contains(id) && !failed.contains(id)
    }
    let failures = most.failures.filter { failed.contains($0.check.id.description) }
    let count = report.passedCount + report.failures.count + report.undecidable.count
    return CheckReport(
      failures: failures, undecidable: undecidable, passedCount: count - failures.count - undecidable.count)
  }
}

/// The verdicts of all checks on a state.
struct CheckReport {
  /// The checks that failed, in the order in which the processor makes them, and why.
  var failures: [(check: EntryCheck, finding: EntryFinding)]
  /// The checks that cannot be decided, and what is missing.
  var undecidable: [(check: EntryCheck, missing: EntryInput)]
  /// How many checks passed.
  var passedCount: Int
}
