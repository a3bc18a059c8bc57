import VMCS

extension EntryCheckPass {
  /// SDM, "VM-Entry Control Fields", in the order of its list.
  mutating func vmEntryControlFields() {
    section = .vmEntryControlFields

    check(
      "control.entry.reserved",
      "The reserved bits of the VM-entry controls have the settings that the capability MSRs allow.",
      reads: "vmEntryControls ia32VMXBASIC ia32VMXENTRYCTLS ia32VMXTRUEENTRYCTLS"
    ) { $0.requireAllowed(.vmEntryControls, by: .ia32VMXENTRYCTLS, exactly: .ia32VMXTRUEENTRYCTLS) }

    eventInjection()
    deliveryOfErrorCode()

    msrArea(
      ("control.entry.msr-load.alignment", "control.entry.msr-load.width", "control.entry.msr-load.last-byte"),
      "VM-entry MSR-load", address: .vmEntryMSRLoadAddress, count: .vmEntryMSRLoadCount,
      reads: "vmEntryMSRLoadAddress vmEntryMSRLoadCount")

    check(
      "control.entry.outside-smm",
      "“Entry to SMM” and “deactivate dual-monitor treatment” are 0 if the processor is not in SMM.",
      reads: "vmEntryControls isInSMM"
    ) { vmcs in
      guard vmcs.entry([.entryToSMM, .deactivateDualMonitorTreatment]), !vmcs.isSo(.isInSMM) else { return nil }
      return vmcs.requireClear(.vmEntryControls, [.entryToSMM, .deactivateDualMonitorTreatment])
    }
    check(
      "control.entry.smm-controls", "“Entry to SMM” and “deactivate dual-monitor treatment” are not both 1.",
      reads: "vmEntryControls"
    ) { vmcs in
      guard vmcs.entry(.entryToSMM) else { return nil }
      return vmcs.requireClear(.vmEntryControls, .deactivateDualMonitorTreatment)
    }
  }

  private mutating func eventInjection() {
    check(
      "control.event-injection.type",
      """
      The interruption type is not reserved: 1 always is, and 7 (other event) is if the processor supports neither \
      “monitor trap flag” nor “load IA32_FRED”.
      """,
      reads: """
        vmEntryInterruptionInformation ia32VMXBASIC ia32VMXPROCBASEDCTLS ia32VMXTRUEPROCBASEDCTLS ia32VMXENTRYCTLS \
        ia32VMXTRUEENTRYCTLS
        """
    ) { vmcs in
      guard let event = vmcs.injectedEvent else { return nil }
      if event.type == .reserved { return vmcs.finding(.vmEntryInterruptionInformation, 0x700, required: 0) }
      guard event.type == .otherEvent else { return nil }
      let isExact = IA32VMXBASIC(rawValue: vmcs.capability(.ia32VMXBASIC)).defaultSettingsMayBeCleared
      let primary = vmcs.capability(isExact ? .ia32VMXTRUEPROCBASEDCTLS : .ia32VMXPROCBASEDCTLS)
      let monitorTrapFlag = UInt64(PrimaryProcessorBasedVMExecutionControls.monitorTrapFlag.rawValue)
      if primary >> 32 & monitorTrapFlag != 0 { return nil }
      let entry = vmcs.capability(isExact ? .ia32VMXTRUEENTRYCTLS : .ia32VMXENTRYCTLS)
      if entry >> 32 & UInt64(VMEntryControls.loadFRED.rawValue) != 0 { return nil }
      return vmcs.finding(.vmEntryInterruptionInformation, 0x700, required: 0)
    }

    check(
      "control.event-injection.nmi-vector", "The vector is 2 if the interruption type is NMI.",
      reads: "vmEntryInterruptionInformation"
    ) { vmcs in
      guard vmcs.injectedEvent?.type == .nmi else { return nil }
      return vmcs.require(.vmEntryInterruptionInformation, 0xFF, 2)
    }
    check(
      "control.event-injection.hardware-exception-vector",
      "The vector is at most 31 if the interruption type is hardware exception.",
      reads: "vmEntryInterruptionInformation"
    ) { vmcs in
      guard vmcs.injectedEvent?.type == .hardwareException else { return nil }
      return vmcs.requireClear(.vmEntryInterruptionInformation, 0xE0)
    }
    check(
      "control.event-injection.other-event-vector",
      """
      The vector is 0 (pending MTF VM exit) if the interruption type is other event; 1 (SYSCALL) and 2 (SYSENTER) are \
      allowed if FRED will be enabled in the guest.
      """,
      reads: "vmEntryInterruptionInformation vmEntryControls guestCR4"
    ) { vmcs in
      guard let event = vmcs.injectedEvent, event.type == .otherEvent, event.vector != 0 else { return nil }
      if event.vector <= 2, vmcs.guestUsesFRED { return nil }
      return vmcs.requireClear(.vmEntryInterruptionInformation, 0xFF)
    }
  }

  private mutating func deliveryOfErrorCode() {
    check(
      "control.event-injection.deliver-error-code.set",
      """
      Deliver error code is 1 if the event is a hardware exception with vector 8, 10 to 14 or 17, “unrestricted guest” is 0 \
      or CR0.PE of the guest is 1, and IA32_VMX_BASIC bit 56 is 0.
      """,
      reads: """
        vmEntryInterruptionInformation primaryProcessorBasedVMExecutionControls \
        secondaryProcessorBasedVMExecutionControls guestCR0 ia32VMXBASIC
        """
    ) { vmcs in
      guard let event = vmcs.injectedEvent, event.type == .hardwareException, !event.deliverErrorCode,
        vectorsWithErrorCode >> UInt64(event.vector) & 1 == 1, vmcs.deliversErrorCodes,
        !IA32VMXBASIC(rawValue: vmcs.capability(.ia32VMXBASIC)).allowsHardwareExceptionsWithoutErrorCode
      else { return nil }
      return vmcs.require(.vmEntryInterruptionInformation, 1 << 11, 1 << 11)
    }
    check(
      "control.event-injection.deliver-error-code.clear",
      """
      Deliver error code is 0 if the event is not a hardware exception, if “unrestricted guest” is 1 and CR0.PE of the guest \
      is 0, or if IA32_VMX_BASIC bit 56 is 0 and the vector is 0 to 7, 9, 15, 16 or 18 to 31.
      """,
      reads: """
        vmEntryInterruptionInformation primaryProcessorBasedVMExecutionControls \
        secondaryProcessorBasedVMExecutionControls guestCR0 ia32VMXBASIC
        """
    ) { vmcs in
      guard let event = vmcs.injectedEvent, event.deliverErrorCode else { return nil }
      if event.type == .hardwareException, vmcs.deliversErrorCodes {
        let vector = UInt64(event.vector)
        if vector > 31 || vectorsWithErrorCode >> vector & 1 == 1 { return nil }
        let basic = IA32VMXBASIC(rawValue: vmcs.capability(.ia32VMXBASIC))
        if basic.allowsHardwareExceptionsWithoutErrorCode { return nil }
      }
      return vmcs.requireClear(.vmEntryInterruptionInformation, 1 << 11)
    }
    check(
      "control.event-injection.reserved",
      "Bits 30:12 of the field are 0; bit 13 (nested exception) may be 1 if IA32_VMX_BASIC bit 58 is 1.",
      reads: "vmEntryInterruptionInformation ia32VMXBASIC"
    ) { vmcs in
      guard vmcs.injectedEvent != nil else { return nil }
      return vmcs.requireReservedClear(.vmEntryInterruptionInformation, reserved: 0x7FFF_D000, optional: 1 << 13) {
        IA32VMXBASIC(rawValue: $0.capability(.ia32VMXBASIC)).supportsNestedException ? 1 << 13 : 0
      }
    }
    check(
      "control.event-injection.error-code",
      "Bits 31:16 of the VM-entry exception error code are 0 if deliver error code is 1.",
      reads: "vmEntryInterruptionInformation vmEntryExceptionErrorCode"
    ) { vmcs in
      guard let event = vmcs.injectedEvent, event.deliverErrorCode else { return nil }
      return vmcs.requireClear(.vmEntryExceptionErrorCode, 0xFFFF_0000)
    }
    check(
      "control.event-injection.instruction-length",
      """
      The VM-entry instruction length is 1 to 15, or 0 if IA32_VMX_MISC bit 30 is 1, if the event is a software interrupt, a \
      software exception, a privileged software exception, SYSCALL or SYSENTER.
      """,
      reads: "vmEntryInterruptionInformation vmEntryInstructionLength vmEntryControls guestCR4 ia32VMXMISC"
    ) { vmcs in
      guard let event = vmcs.injectedEvent else { return nil }
      switch event.type {
      case .softwareInterrupt, .privilegedSoftwareException, .softwareException: break
      case .otherEvent where (event.vector == 1 || event.vector == 2) && vmcs.guestUsesFRED: break
      default: return nil
      }
      let length = vmcs[.vmEntryInstructionLength]
      if length == 0, IA32VMXMISC(rawValue: vmcs.capability(.ia32VMXMISC)).allowsInstructionLengthZero { return nil }
      return vmcs.require(.vmEntryInstructionLength, in: 1...15)
    }
  }
}

/// Bit n is 1 if exception n delivers an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC.
private var vectorsWithErrorCode: UInt64 { 0x2_7D00 }

extension EntryInputs {
  /// The event to be injected; nil if there is none.
  var injectedEvent: VMEntryInterruptionInformation? {
    mutating get {
      let event = self[.vmEntryInterruptionInformation]
      return event.valid ? event : nil
    }
  }

  /// Whether exceptions have error codes: not in real-address mode, which needs "unrestricted guest".
  fileprivate var deliversErrorCodes: Bool {
    mutating get { !secondary(.unrestrictedGuest) || self[.guestCR0].pe }
  }

  /// Whether the guest will be in IA-32e mode with CR4.FRED set.
  var guestUsesFRED: Bool { mutating get { entry(.ia32eModeGuest) && self[.guestCR4].fred } }
}
