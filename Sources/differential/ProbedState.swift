import EntryProbe
import VMCS
import VMEntryChecks

/// A state that the probe has entered with, as the checks see it.
struct ProbedState: VMCSState {
  let environment: ProbeEnvironment
  let fields: ProbeState

  /// The value of a field; nil if the processor does not have it.
  func value(of field: VMCSFieldEncoding) -> UInt64? {
    guard let index = VMCSFieldDescription.index(of: field), environment.isWritable(index) else { return nil }
    return fields.values[index]
  }

  func quadword(at address: PhysicalAddress) -> UInt64? {
    ProbeMemory.quadword(
      at: address.rawValue, revisionIdentifier: (environment.capabilities[.ia32VMXBASIC] ?? 0) & 0x7FFF_FFFF)
  }

  var facts: EntryFacts {
    var facts = EntryFacts.hypervisor(
      isVMRESUME: false, currentVMCSPointer: PhysicalAddress(environment[.currentVMCS]))
    facts.vmxonPointer = PhysicalAddress(environment[.vmxonRegion])
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
