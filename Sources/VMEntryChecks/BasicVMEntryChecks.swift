import VMCS

extension EntryCheckPass {
  /// SDM, "Basic VM-Entry Checks".
  mutating func basicVMEntryChecks() {
    section = .basicVMEntryChecks

    check(
      "basic.mode", "The processor is not in virtual-8086 mode and not in compatibility mode.",
      reads: "isInVirtual8086OrCompatibilityMode", outcome: .invalidOpcode
    ) { $0.requireFact(.isInVirtual8086OrCompatibilityMode, 0) }

    check("basic.cpl", "The current privilege level is 0.", reads: "cpl", outcome: .generalProtection) {
      $0.requireFact(.cpl, 0)
    }

    check("basic.current-vmcs", "There is a current VMCS.", reads: "hasCurrentVMCS") {
      $0.requireFact(.hasCurrentVMCS, 1)
    }

    check("basic.shadow-vmcs", "The current VMCS is not a shadow VMCS.", reads: "isShadowVMCS") {
      $0.requireFact(.isShadowVMCS, 0)
    }

    check(
      "basic.blocking-by-mov-ss", "There is no MOV-SS blocking.", reads: "isBlockedByMOVSS",
      outcome: .vmFailValid(.vmEntryWithEventsBlockedByMOVSS)
    ) { $0.requireFact(.isBlockedByMOVSS, 0) }

    check(
      "basic.vmlaunch-launch-state", "The launch state is clear if the instruction is VMLAUNCH.",
      reads: "isVMRESUME isLaunched", outcome: .vmFailValid(.vmlaunchWithNonClearVMCS)
    ) { vmcs in
      if vmcs.isSo(.isVMRESUME) { return nil }
      return vmcs.requireFact(.isLaunched, 0)
    }

    check(
      "basic.vmresume-launch-state", "The launch state is launched if the instruction is VMRESUME.",
      reads: "isVMRESUME isLaunched", outcome: .vmFailValid(.vmresumeWithNonLaunchedVMCS)
    ) { vmcs in
      if !vmcs.isSo(.isVMRESUME) { return nil }
      return vmcs.requireFact(.isLaunched, 1)
    }
  }
}

extension EntryInputs {
  /// Requires a fact to have a value.
  fileprivate mutating func requireFact(_ fact: EntryFact, _ required: UInt64) -> EntryFinding? {
    let found = self.fact(fact)
    return found == required
      ? nil : EntryFinding(subject: .fact(fact), mask: fact == .cpl ? 3 : 1, found: found, required: required)
  }
}
