import VMCS

extension EntryCheckPass {
  /// SDM, "VM-Exit Control Fields", in the order of its list.
  mutating func vmExitControlFields() {
    section = .vmExitControlFields

    check(
      "control.exit.reserved",
      "The reserved bits of the primary VM-exit controls have the settings that the capability MSRs allow.",
      reads: "primaryVMExitControls ia32VMXBASIC ia32VMXEXITCTLS ia32VMXTRUEEXITCTLS"
    ) { $0.requireAllowed(.primaryVMExitControls, by: .ia32VMXEXITCTLS, exactly: .ia32VMXTRUEEXITCTLS) }

    check(
      "control.secondary-exit.reserved",
      "The reserved bits of the secondary VM-exit controls are 0 if “activate secondary controls” is 1.",
      reads: "primaryVMExitControls secondaryVMExitControls ia32VMXEXITCTLS2"
    ) { vmcs in
      guard vmcs.exit(.activateSecondaryControls) else { return nil }
      return vmcs.requireSupported(.secondaryVMExitControls, by: .ia32VMXEXITCTLS2)
    }

    check(
      "control.exit.save-vmx-preemption-timer-value",
      "“Save VMX-preemption timer value” is 0 if “activate VMX-preemption timer” is 0.",
      reads: "pinBasedVMExecutionControls primaryVMExitControls"
    ) { vmcs in
      guard vmcs.exit(.saveVMXPreemptionTimerValue), !vmcs.pin(.activateVMXPreemptionTimer) else { return nil }
      return vmcs.requireClear(.primaryVMExitControls, .saveVMXPreemptionTimerValue)
    }

    msrArea(
      ("control.exit.msr-store.alignment", "control.exit.msr-store.width", "control.exit.msr-store.last-byte"),
      "VM-exit MSR-store", address: .vmExitMSRStoreAddress, count: .vmExitMSRStoreCount,
      reads: "vmExitMSRStoreAddress vmExitMSRStoreCount")
    msrArea(
      ("control.exit.msr-load.alignment", "control.exit.msr-load.width", "control.exit.msr-load.last-byte"),
      "VM-exit MSR-load", address: .vmExitMSRLoadAddress, count: .vmExitMSRLoadCount,
      reads: "vmExitMSRLoadAddress vmExitMSRLoadCount")
  }
}
