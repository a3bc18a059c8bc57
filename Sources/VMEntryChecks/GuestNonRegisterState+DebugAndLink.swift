import VMCS

extension EntryCheckPass {
  /// The checks on the pending debug exceptions, of "Checks on Guest Non-Register State".
  mutating func pendingDebugExceptions() {
    check(
      "guest.pending-debug-exceptions.reserved",
      "Bits 10:4, 13, 15 and 63:17 of the pending debug exceptions are 0, and bit 11 where bus-lock detection is not there.",
      reads: "guestPendingDebugExceptions cpuid7ECX"
    ) { vmcs in
      vmcs.requireReservedClear(.guestPendingDebugExceptions, reserved: ~0 << 17 | 0xA7F0, optional: 1 << 11) {
        ($0.capability(.cpuid7ECX) >> 24 & 1) << 11
      }
    }
    check(
      "guest.pending-debug-exceptions.bs-set",
      """
      BS (bit 14) is 1 if there is blocking by STI or MOV SS or the activity state is HLT, RFLAGS.TF is 1 and \
      IA32_DEBUGCTL.BTF is 0.
      """,
      reads: """
        guestPendingDebugExceptions guestInterruptibilityState guestActivityState guestRFLAGS guestIA32DEBUGCTL
        """
    ) { vmcs in
      guard !vmcs[.guestPendingDebugExceptions].bs, vmcs.isBlockedOrHalted else { return nil }
      guard vmcs[.guestRFLAGS].tf, !vmcs[.guestIA32DEBUGCTL].btf else { return nil }
      return vmcs.require(.guestPendingDebugExceptions, 1 << 14, 1 << 14)
    }
    check(
      "guest.pending-debug-exceptions.bs-clear",
      """
      BS (bit 14) is 0 if there is blocking by STI or MOV SS or the activity state is HLT, and RFLAGS.TF is 0 or \
      IA32_DEBUGCTL.BTF is 1.
      """,
      reads: """
        guestPendingDebugExceptions guestInterruptibilityState guestActivityState guestRFLAGS guestIA32DEBUGCTL
        """
    ) { vmcs in
      guard vmcs[.guestPendingDebugExceptions].bs, vmcs.isBlockedOrHalted else { return nil }
      if vmcs[.guestRFLAGS].tf, !vmcs[.guestIA32DEBUGCTL].btf { return nil }
      return vmcs.requireClear(.guestPendingDebugExceptions, 1 << 14)
    }
    check(
      "guest.pending-debug-exceptions.rtm-bits",
      "If RTM (bit 16) is 1, bits 11:0, 15:13 and 63:17 of the pending debug exceptions are 0 and bit 12 is 1.",
      reads: "guestPendingDebugExceptions"
    ) { vmcs in
      guard vmcs[.guestPendingDebugExceptions].rtm else { return nil }
      return vmcs.require(.guestPendingDebugExceptions, ~0 << 17 | 0xFFFF, 1 << 12)
    }
    check(
      "guest.pending-debug-exceptions.rtm-supported", "RTM (bit 16) is 0 if the processor does not support RTM.",
      reads: "guestPendingDebugExceptions cpuid7EBX"
    ) { vmcs in
      guard vmcs[.guestPendingDebugExceptions].rtm, vmcs.capability(.cpuid7EBX) >> 11 & 1 == 0 else { return nil }
      return vmcs.requireClear(.guestPendingDebugExceptions, 1 << 16)
    }
    check(
      "guest.pending-debug-exceptions.rtm-mov-ss", "If RTM (bit 16) is 1, there is no blocking by MOV SS.",
      reads: "guestPendingDebugExceptions guestInterruptibilityState"
    ) { $0[.guestPendingDebugExceptions].rtm ? $0.requireClear(.guestInterruptibilityState, 2) : nil }
  }

  /// The checks on the VMCS link pointer, which all have an exit qualification of their own.
  mutating func vmcsLinkPointer() {
    let outcome = EntryOutcome.invalidGuestState(.vmcsLinkPointer)
    check(
      "guest.vmcs-link-pointer.alignment", "Bits 11:0 of the VMCS link pointer are 0, unless it is FFFFFFFF_FFFFFFFFH.",
      reads: "vmcsLinkPointer", outcome: outcome
    ) { $0.hasLinkPointer ? $0.requireClear(.vmcsLinkPointer, 0xFFF) : nil }
    check(
      "guest.vmcs-link-pointer.width",
      "No bits beyond the physical-address width are set in the VMCS link pointer, unless it is FFFFFFFF_FFFFFFFFH.",
      reads: "vmcsLinkPointer cpuid80000008EAX", outcome: outcome
    ) { $0.hasLinkPointer ? $0.requirePhysicalAddress(.vmcsLinkPointer) : nil }
    check(
      "guest.vmcs-link-pointer.revision-identifier",
      "Bits 30:0 at the VMCS link pointer are the processor's VMCS revision identifier.",
      reads: "vmcsLinkPointer ia32VMXBASIC memory", outcome: outcome
    ) { vmcs in
      guard vmcs.hasLinkPointer else { return nil }
      let identifier = IA32VMXBASIC(rawValue: vmcs.capability(.ia32VMXBASIC)).vmcsRevisionIdentifier
      return vmcs.requireMemory(at: vmcs.bits(.vmcsLinkPointer), 0x7FFF_FFFF, UInt64(identifier))
    }
    check(
      "guest.vmcs-link-pointer.shadow-vmcs-indicator",
      "Bit 31 at the VMCS link pointer (shadow-VMCS indicator) equals “VMCS shadowing”.",
      reads: """
        vmcsLinkPointer primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls memory
        """, outcome: outcome
    ) { vmcs in
      guard vmcs.hasLinkPointer else { return nil }
      let indicator: UInt64 = vmcs.secondary(.vmcsShadowing) ? 1 << 31 : 0
      return vmcs.requireMemory(at: vmcs.bits(.vmcsLinkPointer), 1 << 31, indicator)
    }
    check(
      "guest.vmcs-link-pointer.current-vmcs",
      "The VMCS link pointer is not the current-VMCS pointer if the processor is not in SMM or “entry to SMM” is 1.",
      reads: "vmcsLinkPointer vmEntryControls currentVMCSPointer isInSMM", outcome: outcome
    ) { vmcs in
      guard vmcs.hasLinkPointer, vmcs.bits(.vmcsLinkPointer) == vmcs.fact(.currentVMCSPointer) else { return nil }
      if vmcs.isSo(.isInSMM), !vmcs.entry(.entryToSMM) { return nil }
      return vmcs.finding(.vmcsLinkPointer, ~0, required: ~0)
    }
    check(
      "guest.vmcs-link-pointer.executive-vmcs",
      "The VMCS link pointer is not the executive-VMCS pointer if the processor is in SMM and “entry to SMM” is 0.",
      reads: "vmcsLinkPointer vmEntryControls executiveVMCSPointer isInSMM", outcome: outcome
    ) { vmcs in
      guard vmcs.hasLinkPointer, vmcs.bits(.vmcsLinkPointer) == vmcs.bits(.executiveVMCSPointer) else { return nil }
      guard vmcs.isSo(.isInSMM), !vmcs.entry(.entryToSMM) else { return nil }
      return vmcs.finding(.vmcsLinkPointer, ~0, required: ~0)
    }
  }
}

extension EntryInputs {
  /// Whether there is blocking by STI or MOV SS or the activity state is HLT.
  fileprivate var isBlockedOrHalted: Bool {
    mutating get { bits(.guestInterruptibilityState) & 3 != 0 || self[.guestActivityState] == .hlt }
  }

  /// Whether the VMCS link pointer refers to a VMCS.
  fileprivate var hasLinkPointer: Bool { mutating get { bits(.vmcsLinkPointer) != ~0 } }
}
