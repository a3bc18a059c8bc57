import VMCS

/// SDM, "VM Exits".
extension ProcessorModel {
  /// SDM, "Recording VM-Exit Information and Updating VM-entry Control Fields".
  func recordExitInformation(_ exit: ScriptedExit, _ vmcs: VMCSStorage) {
    vmcs[.exitReason] = exit.reason
    vmcs[.exitQualification] = exit.qualification
    vmcs[.vmExitInterruptionInformation] = exit.interruptionInformation ?? .init(rawValue: 0)
    vmcs[.idtVectoringInformation] = exit.idtVectoringInformation ?? .init(rawValue: 0)
    put(exit.interruptionErrorCode, .vmExitInterruptionErrorCode, vmcs)
    put(exit.idtVectoringErrorCode, .idtVectoringErrorCode, vmcs)
    put(exit.instructionLength, .vmExitInstructionLength, vmcs)
    put(exit.instructionInformation, .vmExitInstructionInformation, vmcs)
    put(exit.guestPhysicalAddress, .guestPhysicalAddress, vmcs)
    put(exit.guestLinearAddress, .guestLinearAddress, vmcs)
    var event = vmcs[.vmEntryInterruptionInformation]
    event.valid = false
    vmcs[.vmEntryInterruptionInformation] = event
  }

  private func put<Value>(_ value: Value?, _ field: VMCSField<Value, ReadOnly>, _ vmcs: VMCSStorage) {
    guard hasField(field.encoding) else { return }
    if let value { vmcs[field] = value } else { vmcs.invalidate(field.encoding) }
  }

  /// SDM, "Saving Guest State".
  func saveGuestState(_ exit: ScriptedExit, _ vmcs: VMCSStorage) {
    let controls = vmcs[.primaryVMExitControls]
    for (field, value) in exit.guestState {
      guard hasField(field), field.type == .guestState else {
        fault(.impossibleExit("the guest-state area of this processor has no field \(field.rawValue)"))
        continue
      }
      if let needed = Self.controlThatSaves(field), !controls.contains(needed) { continue }
      vmcs[field] = value
    }
    if configuration.savesLMA {
      var entryControls = vmcs[.vmEntryControls]
      let efer = exit.guestState[VMCSField.guestIA32EFER.encoding]
      let isActive = efer.map { $0 >> 10 & 1 != 0 } ?? entryControls.contains(.ia32eModeGuest)
      if isActive { entryControls.insert(.ia32eModeGuest) } else { entryControls.remove(.ia32eModeGuest) }
      vmcs[.vmEntryControls] = entryControls
    }
  }

  /// The VM-exit control without which a VM exit does not save `field`; nil if it always does.
  private static func controlThatSaves(_ field: VMCSFieldEncoding) -> PrimaryVMExitControls? {
    switch field {
    case VMCSField.guestDR7.encoding, VMCSField.guestIA32DEBUGCTL.encoding: .saveDebugControls
    case VMCSField.guestIA32PAT.encoding: .saveIA32PAT
    case VMCSField.guestIA32EFER.encoding: .saveIA32EFER
    case VMCSField.guestIA32PERFGLOBALCTRL.encoding: .saveIA32PERFGLOBALCTRL
    case VMCSField.vmxPreemptionTimerValue.encoding: .saveVMXPreemptionTimerValue
    default: nil
    }
  }

  /// SDM, "Loading Host State", as far as the seam shows it.
  func loadHostState(_ vmcs: VMCSStorage) {
    let controls = vmcs[.primaryVMExitControls]
    // CD, NW, ET and the reserved bits keep their values.
    let kept: UInt64 = 0x7FFA_FFD0
    systemRegisters[.cr0] = vmcs[.hostCR0].rawValue & ~kept | (systemRegisters[.cr0] ?? 0) & kept
    systemRegisters[.cr3] = vmcs[.hostCR3]
    systemRegisters[.cr4] = vmcs[.hostCR4].rawValue
    setMSR(.ia32SYSENTERCS, UInt64(vmcs[.hostIA32SYSENTERCS]))
    setMSR(.ia32SYSENTERESP, vmcs[.hostIA32SYSENTERESP])
    setMSR(.ia32SYSENTEREIP, vmcs[.hostIA32SYSENTEREIP])
    setMSR(.ia32FSBASE, vmcs[.hostFSBase])
    setMSR(.ia32GSBASE, vmcs[.hostGSBase])
    setMSR(.ia32DEBUGCTL, 0)
    if controls.contains(.loadIA32PAT) { setMSR(.ia32PAT, vmcs[.hostIA32PAT].rawValue) }
    if controls.contains(.loadIA32EFER) { setMSR(.ia32EFER, vmcs[.hostIA32EFER].rawValue) }
  }

  private func setMSR(_ msr: MSR, _ value: UInt64) { msrs[msr.rawValue] = value }
}

extension ProcessorModel.Configuration {
  /// IA32_VMX_MISC bit 5: VM exits store IA32_EFER.LMA into the "IA-32e mode guest" VM-entry control.
  var savesLMA: Bool { misc >> 5 & 1 != 0 }
}
