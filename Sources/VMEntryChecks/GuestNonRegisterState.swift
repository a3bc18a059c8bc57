import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on Guest Non-Register State", in the order of its list.
  mutating func guestNonRegisterState() {
    section = .guestNonRegisterState
    activityState()
    interruptibilityState()
    interruptibilityForEvents()
    pendingDebugExceptions()
    vmcsLinkPointer()
  }

  private mutating func activityState() {
    check(
      "guest.activity-state.supported", "The activity state is 0 to 3 and one that IA32_VMX_MISC bits 8:6 report.",
      reads: "guestActivityState ia32VMXMISC"
    ) { vmcs in
      let state = vmcs.bits(.guestActivityState)
      if state == 0 { return nil }
      if state <= 3, vmcs.capability(.ia32VMXMISC) >> (5 + state) & 1 == 1 { return nil }
      return vmcs.requireClear(.guestActivityState, 0xFFFF_FFFF)
    }
    check(
      "guest.activity-state.hlt-dpl", "The activity state is not HLT if DPL of SS is not 0.",
      reads: "guestActivityState guestSSAccessRights"
    ) { vmcs in
      guard vmcs[.guestActivityState] == .hlt, vmcs[.guestSSAccessRights].dpl != 0 else { return nil }
      return vmcs.requireClear(.guestActivityState, 1)
    }
    check(
      "guest.activity-state.blocking",
      "The activity state is active if the interruptibility state indicates blocking by STI or by MOV SS.",
      reads: "guestActivityState guestInterruptibilityState"
    ) { vmcs in
      guard vmcs.bits(.guestInterruptibilityState) & 3 != 0 else { return nil }
      return vmcs.requireClear(.guestActivityState, 0xFFFF_FFFF)
    }
    check(
      "guest.activity-state.injected-event", "The event to be injected is not one that the activity state would block.",
      reads: "guestActivityState vmEntryInterruptionInformation"
    ) { vmcs in
      let state = vmcs[.guestActivityState]
      guard state != .active, let event = vmcs.injectedEvent, state.blocks(event) else { return nil }
      return vmcs.requireClear(.guestActivityState, 0xFFFF_FFFF)
    }
    check(
      "guest.activity-state.entry-to-smm", "The activity state is not wait-for-SIPI if “entry to SMM” is 1.",
      reads: "guestActivityState vmEntryControls"
    ) { vmcs in
      guard vmcs[.guestActivityState] == .waitForSIPI, vmcs.entry(.entryToSMM) else { return nil }
      return vmcs.requireClear(.guestActivityState, 3)
    }
  }

  private mutating func interruptibilityState() {
    check(
      "guest.interruptibility-state.reserved", "Bits 31:5 of the interruptibility state are 0.",
      reads: "guestInterruptibilityState"
    ) { $0.requireClear(.guestInterruptibilityState, 0xFFFF_FFE0) }
    check(
      "guest.interruptibility-state.sti-and-mov-ss",
      "The interruptibility state does not indicate blocking by both STI and MOV SS.",
      reads: "guestInterruptibilityState"
    ) { vmcs in
      guard vmcs.bits(.guestInterruptibilityState) & 3 == 3 else { return nil }
      return vmcs.requireClear(.guestInterruptibilityState, 1)
    }
    check(
      "guest.interruptibility-state.sti-if", "Blocking by STI (bit 0) is 0 if RFLAGS.IF is 0.",
      reads: "guestInterruptibilityState guestRFLAGS"
    ) { vmcs in
      guard vmcs[.guestInterruptibilityState].blockingBySTI, !vmcs[.guestRFLAGS].if else { return nil }
      return vmcs.requireClear(.guestInterruptibilityState, 1)
    }
    check(
      "guest.interruptibility-state.sti-fred", "Blocking by STI (bit 0) is 0 if CR4.FRED is 1 and DPL of SS is 3.",
      reads: "guestInterruptibilityState guestCR4 guestSSAccessRights vmEntryControls"
    ) { vmcs in
      guard vmcs[.guestInterruptibilityState].blockingBySTI, vmcs[.guestSSAccessRights].dpl == 3, vmcs.guestUsesFRED
      else { return nil }
      return vmcs.requireClear(.guestInterruptibilityState, 1)
    }
  }

  private mutating func interruptibilityForEvents() {
    check(
      "guest.interruptibility-state.external-interrupt",
      "Blocking by STI and by MOV SS (bits 1:0) are 0 if the event to be injected is an external interrupt.",
      reads: "guestInterruptibilityState vmEntryInterruptionInformation"
    ) { $0.injectedEvent?.type == .externalInterrupt ? $0.requireClear(.guestInterruptibilityState, 3) : nil }
    check(
      "guest.interruptibility-state.nmi-mov-ss",
      "Blocking by MOV SS (bit 1) is 0 if the event to be injected is an NMI.",
      reads: "guestInterruptibilityState vmEntryInterruptionInformation"
    ) { $0.injectedEvent?.type == .nmi ? $0.requireClear(.guestInterruptibilityState, 2) : nil }
    check(
      "guest.interruptibility-state.smi-outside-smm", "Blocking by SMI (bit 2) is 0 if the processor is not in SMM.",
      reads: "guestInterruptibilityState isInSMM"
    ) { vmcs in
      guard vmcs[.guestInterruptibilityState].blockingBySMI, !vmcs.isSo(.isInSMM) else { return nil }
      return vmcs.requireClear(.guestInterruptibilityState, 4)
    }
    check(
      "guest.interruptibility-state.smi-entry-to-smm", "Blocking by SMI (bit 2) is 1 if “entry to SMM” is 1.",
      reads: "guestInterruptibilityState vmEntryControls"
    ) { $0.entry(.entryToSMM) ? $0.require(.guestInterruptibilityState, 4, 4) : nil }
    check(
      "guest.interruptibility-state.nmi-sti",
      "Blocking by STI (bit 0) is 0 if the event to be injected is an NMI; a processor may require this.",
      reads: "guestInterruptibilityState vmEntryInterruptionInformation",
      outcome: .invalidGuestState(.nmiInjectionWhileBlocked), isOptional: true
    ) { $0.injectedEvent?.type == .nmi ? $0.requireClear(.guestInterruptibilityState, 1) : nil }
    check(
      "guest.interruptibility-state.virtual-nmi",
      "Blocking by NMI (bit 3) is 0 if “virtual NMIs” is 1 and the event to be injected is an NMI.",
      reads: "guestInterruptibilityState vmEntryInterruptionInformation pinBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.injectedEvent?.type == .nmi, vmcs.pin(.virtualNMIs) else { return nil }
      return vmcs.requireClear(.guestInterruptibilityState, 8)
    }
    check(
      "guest.interruptibility-state.enclave-mov-ss",
      "Blocking by MOV SS (bit 1) is 0 if enclave interruption (bit 4) is 1.", reads: "guestInterruptibilityState"
    ) { $0[.guestInterruptibilityState].enclaveInterruption ? $0.requireClear(.guestInterruptibilityState, 2) : nil }
    check(
      "guest.interruptibility-state.enclave-sgx",
      "Enclave interruption (bit 4) is 0 if the processor does not support Intel SGX.",
      reads: "guestInterruptibilityState cpuid7EBX"
    ) { vmcs in
      guard vmcs[.guestInterruptibilityState].enclaveInterruption, vmcs.capability(.cpuid7EBX) >> 2 & 1 == 0 else {
        return nil
      }
      return vmcs.requireClear(.guestInterruptibilityState, 1 << 4)
    }
  }
}

extension GuestActivityState {
  /// Whether an injected event would be blocked in this activity state, which is not "active".
  fileprivate func blocks(_ event: VMEntryInterruptionInformation) -> Bool {
    let isMachineCheck = event.type == .hardwareException && event.vector == 18
    switch self {
    case .hlt:
      switch event.type {
      case .externalInterrupt, .nmi: return false
      case .hardwareException: return event.vector != 1 && event.vector != 18
      case .otherEvent: return event.vector != 0
      default: return true
      }
    case .shutdown: return event.type != .nmi && !isMachineCheck
    case .waitForSIPI: return true
    default: return false
    }
  }
}
