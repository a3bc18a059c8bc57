import VMCS

extension ProcessorModel {
  /// Makes the basic VM-entry checks (SDM, "Basic VM-Entry Checks"); nil if all pass, otherwise what the first that fails
  /// leads to.
  func checkEntry(resume: Bool) -> EntryResult? {
    guard let current else { return .instructionFailed(.failInvalid) }
    if isBlockedByMOVSS { return .instructionFailed(fail(.vmEntryWithEventsBlockedByMOVSS)) }
    switch (resume, current.launchState) {
    case (false, .launched): return .instructionFailed(fail(.vmlaunchWithNonClearVMCS))
    case (true, .clear): return .instructionFailed(fail(.vmresumeWithNonLaunchedVMCS))
    default: return nil
    }
  }
}
