import VMCS
import VMEntryChecks

extension ProcessorModel {
  /// Makes the checks of a VM entry in the SDM's order; nil if all pass, otherwise what the one that decides leads to.
  func checkEntry(resume: Bool) -> EntryResult? {
    let state = ModelState(model: self)
    let result = EntryChecks.visit(
      state, capabilities: capabilities, facts: facts(resume: resume), with: DecidingCheck(checksFields: checksFields))
    if let undecidable = result.undecidable { fault(.undecidableCheck(undecidable)) }
    guard let check = result.check else { return nil }
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
    case .msrLoading: return .exit((.vmEntryFailureMSRLoading, UInt64(result.prediction.msrLoadEntry)))
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

/// Predicts what the VM entry does, and keeps the check that decides it: not one that a processor need not make, and of
/// the MSR-load area one that the first entry fails that cannot be loaded.
private struct DecidingCheck: EntryCheckVisitor {
  let checksFields: Bool
  var prediction = EntryPrediction()
  var check: EntryCheck?
  var undecidable: String?

  init(checksFields: Bool) { self.checksFields = checksFields }

  mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
    guard checksFields || check.section == .basicVMEntryChecks else { return }
    let before = prediction
    var missing: EntryInput?
    prediction.visit(check) {
      let verdict = verdict()
      if case .undecidable(let input) = verdict { missing = input }
      return verdict
    }
    if prediction.outcome != before.outcome || prediction.msrLoadEntry != before.msrLoadEntry { self.check = check }
    if let missing, prediction.outcome == nil, !check.isOptional { undecidable = "\(check.id) reads \(missing)" }
  }
}
