import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on Host Control Registers, MSRs, and SSP", in the order of its list.
  mutating func hostControlRegistersMSRsAndSSP() {
    section = .hostControlRegistersMSRsAndSSP
    hostControlRegisters()
    hostMSRs()
    hostCETAndPKRS()

    fred(
      .host,
      FREDTexts(
        reserved: "host.fred.%.reserved", canonical: "host.fred.%.canonical", aligned: "host.fred.%.alignment",
        inputs: "hostIA32FRED% primaryVMExitControls secondaryVMExitControls")
    ) { $0.secondaryExit(.loadFRED) && $0.exit(.hostAddressSpaceSize) }

    check(
      "host.spec-ctrl.reserved", "Bits reserved in IA32_SPEC_CTRL are 0 if “load IA32_SPEC_CTRL” is 1.",
      reads: "primaryVMExitControls secondaryVMExitControls hostIA32SPECCTRL cpuid7EDX cpuid7Subleaf2EDX"
    ) { $0.secondaryExit(.loadIA32SPECCTRL) ? $0.requireSPECCTRLReservedClear(.hostIA32SPECCTRL) : nil }
  }

  private mutating func hostControlRegisters() {
    check(
      "host.cr0.fixed-bits", "CR0 has no bit that is not supported in VMX operation.",
      reads: "hostCR0 ia32VMXCR0FIXED0 ia32VMXCR0FIXED1"
    ) { $0.requireFixed(.hostCR0, .ia32VMXCR0FIXED0, .ia32VMXCR0FIXED1) }

    check(
      "host.cr4.fixed-bits", "CR4 has no bit that is not supported in VMX operation.",
      reads: "hostCR4 ia32VMXCR4FIXED0 ia32VMXCR4FIXED1"
    ) { $0.requireFixed(.hostCR4, .ia32VMXCR4FIXED0, .ia32VMXCR4FIXED1) }

    check("host.cr4.cet", "CR0.WP is 1 if CR4.CET is 1.", reads: "hostCR0 hostCR4") { vmcs in
      vmcs[.hostCR4].cet ? vmcs.require(.hostCR0, 1 << 16, 1 << 16) : nil
    }

    check(
      "host.cr3.reserved", "Bits 63:52 of CR3 and those beyond the physical-address width are 0.",
      reads: "hostCR3 cpuid80000008EAX cpuid7Subleaf1EAX"
    ) { $0.requireCR3(.hostCR3) }
  }

  private mutating func hostMSRs() {
    check(
      "host.sysenter-esp.canonical", "IA32_SYSENTER_ESP contains a canonical address.",
      reads: "hostIA32SYSENTERESP cpuid80000008EAX"
    ) { $0.requireCanonical(.hostIA32SYSENTERESP) }
    check(
      "host.sysenter-eip.canonical", "IA32_SYSENTER_EIP contains a canonical address.",
      reads: "hostIA32SYSENTEREIP cpuid80000008EAX"
    ) { $0.requireCanonical(.hostIA32SYSENTEREIP) }

    check(
      "host.perf-global-ctrl.reserved",
      "Bits reserved in IA32_PERF_GLOBAL_CTRL are 0 if “load IA32_PERF_GLOBAL_CTRL” is 1.",
      reads: """
        primaryVMExitControls hostIA32PERFGLOBALCTRL cpuidAEAX cpuidAECX cpuidAEDX ia32PERFCAPABILITIES
        """
    ) { $0.exit(.loadIA32PERFGLOBALCTRL) ? $0.requirePerfGlobalCtrlReservedClear(.hostIA32PERFGLOBALCTRL) : nil }

    check(
      "host.pat.memory-types", "Each byte of IA32_PAT is 0, 1, 4, 5, 6 or 7 if “load IA32_PAT” is 1.",
      reads: "primaryVMExitControls hostIA32PAT"
    ) { $0.exit(.loadIA32PAT) ? $0.requirePAT(.hostIA32PAT) : nil }

    check(
      "host.efer.reserved", "Bits reserved in IA32_EFER are 0 if “load IA32_EFER” is 1.",
      reads: "primaryVMExitControls hostIA32EFER"
    ) { $0.exit(.loadIA32EFER) ? $0.requireClear(.hostIA32EFER, $0.efersReservedBits) : nil }
    check(
      "host.efer.lma-lme", "LMA and LME in IA32_EFER equal “host address-space size” if “load IA32_EFER” is 1.",
      reads: "primaryVMExitControls hostIA32EFER"
    ) { vmcs in
      guard vmcs.exit(.loadIA32EFER) else { return nil }
      return vmcs.require(.hostIA32EFER, 0x500, vmcs.exit(.hostAddressSpaceSize) ? 0x500 : 0)
    }
  }

  private mutating func hostCETAndPKRS() {
    check(
      "host.s-cet.reserved", "Bits reserved in IA32_S_CET are 0 if “load CET state” is 1.",
      reads: "primaryVMExitControls hostIA32SCET cpuid7ECX cpuid7EDX"
    ) { $0.exit(.loadCETState) ? $0.requireSCETReservedClear(.hostIA32SCET) : nil }
    check(
      "host.s-cet.suppress-and-tracker",
      "SUPPRESS (bit 10) and TRACKER (bit 11) of IA32_S_CET are not both 1 if “load CET state” is 1.",
      reads: "primaryVMExitControls hostIA32SCET"
    ) { $0.exit(.loadCETState) ? $0.requireSCETTrackerConsistent(.hostIA32SCET) : nil }
    check(
      "host.ssp.alignment", "Bits 1:0 of SSP are 0 if “load CET state” is 1.", reads: "primaryVMExitControls hostSSP"
    ) { $0.exit(.loadCETState) ? $0.requireClear(.hostSSP, 3) : nil }
    check(
      "host.interrupt-ssp-table.canonical",
      "IA32_INTERRUPT_SSP_TABLE_ADDR contains a canonical address if “load CET state” is 1.",
      reads: "primaryVMExitControls hostIA32INTERRUPTSSPTABLEADDR cpuid80000008EAX"
    ) { $0.exit(.loadCETState) ? $0.requireCanonical(.hostIA32INTERRUPTSSPTABLEADDR) : nil }

    check(
      "host.pkrs.reserved", "Bits 63:32 of IA32_PKRS are 0 if “load PKRS” is 1.",
      reads: "primaryVMExitControls hostIA32PKRS"
    ) { $0.exit(.loadPKRS) ? $0.requireClear(.hostIA32PKRS, ~0 << 32) : nil }
  }
}
