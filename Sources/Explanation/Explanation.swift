import VMCS
import VMCSDump
import VMEntryChecks

/// A check that failed on a dump.
public struct FailedCheck: Sendable {
  /// The check.
  public let check: EntryCheck
  /// Where and why.
  public let finding: EntryFinding
  /// The capability that is not known, if the check fails only on processors without what it reports.
  public let unless: EntryCapability?
}

/// What is wrong with a VMCS that a hypervisor printed.
public struct Explanation: Sendable {
  /// What the dump comes to.
  public enum Verdict: String, Sendable {
    /// A check fails, or the VM entry failed for a reason that is no check.
    case failed
    /// All checks that matter could be made, and none fails.
    case healthy
    /// Nothing that can be decided is wrong.
    case undecided
    /// It is no VMCS, or nothing can be read of it.
    case unusable
  }

  /// The dump.
  public let dump: Dump
  /// What is known of the processor.
  let known: KnownCapabilities
  /// What the dump says happened; nil if it says nothing.
  public let claim: Claim?
  /// The checks that fail: first those that explain the claim.
  public let failed: [FailedCheck]
  /// The checks that cannot be decided, and what is missing.
  public let undecidable: [(check: EntryCheck, missing: EntryInput)]
  /// How many checks passed.
  public let passedCount: Int
  /// What the dump comes to.
  public let verdict: Verdict
  /// Whether what fails is what the claim says; nil if nothing fails or nothing is claimed.
  public let isConsistent: Bool?
  /// One sentence that says what is wrong.
  public let headline: String
  /// What to know about this dump besides.
  public let notes: [String]

  /// Explains a dump on a processor of which capabilities are known.
  public init(_ dump: Dump, known: KnownCapabilities = KnownCapabilities()) {
    (self.dump, self.known) = (dump, known)
    let claim = Claim(dump)
    self.claim = claim
    let state = DumpedState(dump: dump)
    let report = known.report(on: state, facts: state.facts)
    var failed = report.failures.map { FailedCheck(check: $0.check, finding: $0.finding, unless: nil) }
    failed += Self.msrLoadFailures(dump, claim, known)
    if let claim, claim.isFailure { failed += Self.probableFailures(state, report, claim, known) }
    failed = Self.ordered(failed, dump, claim)
    self.failed = failed
    undecidable = report.undecidable
    passedCount = report.passedCount
    isConsistent =
      failed.isEmpty || claim == nil || claim?.isFailure == false
      ? nil : claim?.isExplained(by: failed[0].check.outcome)
    verdict = Self.verdict(dump, claim, failed, isWhole: state.isWhole)
    let headlines = Headline(
      dump: dump, claim: claim, failed: failed, verdict: verdict, known: known, undecidable: report.undecidable)
    headline = headlines.text
    notes = headlines.notes
  }

  /// What explains the claim comes first, then in the order of the SDM up to the control registers and MSRs, which say in
  /// what mode the guest is to be.
  ///
  /// The rest depends on that, and the processor may check it in any order: it comes in the order of the dump, by the line
  /// on which a reader has seen all that the check is about.
  private static func ordered(_ failed: [FailedCheck], _ dump: Dump, _ claim: Claim?) -> [FailedCheck] {
    func key(_ failed: FailedCheck, _ position: Int) -> (Int, Int, UInt64, Int) {
      let isLate = failed.check.section.rawValue >= EntryCheckSection.guestSegmentRegisters.rawValue
      let isExplaining = claim?.isExplained(by: failed.check.outcome) == true
      let line = isLate ? fields(of: failed.check).compactMap { dump[$0.encoding]?.line }.max() ?? 0 : 0
      return (isExplaining ? 0 : 1, isLate ? 1 : 0, line, Int(failed.check.section.rawValue) << 16 | position)
    }
    return failed.enumerated().map { (failed: $0.element, key: key($0.element, $0.offset)) }
      .sorted { $0.key < $1.key }.map(\.failed)
  }

  private static func verdict(_ dump: Dump, _ claim: Claim?, _ failed: [FailedCheck], isWhole: Bool) -> Verdict {
    if dump.format == .vmcb { return .unusable }
    if dump.isInterleaved { return claim?.isFailure == true ? .failed : .unusable }
    if !failed.isEmpty || claim?.isFailure == true { return .failed }
    if dump.valueCount == 0, claim == nil { return .unusable }
    return isWhole ? .healthy : .undecided
  }

  /// The checks of the entries of the VM-entry MSR-load area that the dump prints, if one could not be loaded.
  private static func msrLoadFailures(
    _ dump: Dump, _ claim: Claim?, _ known: KnownCapabilities
  ) -> [FailedCheck] {
    guard case .exit(let reason) = claim, reason.basicReason == .vmEntryFailureMSRLoading else { return [] }
    return dump.msrEntries.filter { $0.area == .vmEntryLoad }.flatMap { entry in
      let state = MSRLoadState(dump: dump, entry: entry)
      let report = known.report(on: state, facts: DumpedState(dump: dump).facts)
      return report.failures.filter { $0.check.section == .loadingMSRs }
        .map { FailedCheck(check: $0.check, finding: $0.finding, unless: nil) }
    }
  }

  /// The checks that fail on every processor that does not have something new, and would explain the claim.
  private static func probableFailures(
    _ state: DumpedState, _ report: CheckReport, _ claim: Claim, _ known: KnownCapabilities
  ) -> [FailedCheck] {
    var missing: [String: EntryCapability] = [:]
    for (check, input) in report.undecidable {
      if case .capability(let capability) = input, claim.isExplained(by: check.outcome) {
        missing[check.id.description] = capability
      }
    }
    if missing.isEmpty { return [] }
    var assumed = known.exact
    for (capability, value) in known.likely where assumed[capability] == nil { assumed[capability] = value }
    for (capability, value) in usual where assumed[capability] == nil { assumed[capability] = value }
    // Hypervisors' hosts use linear addresses of 57 bits where the processor has them. 52 is the widest physical address.
    if assumed[.cpuid80000008EAX] == nil {
      let cr4 = CR4(rawValue: state.dump.contents(of: VMCSField.hostCR4.encoding) ?? 0)
      assumed[.cpuid80000008EAX] = (cr4.la57 ? 57 : 48) << 8 | 52
    }
    var likely = known
    likely.exact = assumed
    let second = likely.report(on: state, facts: state.facts)
    return second.failures.compactMap { check, finding in
      missing[check.id.description].map { FailedCheck(check: check, finding: finding, unless: $0) }
    }
  }

  /// What these capabilities are on every processor before the newest.
  private static let usual: [(EntryCapability, UInt64)] = [
    // Bit 55: the TRUE MSRs exist. Bits 56 and 58, on hardware exceptions and nested exceptions, are new.
    (.ia32VMXBASIC, 1 << 55),
    (.ia32VMXCR0FIXED0, 0x8000_0021), (.ia32VMXCR0FIXED1, 0xFFFF_FFFF), (.ia32VMXCR4FIXED0, 0x2000),
    (.ia32VMXCR4FIXED1, ~0),
  ]
}
