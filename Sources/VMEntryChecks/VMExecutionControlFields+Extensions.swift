import VMCS

extension EntryCheckPass {
  /// The checks on Intel Processor Trace and TSC scaling, of "VM-Execution Control Fields".
  mutating func processorTraceAndTSC() {
    check(
      "control.intel-pt.tracing",
      "“Load IA32_RTIT_CTL” (a VM-entry control) is 0 if IA32_RTIT_CTL.TraceEn is 1 at the time of VM entry.",
      reads: "vmEntryControls isTracingEnabled"
    ) { vmcs in
      guard vmcs.entry(.loadIA32RTITCTL), vmcs.isSo(.isTracingEnabled) else { return nil }
      return vmcs.requireClear(.vmEntryControls, .loadIA32RTITCTL)
    }
    check(
      "control.intel-pt.ept", "“Enable EPT” is 1 if “Intel PT uses guest physical addresses” is 1.",
      reads: "primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.secondary(.intelPTUsesGuestPhysicalAddresses) else { return nil }
      return vmcs.requireSet(.secondaryProcessorBasedVMExecutionControls, .enableEPT)
    }
    check(
      "control.intel-pt.load-rtit-ctl",
      "“Load IA32_RTIT_CTL” (a VM-entry control) is 1 if “Intel PT uses guest physical addresses” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls vmEntryControls
        """
    ) { vmcs in
      guard vmcs.secondary(.intelPTUsesGuestPhysicalAddresses) else { return nil }
      return vmcs.requireSet(.vmEntryControls, .loadIA32RTITCTL)
    }
    check(
      "control.intel-pt.clear-rtit-ctl",
      "“Clear IA32_RTIT_CTL” (a VM-exit control) is 1 if “Intel PT uses guest physical addresses” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls primaryVMExitControls
        """
    ) { vmcs in
      guard vmcs.secondary(.intelPTUsesGuestPhysicalAddresses) else { return nil }
      return vmcs.requireSet(.primaryVMExitControls, .clearIA32RTITCTL)
    }

    check(
      "control.tsc-multiplier", "The TSC multiplier is not 0 if “use TSC scaling” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls tscMultiplier
        """
    ) { vmcs in
      guard vmcs.secondary(.useTSCScaling) else { return nil }
      return vmcs.require(.tscMultiplier, in: 1...(~0))
    }
  }

  /// The checks on HLAT, PASID translation, IPI virtualization and APIC-timer virtualization, of "VM-Execution Control
  /// Fields".
  mutating func tertiaryFeatures() {
    check(
      "control.hlat.ept",
      """
      “Enable EPT” is 1 if “enable HLAT”, “EPT paging-write control”, “guest-paging verification” or “PEBS uses guest \
      physical addresses” is 1.
      """,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls \
        tertiaryProcessorBasedVMExecutionControls
        """
    ) { vmcs in
      let needEPT: TertiaryProcessorBasedVMExecutionControls = [
        .enableHLAT, .eptPagingWriteControl, .guestPagingVerification, .pebsUsesGuestPhysicalAddresses,
      ]
      guard vmcs.tertiary(needEPT), !vmcs.secondary(.enableEPT) else { return nil }
      return vmcs.requireClear(.tertiaryProcessorBasedVMExecutionControls, needEPT)
    }
    check(
      "control.hlat.pointer-reserved",
      "Bits 2:0, 11:5 and those beyond the physical-address width of the HLATP are 0 if “enable HLAT” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls tertiaryProcessorBasedVMExecutionControls hlatPointer cpuid80000008EAX
        """
    ) { vmcs in
      guard vmcs.tertiary(.enableHLAT) else { return nil }
      let width = vmcs.physicalAddressWidth(for: vmcs.bits(.hlatPointer))
      return vmcs.requireClear(.hlatPointer, ~0 << width | 0xFE7)
    }

    address(
      (
        "control.pasid.low-alignment",
        "Bits 11:0 of the low PASID directory address are 0 if “PASID translation” is 1."
      ),
      (
        "control.pasid.low-width",
        "No bits beyond the physical-address width are set in the low PASID directory address if “PASID translation” is 1."
      ), of: .lowPASIDDirectoryAddress,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls lowPASIDDirectoryAddress
        """
    ) { $0.secondary(.pasidTranslation) }
    address(
      (
        "control.pasid.high-alignment",
        "Bits 11:0 of the high PASID directory address are 0 if “PASID translation” is 1."
      ),
      (
        "control.pasid.high-width",
        "No bits beyond the physical-address width are set in the high PASID directory address if “PASID translation” is 1."
      ), of: .highPASIDDirectoryAddress,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls highPASIDDirectoryAddress
        """
    ) { $0.secondary(.pasidTranslation) }

    address(
      (
        "control.ipi-virtualization.alignment",
        "Bits 2:0 of the PID-pointer table address are 0 if “IPI virtualization” is 1."
      ),
      (
        "control.ipi-virtualization.width",
        "No bits beyond the physical-address width are set in the PID-pointer table address if “IPI virtualization” is 1."
      ), of: .pidPointerTableAddress, low: 7,
      reads: """
        primaryProcessorBasedVMExecutionControls tertiaryProcessorBasedVMExecutionControls pidPointerTableAddress
        """
    ) { $0.tertiary(.ipiVirtualization) }
    check(
      "control.ipi-virtualization.last-entry",
      """
      The address of the last entry of the PID-pointer table, its address + 8 * the last PID-pointer index, has no bits \
      beyond the physical-address width if “IPI virtualization” is 1.
      """,
      reads: """
        primaryProcessorBasedVMExecutionControls tertiaryProcessorBasedVMExecutionControls pidPointerTableAddress \
        lastPIDPointerIndex cpuid80000008EAX
        """
    ) { vmcs in
      guard vmcs.tertiary(.ipiVirtualization) else { return nil }
      let offset = 8 * vmcs.bits(.lastPIDPointerIndex)
      return vmcs.requirePhysicalAddress(.pidPointerTableAddress, ofLast: offset, alignment: 8)
    }

    check(
      "control.apic-timer.virtual-interrupt-delivery",
      "“Virtual-interrupt delivery” is 1 if “APIC-timer virtualization” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls \
        tertiaryProcessorBasedVMExecutionControls
        """
    ) { vmcs in
      guard vmcs.tertiary(.apicTimerVirtualization), !vmcs.secondary(.virtualInterruptDelivery) else { return nil }
      return vmcs.requireClear(.tertiaryProcessorBasedVMExecutionControls, .apicTimerVirtualization)
    }
    check(
      "control.apic-timer.rdtsc-exiting", "“RDTSC exiting” is 0 if “APIC-timer virtualization” is 1.",
      reads: "primaryProcessorBasedVMExecutionControls tertiaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.tertiary(.apicTimerVirtualization) else { return nil }
      return vmcs.requireClear(.primaryProcessorBasedVMExecutionControls, .rdtscExiting)
    }
    check(
      "control.apic-timer.vector", "Bits 15:8 of the virtual timer vector are 0 if “APIC-timer virtualization” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls tertiaryProcessorBasedVMExecutionControls virtualTimerVector
        """
    ) { vmcs in
      guard vmcs.tertiary(.apicTimerVirtualization) else { return nil }
      return vmcs.requireClear(.virtualTimerVector, 0xFF00)
    }
  }
}
