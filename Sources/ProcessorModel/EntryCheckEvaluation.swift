import VMCS
import VMEntryChecks

extension ProcessorModel {
  /// Makes the checks of a VM entry in the SDM's order; nil if all pass, otherwise what the first that fails leads to.
  func checkEntry(resume: Bool) -> EntryResult? {
    let state = ModelState(model: self)
    let result = EntryChecks.visit(
      state, capabilities: capabilities, facts: facts(resume: resume), with: FirstFailure(checksFields: checksFields))
    if let undecidable = result.undecidable { fault(.undecidableCheck(undecidable)) }
    guard let (check, finding) = result.failure else { return nil }
    failedCheck = check
    switch check.outcome {
    case .invalidOpcode:
      fault(.invalidOpcode(check.statement.description))
      return .instructionFailed(.failInvalid)
    case .generalProtection:
      fault(.generalProtection(check.statement.description))
      return .instructionFailed(.failInvalid)
    case .vmFailInvalid: return .instructionFailed(.failInvalid)
    case .vmFailValid(let error): return .instructionFailed(fail(error))
    case .invalidGuestState(let qualification):
      return .exit((.vmEntryFailureInvalidGuestState, UInt64(qualification.rawValue)))
    case .msrLoading: return .exit((.vmEntryFailureMSRLoading, finding.msrLoadEntry))
    }
  }

  private func facts(resume: Bool) -> EntryFacts {
    var facts = EntryFacts.hypervisor(isVMRESUME: resume, currentVMCSPointer: current?.address ?? .noCurrentVMCS)
    facts.hasCurrentVMCS = current != nil
    facts.isLaunched = current?.launchState == .launched
    facts.isShadowVMCS = current.map { memory.load($0.address, as: UInt32.self) >> 31 != 0 } ?? false
    facts.vmxonPointer = vmxonPointer
    facts.isBlockedByMOVSS = isBlockedByMOVSS
    facts.isInIA32eMode = IA32EFER(rawValue: msrs[MSR.ia32EFER.rawValue] ?? 0).lma
    return facts
  }
}

/// The current VMCS, read without a trace.
private struct ModelState: VMCSState {
  let model: ProcessorModel

  func value(of field: VMCSFieldEncoding) -> UInt64? { model.contents(of: field) }

  func quadword(at address: PhysicalAddress) -> UInt64? { model.memory.load(address, as: UInt64.self) }
}

/// Evaluates the checks up to the first that fails.
private struct FirstFailure: EntryCheckVisitor {
  let checksFields: Bool
  var failure: (EntryCheck, EntryFinding)?
  var undecidable: String?

  init(checksFields: Bool) { self.checksFields = checksFields }

  mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
    guard failure == nil, checksFields || check.section == .basicVMEntryChecks else { return }
    switch verdict() {
    case .passed: break
    case .failed(let finding): failure = (check, finding)
    case .undecidable(let input): undecidable = "\(check.id) reads \(input)"
    }
  }
}

extension EntryFinding {
  /// The number of the entry of the MSR-load area, from 1; 0 if the finding is elsewhere.
  fileprivate var msrLoadEntry: UInt64 {
    switch subject {
    case .msrLoadEntry(let entry), .msrLoadData(let entry): UInt64(entry)
    default: 0
    }
  }
}
