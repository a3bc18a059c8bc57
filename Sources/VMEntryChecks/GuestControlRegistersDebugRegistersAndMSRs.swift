import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on Guest Control Registers, Debug Registers, and MSRs", in the order of its list.
  mutating func guestControlRegistersDebugRegistersAndMSRs() {
    section = .guestControlRegistersDebugRegistersAndMSRs
    guestCR0AndCR4()
    guestDebugAndModeChecks()
    guestCETState()
    guestMSRs()
    guestMSRsOfExtensions()

    fred(
      .guest,
      FREDTexts(
        reserved: "guest.fred.%.reserved", canonical: "guest.fred.%.canonical", aligned: "guest.fred.%.alignment",
        inputs: "guestIA32FRED% vmEntryControls")
    ) { $0.entry(.loadFRED) && $0.entry(.ia32eModeGuest) }

    check(
      "guest.spec-ctrl.reserved", "Bits reserved in IA32_SPEC_CTRL are 0 if “load IA32_SPEC_CTRL” is 1.",
      reads: "vmEntryControls guestIA32SPECCTRL cpuid7EDX cpuid7Subleaf2EDX"
    ) { $0.entry(.loadIA32SPECCTRL) ? $0.requireSPECCTRLReservedClear(.guestIA32SPECCTRL) : nil }
  }

  private mutating func guestCR0AndCR4() {
    check(
      "guest.cr0.fixed-bits",
      """
      CR0 has no bit that is not supported in VMX operation; PE and PG may be 0 if “unrestricted guest” is 1, and NW and CD \
      are never checked.
      """,
      reads: """
        guestCR0 primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls \
        ia32VMXCR0FIXED0 ia32VMXCR0FIXED1
        """
    ) { vmcs in
      let (pePG, nwCD): (UInt64, UInt64) = (1 | 1 << 31, 3 << 29)
      let isUnrestricted = vmcs.bits(.guestCR0) & pePG != pePG && vmcs.secondary(.unrestrictedGuest)
      return vmcs.requireFixed(
        .guestCR0, .ia32VMXCR0FIXED0, .ia32VMXCR0FIXED1, ignored: nwCD, mayBe0: isUnrestricted ? pePG : 0)
    }
    check("guest.cr0.pg-pe", "CR0.PE is 1 if CR0.PG is 1.", reads: "guestCR0") { vmcs in
      let cr0 = vmcs[.guestCR0]
      return cr0.pg && !cr0.pe ? vmcs.finding(.guestCR0, 1, required: 1) : nil
    }
    check(
      "guest.cr4.fixed-bits", "CR4 has no bit that is not supported in VMX operation.",
      reads: "guestCR4 ia32VMXCR4FIXED0 ia32VMXCR4FIXED1"
    ) { $0.requireFixed(.guestCR4, .ia32VMXCR4FIXED0, .ia32VMXCR4FIXED1) }
    check("guest.cr4.cet", "CR0.WP is 1 if CR4.CET is 1.", reads: "guestCR0 guestCR4") { vmcs in
      vmcs[.guestCR4].cet ? vmcs.require(.guestCR0, 1 << 16, 1 << 16) : nil
    }
  }

  private mutating func guestDebugAndModeChecks() {
    check(
      "guest.debugctl.reserved", "Bits reserved in IA32_DEBUGCTL are 0 if “load debug controls” is 1.",
      reads: "vmEntryControls guestIA32DEBUGCTL cpuid7EBX cpuid7ECX"
    ) { vmcs in
      guard vmcs.entry(.loadDebugControls) else { return nil }
      let value = vmcs[.guestIA32DEBUGCTL]
      var reserved: UInt64 = ~0 << 16 | 0x38
      if value.bld, vmcs.capability(.cpuid7ECX) >> 24 & 1 == 0 { reserved |= 1 << 2 }
      if value.rtm, vmcs.capability(.cpuid7EBX) >> 11 & 1 == 0 { reserved |= 1 << 15 }
      return vmcs.requireClear(.guestIA32DEBUGCTL, reserved)
    }
    check(
      "guest.cr0.pg-for-ia-32e-mode", "CR0.PG is 1 if “IA-32e mode guest” is 1.", reads: "vmEntryControls guestCR0"
    ) { $0.entry(.ia32eModeGuest) ? $0.require(.guestCR0, 1 << 31, 1 << 31) : nil }
    check(
      "guest.cr4.pae-for-ia-32e-mode", "CR4.PAE is 1 if “IA-32e mode guest” is 1.", reads: "vmEntryControls guestCR4"
    ) { $0.entry(.ia32eModeGuest) ? $0.require(.guestCR4, 1 << 5, 1 << 5) : nil }
    check(
      "guest.cr4.pcide", "CR4.PCIDE is 0 if “IA-32e mode guest” is 0.", reads: "vmEntryControls guestCR4"
    ) { $0.entry(.ia32eModeGuest) ? nil : $0.requireClear(.guestCR4, 1 << 17) }
    check(
      "guest.cr4.fred", "CR4.FRED is 0 if “IA-32e mode guest” is 0.", reads: "vmEntryControls guestCR4"
    ) { $0.entry(.ia32eModeGuest) ? nil : $0.requireClear(.guestCR4, 1 << 32) }
    check(
      "guest.cr3.reserved", "Bits 63:52 of CR3 and those beyond the physical-address width are 0.",
      reads: "guestCR3 cpuid80000008EAX cpuid7Subleaf1EAX"
    ) { $0.requireCR3(.guestCR3) }
    check(
      "guest.dr7.reserved", "Bits 63:32 of DR7 are 0 if “load debug controls” is 1.", reads: "vmEntryControls guestDR7"
    ) { $0.entry(.loadDebugControls) ? $0.requireClear(.guestDR7, ~0 << 32) : nil }
    check(
      "guest.sysenter-esp.canonical", "IA32_SYSENTER_ESP contains a canonical address.",
      reads: "guestIA32SYSENTERESP cpuid80000008EAX"
    ) { $0.requireCanonical(.guestIA32SYSENTERESP) }
    check(
      "guest.sysenter-eip.canonical", "IA32_SYSENTER_EIP contains a canonical address.",
      reads: "guestIA32SYSENTEREIP cpuid80000008EAX"
    ) { $0.requireCanonical(.guestIA32SYSENTEREIP) }
  }

  private mutating func guestCETState() {
    check(
      "guest.s-cet.reserved", "Bits reserved in IA32_S_CET are 0 if “load CET state” is 1.",
      reads: "vmEntryControls guestIA32SCET cpuid7ECX cpuid7EDX"
    ) { $0.entry(.loadCETState) ? $0.requireSCETReservedClear(.guestIA32SCET) : nil }
    check(
      "guest.s-cet.suppress-and-tracker",
      "SUPPRESS (bit 10) and TRACKER (bit 11) of IA32_S_CET are not both 1 if “load CET state” is 1.",
      reads: "vmEntryControls guestIA32SCET"
    ) { $0.entry(.loadCETState) ? $0.requireSCETTrackerConsistent(.guestIA32SCET) : nil }
    check(
      "guest.s-cet.canonical", "IA32_S_CET contains a canonical address if “load CET state” is 1.",
      reads: "vmEntryControls guestIA32SCET cpuid80000008EAX"
    ) { $0.entry(.loadCETState) ? $0.requireCanonical(.guestIA32SCET) : nil }
    check(
      "guest.interrupt-ssp-table.canonical",
      "IA32_INTERRUPT_SSP_TABLE_ADDR contains a canonical address if “load CET state” is 1.",
      reads: "vmEntryControls guestIA32INTERRUPTSSPTABLEADDR cpuid80000008EAX"
    ) { $0.entry(.loadCETState) ? $0.requireCanonical(.guestIA32INTERRUPTSSPTABLEADDR) : nil }
  }

  private mutating func guestMSRs() {
    check(
      "guest.perf-global-ctrl.reserved",
      "Bits reserved in IA32_PERF_GLOBAL_CTRL are 0 if “load IA32_PERF_GLOBAL_CTRL” is 1.",
      reads: """
        vmEntryControls guestIA32PERFGLOBALCTRL cpuidAEAX cpuidAECX cpuidAEDX ia32PERFCAPABILITIES
        """
    ) { $0.entry(.loadIA32PERFGLOBALCTRL) ? $0.requirePerfGlobalCtrlReservedClear(.guestIA32PERFGLOBALCTRL) : nil }
    check(
      "guest.pat.memory-types", "Each byte of IA32_PAT is 0, 1, 4, 5, 6 or 7 if “load IA32_PAT” is 1.",
      reads: "vmEntryControls guestIA32PAT"
    ) { $0.entry(.loadIA32PAT) ? $0.requirePAT(.guestIA32PAT) : nil }

    check(
      "guest.efer.reserved", "Bits reserved in IA32_EFER are 0 if “load IA32_EFER” is 1.",
      reads: "vmEntryControls guestIA32EFER"
    ) { $0.entry(.loadIA32EFER) ? $0.requireClear(.guestIA32EFER, $0.efersReservedBits) : nil }
    check(
      "guest.efer.lma", "LMA in IA32_EFER equals “IA-32e mode guest” if “load IA32_EFER” is 1.",
      reads: "vmEntryControls guestIA32EFER"
    ) { vmcs in
      guard vmcs.entry(.loadIA32EFER) else { return nil }
      return vmcs.require(.guestIA32EFER, 1 << 10, vmcs.entry(.ia32eModeGuest) ? 1 << 10 : 0)
    }
    check(
      "guest.efer.lme", "LME in IA32_EFER equals LMA if “load IA32_EFER” and CR0.PG are 1.",
      reads: "vmEntryControls guestIA32EFER guestCR0"
    ) { vmcs in
      guard vmcs.entry(.loadIA32EFER), vmcs[.guestCR0].pg else { return nil }
      return vmcs.require(.guestIA32EFER, 1 << 8, vmcs[.guestIA32EFER].lma ? 1 << 8 : 0)
    }
  }

  private mutating func guestMSRsOfExtensions() {
    check(
      "guest.bndcfgs.reserved", "Bits 11:2 of IA32_BNDCFGS are 0 if “load IA32_BNDCFGS” is 1.",
      reads: "vmEntryControls guestIA32BNDCFGS"
    ) { $0.entry(.loadIA32BNDCFGS) ? $0.requireClear(.guestIA32BNDCFGS, 0xFFC) : nil }
    check(
      "guest.bndcfgs.canonical",
      "The linear address in bits 63:12 of IA32_BNDCFGS is canonical if “load IA32_BNDCFGS” is 1.",
      reads: "vmEntryControls guestIA32BNDCFGS cpuid80000008EAX"
    ) { $0.entry(.loadIA32BNDCFGS) ? $0.requireCanonical(.guestIA32BNDCFGS) : nil }

    check(
      "guest.rtit-ctl.reserved", "Bits reserved in IA32_RTIT_CTL are 0 if “load IA32_RTIT_CTL” is 1.",
      reads: "vmEntryControls guestIA32RTITCTL cpuid14EBX cpuid14ECX cpuid14Subleaf1EAX"
    ) { $0.entry(.loadIA32RTITCTL) ? $0.requireRTITCTLReservedClear(.guestIA32RTITCTL) : nil }
    check(
      "guest.uinv.reserved", "Bits 15:8 of the UINV field are 0 if “load UINV” is 1.",
      reads: "vmEntryControls guestUINV"
    ) { $0.entry(.loadUINV) ? $0.requireClear(.guestUINV, 0xFF00) : nil }
    check(
      "guest.lbr-ctl.reserved", "Bits reserved in IA32_LBR_CTL are 0 if “load guest IA32_LBR_CTL” is 1.",
      reads: "vmEntryControls guestIA32LBRCTL cpuid1CEBX"
    ) { $0.entry(.loadGuestIA32LBRCTL) ? $0.requireLBRCTLReservedClear(.guestIA32LBRCTL) : nil }
    check(
      "guest.pkrs.reserved", "Bits 63:32 of IA32_PKRS are 0 if “load PKRS” is 1.",
      reads: "vmEntryControls guestIA32PKRS"
    ) { $0.entry(.loadPKRS) ? $0.requireClear(.guestIA32PKRS, ~0 << 32) : nil }
  }
}
