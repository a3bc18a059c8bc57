import VMCS

extension EntryCheckPass {
  /// SDM, "VM-Execution Control Fields", in the order of its list.
  mutating func vmExecutionControlFields() {
    section = .vmExecutionControlFields
    reservedVMExecutionControls()
    bitmapsAndTPRShadow()
    nmisAndAPICVirtualization()
    postedInterruptsAndVPID()
    eptAndWhatDependsOnIt()
    vmFunctionsAndShadowing()
    processorTraceAndTSC()
    tertiaryFeatures()
  }

  private mutating func reservedVMExecutionControls() {
    check(
      "control.pin-based.reserved",
      "The reserved bits of the pin-based VM-execution controls have the settings that the capability MSRs allow.",
      reads: "pinBasedVMExecutionControls ia32VMXBASIC ia32VMXPINBASEDCTLS ia32VMXTRUEPINBASEDCTLS"
    ) {
      $0.requireAllowed(
        .pinBasedVMExecutionControls, by: .ia32VMXPINBASEDCTLS, exactly: .ia32VMXTRUEPINBASEDCTLS)
    }

    check(
      "control.primary.reserved",
      "The reserved bits of the primary processor-based VM-execution controls have the settings that the capability MSRs allow.",
      reads: """
        primaryProcessorBasedVMExecutionControls ia32VMXBASIC ia32VMXPROCBASEDCTLS ia32VMXTRUEPROCBASEDCTLS
        """
    ) {
      $0.requireAllowed(
        .primaryProcessorBasedVMExecutionControls, by: .ia32VMXPROCBASEDCTLS, exactly: .ia32VMXTRUEPROCBASEDCTLS)
    }

    check(
      "control.secondary.reserved",
      "The reserved bits of the secondary processor-based VM-execution controls are 0 if “activate secondary controls” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls ia32VMXPROCBASEDCTLS2
        """
    ) { vmcs in
      guard vmcs.primary(.activateSecondaryControls) else { return nil }
      return vmcs.requireAllowed(.secondaryProcessorBasedVMExecutionControls, by: .ia32VMXPROCBASEDCTLS2)
    }

    check(
      "control.tertiary.reserved",
      "The reserved bits of the tertiary processor-based VM-execution controls are 0 if “activate tertiary controls” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls tertiaryProcessorBasedVMExecutionControls ia32VMXPROCBASEDCTLS3
        """
    ) { vmcs in
      guard vmcs.primary(.activateTertiaryControls) else { return nil }
      return vmcs.requireSupported(.tertiaryProcessorBasedVMExecutionControls, by: .ia32VMXPROCBASEDCTLS3)
    }

    check(
      "control.cr3-target-count",
      "The CR3-target count is not greater than the number of CR3-target values that IA32_VMX_MISC reports.",
      reads: "cr3TargetCount ia32VMXMISC"
    ) { vmcs in
      if vmcs[.cr3TargetCount] == 0 { return nil }
      let limit = IA32VMXMISC(rawValue: vmcs.capability(.ia32VMXMISC)).cr3TargetValueCount
      return vmcs.require(.cr3TargetCount, in: 0...UInt64(limit))
    }
  }

  private mutating func bitmapsAndTPRShadow() {
    address(
      ("control.io-bitmap-a.alignment", "Bits 11:0 of the address of I/O bitmap A are 0 if “use I/O bitmaps” is 1."),
      (
        "control.io-bitmap-a.width",
        "No bits beyond the physical-address width are set in the address of I/O bitmap A if “use I/O bitmaps” is 1."
      ), of: .ioBitmapAAddress,
      reads: "primaryProcessorBasedVMExecutionControls ioBitmapAAddress"
    ) { $0.primary(.useIOBitmaps) }
    address(
      ("control.io-bitmap-b.alignment", "Bits 11:0 of the address of I/O bitmap B are 0 if “use I/O bitmaps” is 1."),
      (
        "control.io-bitmap-b.width",
        "No bits beyond the physical-address width are set in the address of I/O bitmap B if “use I/O bitmaps” is 1."
      ), of: .ioBitmapBAddress,
      reads: "primaryProcessorBasedVMExecutionControls ioBitmapBAddress"
    ) { $0.primary(.useIOBitmaps) }
    address(
      ("control.msr-bitmaps.alignment", "Bits 11:0 of the address of MSR bitmaps are 0 if “use MSR bitmaps” is 1."),
      (
        "control.msr-bitmaps.width",
        "No bits beyond the physical-address width are set in the address of MSR bitmaps if “use MSR bitmaps” is 1."
      ), of: .msrBitmapsAddress,
      reads: "primaryProcessorBasedVMExecutionControls msrBitmapsAddress"
    ) { $0.primary(.useMSRBitmaps) }
    address(
      ("control.virtual-apic.alignment", "Bits 11:0 of the virtual-APIC address are 0 if “use TPR shadow” is 1."),
      (
        "control.virtual-apic.width",
        "No bits beyond the physical-address width are set in the virtual-APIC address if “use TPR shadow” is 1."
      ), of: .virtualAPICAddress,
      reads: "primaryProcessorBasedVMExecutionControls virtualAPICAddress"
    ) { $0.primary(.useTPRShadow) }

    check(
      "control.tpr-threshold.reserved",
      "Bits 31:4 of the TPR threshold are 0 if “use TPR shadow” is 1 and “virtual-interrupt delivery” is 0.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls tprThreshold
        """
    ) { vmcs in
      guard vmcs.primary(.useTPRShadow), !vmcs.secondary(.virtualInterruptDelivery) else { return nil }
      return vmcs.requireClear(.tprThreshold, 0xFFFF_FFF0)
    }

    check(
      "control.tpr-threshold.vtpr",
      """
      Bits 3:0 of the TPR threshold are not greater than bits 7:4 of VTPR if “use TPR shadow” is 1 and “virtualize APIC \
      accesses” and “virtual-interrupt delivery” are 0.
      """,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls tprThreshold \
        virtualAPICAddress memory
        """
    ) { vmcs in
      guard vmcs.primary(.useTPRShadow), !vmcs.secondary([.virtualizeAPICAccesses, .virtualInterruptDelivery]) else {
        return nil
      }
      let threshold = vmcs.bits(.tprThreshold) & 0xF
      if threshold == 0 { return nil }
      let priority = vmcs.quadword(at: (vmcs.bits(.virtualAPICAddress) & ~0xFFF) + 0x80) >> 4 & 0xF
      return threshold <= priority ? nil : vmcs.finding(.tprThreshold, 0xF, required: priority)
    }
  }

  private mutating func nmisAndAPICVirtualization() {
    check(
      "control.virtual-nmis", "“Virtual NMIs” is 0 if “NMI exiting” is 0.", reads: "pinBasedVMExecutionControls"
    ) { $0.pin(.nmiExiting) ? nil : $0.requireClear(.pinBasedVMExecutionControls, .virtualNMIs) }

    check(
      "control.nmi-window-exiting", "“NMI-window exiting” is 0 if “virtual NMIs” is 0.",
      reads: "pinBasedVMExecutionControls primaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.primary(.nmiWindowExiting), !vmcs.pin(.virtualNMIs) else { return nil }
      return vmcs.requireClear(.primaryProcessorBasedVMExecutionControls, .nmiWindowExiting)
    }

    address(
      (
        "control.apic-access.alignment",
        "Bits 11:0 of the APIC-access address are 0 if “virtualize APIC accesses” is 1."
      ),
      (
        "control.apic-access.width",
        "No bits beyond the physical-address width are set in the APIC-access address if “virtualize APIC accesses” is 1."
      ), of: .apicAccessAddress,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls apicAccessAddress
        """
    ) { $0.secondary(.virtualizeAPICAccesses) }

    check(
      "control.use-tpr-shadow.secondary",
      """
      “Virtualize x2APIC mode”, “APIC-register virtualization” and “virtual-interrupt delivery” are 0 if “use TPR shadow” \
      is 0.
      """,
      reads: "primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      let dependent: SecondaryProcessorBasedVMExecutionControls = [
        .virtualizeX2APICMode, .apicRegisterVirtualization, .virtualInterruptDelivery,
      ]
      guard vmcs.secondary(dependent), !vmcs.primary(.useTPRShadow) else { return nil }
      return vmcs.requireClear(.secondaryProcessorBasedVMExecutionControls, dependent)
    }

    check(
      "control.use-tpr-shadow.ipi-virtualization", "“IPI virtualization” is 0 if “use TPR shadow” is 0.",
      reads: "primaryProcessorBasedVMExecutionControls tertiaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.tertiary(.ipiVirtualization), !vmcs.primary(.useTPRShadow) else { return nil }
      return vmcs.requireClear(.tertiaryProcessorBasedVMExecutionControls, .ipiVirtualization)
    }

    check(
      "control.virtualize-x2apic-mode", "“Virtualize APIC accesses” is 0 if “virtualize x2APIC mode” is 1.",
      reads: "primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.secondary(.virtualizeX2APICMode) else { return nil }
      return vmcs.requireClear(.secondaryProcessorBasedVMExecutionControls, .virtualizeAPICAccesses)
    }

    check(
      "control.virtual-interrupt-delivery", "“External-interrupt exiting” is 1 if “virtual-interrupt delivery” is 1.",
      reads: """
        pinBasedVMExecutionControls primaryProcessorBasedVMExecutionControls \
        secondaryProcessorBasedVMExecutionControls
        """
    ) { vmcs in
      guard vmcs.secondary(.virtualInterruptDelivery) else { return nil }
      return vmcs.requireSet(.pinBasedVMExecutionControls, .externalInterruptExiting)
    }
  }

  private mutating func postedInterruptsAndVPID() {
    check(
      "control.posted-interrupts.virtual-interrupt-delivery",
      "“Virtual-interrupt delivery” is 1 if “process posted interrupts” is 1.",
      reads: """
        pinBasedVMExecutionControls primaryProcessorBasedVMExecutionControls \
        secondaryProcessorBasedVMExecutionControls
        """
    ) { vmcs in
      guard vmcs.pin(.processPostedInterrupts), !vmcs.secondary(.virtualInterruptDelivery) else { return nil }
      return vmcs.requireClear(.pinBasedVMExecutionControls, .processPostedInterrupts)
    }

    check(
      "control.posted-interrupts.acknowledge-interrupt-on-exit",
      "“Acknowledge interrupt on exit” is 1 if “process posted interrupts” is 1.",
      reads: "pinBasedVMExecutionControls primaryVMExitControls"
    ) { vmcs in
      guard vmcs.pin(.processPostedInterrupts) else { return nil }
      return vmcs.requireSet(.primaryVMExitControls, .acknowledgeInterruptOnExit)
    }

    check(
      "control.posted-interrupts.notification-vector",
      "Bits 15:8 of the posted-interrupt notification vector are 0 if “process posted interrupts” is 1.",
      reads: "pinBasedVMExecutionControls postedInterruptNotificationVector"
    ) { vmcs in
      guard vmcs.pin(.processPostedInterrupts) else { return nil }
      return vmcs.requireClear(.postedInterruptNotificationVector, 0xFF00)
    }

    address(
      (
        "control.posted-interrupts.descriptor-alignment",
        "Bits 5:0 of the posted-interrupt descriptor address are 0 if “process posted interrupts” is 1."
      ),
      (
        "control.posted-interrupts.descriptor-width",
        """
        No bits beyond the physical-address width are set in the posted-interrupt descriptor address if “process posted \
        interrupts” is 1.
        """
      ), of: .postedInterruptDescriptorAddress, low: 0x3F,
      reads: "pinBasedVMExecutionControls postedInterruptDescriptorAddress"
    ) { $0.pin(.processPostedInterrupts) }

    check(
      "control.vpid", "The VPID is not 0000H if “enable VPID” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls \
        virtualProcessorIdentifier
        """
    ) { vmcs in
      guard vmcs.secondary(.enableVPID) else { return nil }
      return vmcs.require(.virtualProcessorIdentifier, in: 1...0xFFFF)
    }
  }
}
