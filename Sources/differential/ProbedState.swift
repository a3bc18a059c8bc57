import EntryProbe
import VMCS
import VMEntryChecks

/// A state that the probe has entered with, as the checks see it.
struct ProbedState: VMCSState {
  let environment: ProbeEnvironment
  let fields: ProbeState
  /// How the VM entry was attempted, and the launch state of the probe's VMCS before.
  var entry = ProbeEntry.regular
  var isLaunched = false

  /// The value of a field; nil if the processor does not have it, or the probe has not written it.
  func value(of field: VMCSFieldEncoding) -> UInt64? {
    guard !entry.isElsewhere, let index = VMCSFieldDescription.index(of: field), environment.isWritable(index) else {
      return nil
    }
    return fields.values[index]
  }

  func quadword(at address: PhysicalAddress) -> UInt64? {
    ProbeMemory.quadword(
      at: address.rawValue, revisionIdentifier: (environment.capabilities[.ia32VMXBASIC] ?? 0) & 0x7FFF_FFFF)
  }

  var facts: EntryFacts {
    var facts = EntryFacts.hypervisor(
      isVMRESUME: isLaunched, currentVMCSPointer: PhysicalAddress(environment[.currentVMCS]))
    facts.vmxonPointer = PhysicalAddress(environment[.vmxonRegion])
    switch entry {
    case .regular: break
    case .otherLaunchState: facts.isVMRESUME = !isLaunched
    case .blockedByMOVSS: facts.isBlockedByMOVSS = true
    case .withoutCurrentVMCS: (facts.hasCurrentVMCS, facts.isLaunched, facts.currentVMCSPointer) = (false, nil, nil)
    case .onShadowVMCS:
      (facts.isShadowVMCS, facts.isVMRESUME, facts.isLaunched, facts.currentVMCSPointer) = (true, false, false, nil)
    }
    return facts
  }
}

/// Evaluates all checks and keeps the numbers of those that failed, in the order of the checks.
struct FailedChecks: EntryCheckVisitor {
  private(set) var prediction = EntryPrediction()
  private(set) var failed: [Int] = []
  /// The first check that could not be decided.
  private(set) var undecided: Int?
  private var number = 0

  mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
    let verdict = verdict()
    prediction.visit(check) { verdict }
    switch verdict {
    case .failed: failed.append(number)
    case .undecidable: undecided = undecided ?? number
    case .passed: break
    }
    number += 1
  }
}

/// Collects all checks.
struct CheckList: EntryCheckVisitor {
  private(set) var checks: [EntryCheck] = []

  static let all = EntryChecks.list(with: CheckList()).checks
  static let ids = all.map { $0.id.description }

  mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) { checks.append(check) }
}
