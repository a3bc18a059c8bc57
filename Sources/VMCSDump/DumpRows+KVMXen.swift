import VMCS

extension DumpRows {
  /// What KVM and Xen print, which took their form from each other, in the order in which they print it.
  static var kvmXen: [DumpRow] {
    [
      DumpRow(
        .kvm, .claim, "d#v# vmentry failure (reason 0x%1):",
        [.other(.domain), .other(.virtualProcessor), .claim(.exitReason)], [.begins, .opens, .xen]),
      DumpRow(
        .kvm, .claim, "Failed vm entry (exit reason 0x%1) caused by", [.claim(.exitReason)], [.begins, .opens, .xen]),
      DumpRow(.kvm, .claim, "invalid guest state (#).", [.ignored]),
      DumpRow(.kvm, .claim, "Invalid guest state (#)", [.ignored]),
      DumpRow(.kvm, .claim, "MSR loading (entry #)", [.claim(.msrLoadEntryFrom0)]),
      DumpRow(.kvm, .claim, "MSR entry # loading.", [.claim(.msrLoadEntryFrom1)]),
      DumpRow(.kvm, .claim, "machine check."),
      DumpRow(.kvm, .claim, "MCE"),
      DumpRow(.kvm, .claim, "Unknown"),
      DumpRow(.kvm, .claim, "msr %8 val %16 ~", [.other(.msrIndex), .other(.msrValue)], [.xen, .entryLoadArea]),
      DumpRow(.kvm, .claim, "Entry out of range"),
      DumpRow(
        .kvm, .claim, "d#v# VMLAUNCH error: 0x%1",
        [.other(.domain), .other(.virtualProcessor), .claim(.instructionError)], [.begins, .opens, .xen, .vmlaunch]),
      DumpRow(
        .kvm, .claim, "d#v# VMRESUME error: 0x%1",
        [.other(.domain), .other(.virtualProcessor), .claim(.instructionError)], [.begins, .opens, .xen, .vmresume]),
      DumpRow(
        .kvm, .claim, "<vm_launch_fail> error code %1", [.claim(.instructionError)], [.begins, .opens, .xen, .vmlaunch]),
      DumpRow(
        .kvm, .claim, "<vm_resume_fail> error code %1", [.claim(.instructionError)], [.begins, .opens, .xen, .vmresume]),
      DumpRow(.kvm, .claim, "VMCS @, last attempted VM-entry on CPU #", [.ignored], [.begins, .opens]),
      DumpRow(.kvm, .claim, "************* VMCS Area **************", [], [.begins, .opens, .xen]),
      DumpRow(.kvm, .claim, "*********** VMCS Areas **************", [], [.begins, .opens, .xen]),
      DumpRow(.kvm, .claim, ">>> Domain # <<<", [.other(.domain)], [.begins, .opens, .xen]),
      DumpRow(.kvm, .claim, "VCPU #", [.other(.virtualProcessor)], [.begins, .opens, .xen]),
      DumpRow(.kvm, .guest, "*** Guest State ***", [], [.opens, .begins]),
      DumpRow(
        .kvm, .guest, "CR0: actual=0x%16, shadow=0x%16, gh_mask=%16",
        [.field(.guestCR0), .field(.cr0ReadShadow), .field(.cr0GuestHostMask)], [.opens]),
      DumpRow(
        .kvm, .guest, "CR4: actual=0x%16, shadow=0x%16, gh_mask=%16",
        [.field(.guestCR4), .field(.cr4ReadShadow), .field(.cr4GuestHostMask)], [.opens]),
      DumpRow(.kvm, .guest, "CR3 = 0x%16", [.field(.guestCR3)]),
      DumpRow(
        .kvm, .guest, "CR3: actual=0x%16, target_count=#", [.field(.guestCR3), .field(.cr3TargetCount)],
        [.opens, .xen, .beforeXen46]),
      DumpRow(
        .kvm, .guest, "target0=%16, target1=%16", [.field(.cr3TargetValue0), .field(.cr3TargetValue1)],
        [.xen, .beforeXen46]),
      DumpRow(
        .kvm, .guest, "target2=%16, target3=%16", [.field(.cr3TargetValue2), .field(.cr3TargetValue3)],
        [.xen, .beforeXen46]),
      DumpRow(.kvm, .guest, "PDPTR0 = 0x%16  PDPTR1 = 0x%16", [.field(.guestPDPTE0), .field(.guestPDPTE1)], [.opens]),
      DumpRow(.kvm, .guest, "PDPTR2 = 0x%16  PDPTR3 = 0x%16", [.field(.guestPDPTE2), .field(.guestPDPTE3)], [.opens]),
      DumpRow(
        .kvm, .guest, "PDPTE0 = 0x%16  PDPTE1 = 0x%16", [.field(.guestPDPTE0), .field(.guestPDPTE1)], [.opens, .xen]),
      DumpRow(
        .kvm, .guest, "PDPTE2 = 0x%16  PDPTE3 = 0x%16", [.field(.guestPDPTE2), .field(.guestPDPTE3)], [.opens, .xen]),
      DumpRow(.kvm, .guest, "RSP = 0x%16 ~", [.field(.guestRSP)]),
      DumpRow(.kvm, .guest, "RIP = 0x%16 ~", [.field(.guestRIP)], [.joins]),
      DumpRow(.kvm, .guest, "RFLAGS=0x%8 ~", [.field(.guestRFLAGS)]),
      DumpRow(.kvm, .guest, "DR7 = 0x%16", [.field(.guestDR7)], [.joins]),
      DumpRow(
        .kvm, .guest, "Sysenter RSP=%16 CS:RIP=%4:%16",
        [.field(.guestIA32SYSENTERESP), .field(.guestIA32SYSENTERCS), .field(.guestIA32SYSENTEREIP)]),
      DumpRow(.kvm, .guest, "sel attr limit base", [], [.opens, .xen]),
      DumpRow(
        .kvm, .guest, "CS: sel=0x%4, attr=0x%5, limit=0x%8, base=0x%16",
        [.field(.guestCSSelector), .field(.guestCSAccessRights), .field(.guestCSLimit), .field(.guestCSBase)], [.opens]),
      DumpRow(
        .kvm, .guest, "CS: %4 %5 %8 %16",
        [.field(.guestCSSelector), .field(.guestCSAccessRights), .field(.guestCSLimit), .field(.guestCSBase)], [.xen]),
      DumpRow(
        .kvm, .guest, "DS: sel=0x%4, attr=0x%5, limit=0x%8, base=0x%16",
        [.field(.guestDSSelector), .field(.guestDSAccessRights), .field(.guestDSLimit), .field(.guestDSBase)], [.opens]),
      DumpRow(
        .kvm, .guest, "DS: %4 %5 %8 %16",
        [.field(.guestDSSelector), .field(.guestDSAccessRights), .field(.guestDSLimit), .field(.guestDSBase)], [.xen]),
      DumpRow(
        .kvm, .guest, "SS: sel=0x%4, attr=0x%5, limit=0x%8, base=0x%16",
        [.field(.guestSSSelector), .field(.guestSSAccessRights), .field(.guestSSLimit), .field(.guestSSBase)], [.opens]),
      DumpRow(
        .kvm, .guest, "SS: %4 %5 %8 %16",
        [.field(.guestSSSelector), .field(.guestSSAccessRights), .field(.guestSSLimit), .field(.guestSSBase)], [.xen]),
      DumpRow(
        .kvm, .guest, "ES: sel=0x%4, attr=0x%5, limit=0x%8, base=0x%16",
        [.field(.guestESSelector), .field(.guestESAccessRights), .field(.guestESLimit), .field(.guestESBase)], [.opens]),
      DumpRow(
        .kvm, .guest, "ES: %4 %5 %8 %16",
        [.field(.guestESSelector), .field(.guestESAccessRights), .field(.guestESLimit), .field(.guestESBase)], [.xen]),
      DumpRow(
        .kvm, .guest, "FS: sel=0x%4, attr=0x%5, limit=0x%8, base=0x%16",
        [.field(.guestFSSelector), .field(.guestFSAccessRights), .field(.guestFSLimit), .field(.guestFSBase)], [.opens]),
      DumpRow(
        .kvm, .guest, "FS: %4 %5 %8 %16",
        [.field(.guestFSSelector), .field(.guestFSAccessRights), .field(.guestFSLimit), .field(.guestFSBase)], [.xen]),
      DumpRow(
        .kvm, .guest, "GS: sel=0x%4, attr=0x%5, limit=0x%8, base=0x%16",
        [.field(.guestGSSelector), .field(.guestGSAccessRights), .field(.guestGSLimit), .field(.guestGSBase)], [.opens]),
      DumpRow(
        .kvm, .guest, "GS: %4 %5 %8 %16",
        [.field(.guestGSSelector), .field(.guestGSAccessRights), .field(.guestGSLimit), .field(.guestGSBase)], [.xen]),
      DumpRow(
        .kvm, .guest, "GDTR: limit=0x%8, base=0x%16", [.field(.guestGDTRLimit), .field(.guestGDTRBase)], [.opens]),
      DumpRow(.kvm, .guest, "GDTR: %8 %16", [.field(.guestGDTRLimit), .field(.guestGDTRBase)], [.xen]),
      DumpRow(
        .kvm, .guest, "LDTR: sel=0x%4, attr=0x%5, limit=0x%8, base=0x%16",
        [.field(.guestLDTRSelector), .field(.guestLDTRAccessRights), .field(.guestLDTRLimit), .field(.guestLDTRBase)],
        [.opens]),
      DumpRow(
        .kvm, .guest, "LDTR: %4 %5 %8 %16",
        [.field(.guestLDTRSelector), .field(.guestLDTRAccessRights), .field(.guestLDTRLimit), .field(.guestLDTRBase)],
        [.xen]),
      DumpRow(
        .kvm, .guest, "IDTR: limit=0x%8, base=0x%16", [.field(.guestIDTRLimit), .field(.guestIDTRBase)], [.opens]),
      DumpRow(.kvm, .guest, "IDTR: %8 %16", [.field(.guestIDTRLimit), .field(.guestIDTRBase)], [.xen]),
      DumpRow(
        .kvm, .guest, "TR: sel=0x%4, attr=0x%5, limit=0x%8, base=0x%16",
        [.field(.guestTRSelector), .field(.guestTRAccessRights), .field(.guestTRLimit), .field(.guestTRBase)], [.opens]),
      DumpRow(
        .kvm, .guest, "TR: %4 %5 %8 %16",
        [.field(.guestTRSelector), .field(.guestTRAccessRights), .field(.guestTRLimit), .field(.guestTRBase)], [.xen]),
      DumpRow(.kvm, .guest, "EFER = 0x%16 (autoload)", [.view(.guestIA32EFER)]),
      DumpRow(.kvm, .guest, "EFER = 0x%16 (effective)", [.view(.guestIA32EFER)]),
      DumpRow(.kvm, .guest, "EFER(VMCS) = 0x%16", [.field(.guestIA32EFER)], [.opens, .xen]),
      DumpRow(.kvm, .guest, "EFER(MSR LL) = 0x%16", [.view(.guestIA32EFER)], [.opens, .xen]),
      DumpRow(.kvm, .guest, "EFER = 0x%16", [.field(.guestIA32EFER)]),
      DumpRow(.kvm, .guest, "PAT = 0x%16", [.field(.guestIA32PAT)], [.joins]),
      DumpRow(.kvm, .guest, "Guest PAT = 0x%16", [.field(.guestIA32PAT)], [.opens, .xen, .beforeXen46]),
      DumpRow(.kvm, .guest, "TSC Offset = %16", [.field(.tscOffset)], [.xen, .beforeXen46]),
      DumpRow(.kvm, .guest, "PreemptionTimer = 0x%8", [.field(.vmxPreemptionTimerValue)], [.opens, .xen]),
      DumpRow(.kvm, .guest, "SM Base = 0x%8", [.field(.guestSMBASE)], [.opens, .xen, .joins]),
      DumpRow(.kvm, .guest, "DebugCtl = 0x%16", [.field(.guestIA32DEBUGCTL)], [.opens]),
      DumpRow(.kvm, .guest, "DebugExceptions = 0x%16", [.field(.guestPendingDebugExceptions)], [.joins]),
      DumpRow(.kvm, .guest, "PerfGlobCtl = 0x%16", [.field(.guestIA32PERFGLOBALCTRL)]),
      DumpRow(.kvm, .guest, "BndCfgS = 0x%16", [.field(.guestIA32BNDCFGS)], [.joins]),
      DumpRow(.kvm, .guest, "Interruptibility = %4", [.field(.guestInterruptibilityState)], [.opens]),
      DumpRow(.kvm, .guest, "ActivityState = %4", [.field(.guestActivityState)], [.joins]),
      DumpRow(.kvm, .guest, "InterruptStatus = %4", [.field(.guestInterruptStatus)], [.opens]),
      DumpRow(.kvm, .guest, "MSR guest autoload:", [], [.opens, .entryLoadArea]),
      DumpRow(.kvm, .guest, "#: msr=0x%8 value=0x%16", [.ignored, .other(.msrIndex), .other(.msrValue)], [.repeats]),
      DumpRow(.kvm, .guest, "MSR guest autostore:", [], [.opens, .exitStoreArea]),
      DumpRow(.kvm, .guest, "MSR autostore:", [], [.opens, .exitStoreArea]),
      DumpRow(.kvm, .guest, "#: msr=0x%8 value=0x%16", [.ignored, .other(.msrIndex), .other(.msrValue)], [.repeats]),
      DumpRow(
        .kvm, .guest, "S_CET = 0x%16, SSP = 0x%16, SSP TABLE = 0x%16",
        [.field(.guestIA32SCET), .field(.guestSSP), .field(.guestIA32INTERRUPTSSPTABLEADDR)]),
      DumpRow(
        .kvm, .guest, "SPEC_CTRL mask = 0x%16  shadow = 0x%16",
        [.field(.ia32SPECCTRLMask), .field(.ia32SPECCTRLShadow)], [.opens, .xen]),
      DumpRow(.kvm, .host, "*** Host State ***", [], [.opens]),
      DumpRow(.kvm, .host, "RSP = 0x%16", [.field(.hostRSP)], [.xen, .beforeXen46]),
      DumpRow(.kvm, .host, "RIP = 0x%16 ~", [.field(.hostRIP)]),
      DumpRow(.kvm, .host, "RSP = 0x%16", [.field(.hostRSP)], [.joins]),
      DumpRow(
        .kvm, .host, "CS=%4 SS=%4 DS=%4 ES=%4 FS=%4 GS=%4 TR=%4",
        [
          .field(.hostCSSelector), .field(.hostSSSelector), .field(.hostDSSelector), .field(.hostESSelector),
          .field(.hostFSSelector), .field(.hostGSSelector), .field(.hostTRSelector),
        ], [.opens]),
      DumpRow(
        .kvm, .host, "CS=%4 DS=%4 ES=%4 FS=%4 GS=%4 SS=%4 TR=%4",
        [
          .field(.hostCSSelector), .field(.hostDSSelector), .field(.hostESSelector), .field(.hostFSSelector),
          .field(.hostGSSelector), .field(.hostSSSelector), .field(.hostTRSelector),
        ], [.opens, .xen, .beforeXen46]),
      DumpRow(
        .kvm, .host, "FSBase=%16 GSBase=%16 TRBase=%16",
        [.field(.hostFSBase), .field(.hostGSBase), .field(.hostTRBase)], [.opens]),
      DumpRow(.kvm, .host, "GDTBase=%16 IDTBase=%16", [.field(.hostGDTRBase), .field(.hostIDTRBase)], [.opens]),
      DumpRow(
        .kvm, .host, "CR0=%16 CR3=%16 CR4=%16", [.field(.hostCR0), .field(.hostCR3), .field(.hostCR4)], [.opens]),
      DumpRow(
        .kvm, .host, "Sysenter RSP=%16 CS:RIP=%4:%16",
        [.field(.hostIA32SYSENTERESP), .field(.hostIA32SYSENTERCS), .field(.hostIA32SYSENTEREIP)]),
      DumpRow(.kvm, .host, "EFER = 0x%16", [.field(.hostIA32EFER)]),
      DumpRow(.kvm, .host, "PAT = 0x%16", [.field(.hostIA32PAT)], [.joins]),
      DumpRow(.kvm, .host, "Host PAT = 0x%16", [.field(.hostIA32PAT)], [.opens, .xen, .beforeXen46]),
      DumpRow(.kvm, .host, "PerfGlobCtl = 0x%16", [.field(.hostIA32PERFGLOBALCTRL)]),
      DumpRow(.kvm, .host, "MSR host autoload:", [], [.opens, .exitLoadArea]),
      DumpRow(.kvm, .host, "#: msr=0x%8 value=0x%16", [.ignored, .other(.msrIndex), .other(.msrValue)], [.repeats]),
      DumpRow(
        .kvm, .host, "S_CET = 0x%16, SSP = 0x%16, SSP TABLE = 0x%16",
        [.field(.hostIA32SCET), .field(.hostSSP), .field(.hostIA32INTERRUPTSSPTABLEADDR)]),
      DumpRow(.kvm, .control, "*** Control State ***", [], [.opens]),
      DumpRow(.kvm, .control, "PinBased=%8", [.field(.pinBasedVMExecutionControls)], [.opens]),
      DumpRow(.kvm, .control, "CPUBased=0x%8", [.field(.primaryProcessorBasedVMExecutionControls)], [.opens, .joins]),
      DumpRow(
        .kvm, .control, "SecondaryExec=0x%8", [.field(.secondaryProcessorBasedVMExecutionControls)], [.opens, .joins]),
      DumpRow(
        .kvm, .control, "TertiaryExec=0x%16", [.field(.tertiaryProcessorBasedVMExecutionControls)], [.opens, .joins]),
      DumpRow(.kvm, .control, "PinBased=0x%8", [.field(.pinBasedVMExecutionControls)], [.opens]),
      DumpRow(.kvm, .control, "EntryControls=%8", [.field(.vmEntryControls)], [.opens]),
      DumpRow(.kvm, .control, "ExitControls=%8", [.field(.primaryVMExitControls)], [.opens, .joins]),
      DumpRow(.kvm, .control, "ExceptionBitmap=%8", [.field(.exceptionBitmap)], [.opens]),
      DumpRow(.kvm, .control, "PFECmask=%8", [.field(.pageFaultErrorCodeMask)], [.opens, .joins]),
      DumpRow(.kvm, .control, "PFECmatch=%8", [.field(.pageFaultErrorCodeMatch)], [.opens, .joins]),
      DumpRow(
        .kvm, .control, "VMEntry: intr_info=%8 errcode=%8 ilen=%8",
        [
          .field(.vmEntryInterruptionInformation), .field(.vmEntryExceptionErrorCode),
          .field(.vmEntryInstructionLength),
        ], [.opens]),
      DumpRow(
        .kvm, .control, "VMExit: intr_info=%8 errcode=%8 ilen=%8",
        [
          .field(.vmExitInterruptionInformation), .field(.vmExitInterruptionErrorCode),
          .field(.vmExitInstructionLength),
        ], [.opens]),
      DumpRow(.kvm, .control, "reason=%8 qualification=%8", [.field(.exitReason), .field(.exitQualification)]),
      DumpRow(
        .kvm, .control, "IDTVectoring: info=%8 errcode=%8",
        [.field(.idtVectoringInformation), .field(.idtVectoringErrorCode)], [.opens]),
      DumpRow(.kvm, .control, "TSC Offset = 0x%16", [.field(.tscOffset)]),
      DumpRow(.kvm, .control, "TSC Multiplier = 0x%16", [.field(.tscMultiplier)], [.opens]),
      DumpRow(.kvm, .control, "SVI|RVI = %2|%2", [.ignored, .ignored], [.opens]),
      DumpRow(.kvm, .control, "TPR Threshold = 0x%2", [.field(.tprThreshold)], [.opens]),
      DumpRow(.kvm, .control, "APIC-access addr = 0x%16", [.field(.apicAccessAddress)], [.opens]),
      DumpRow(.kvm, .control, "virt-APIC addr = 0x%16", [.field(.virtualAPICAddress)], [.opens, .joins]),
      DumpRow(.kvm, .control, "PostedIntrVec = 0x%2", [.field(.postedInterruptNotificationVector)], [.opens]),
      DumpRow(.kvm, .control, "EPT pointer = 0x%16", [.field(.eptPointer)], [.opens]),
      DumpRow(.kvm, .control, "EPTP index = 0x%4", [.field(.eptpIndex)], [.opens, .joins]),
      DumpRow(.kvm, .control, "CR3 target0=%16", [.field(.cr3TargetValue0)], [.opens]),
      DumpRow(.kvm, .control, "target1=%16", [.field(.cr3TargetValue1)], [.joins]),
      DumpRow(.kvm, .control, "CR3 target2=%16", [.field(.cr3TargetValue2)], [.opens]),
      DumpRow(.kvm, .control, "target3=%16", [.field(.cr3TargetValue3)], [.joins]),
      DumpRow(.kvm, .control, "PLE Gap=%8 Window=%8", [.field(.pleGap), .field(.pleWindow)], [.opens]),
      DumpRow(.kvm, .control, "Virtual processor ID = 0x%4", [.field(.virtualProcessorIdentifier)], [.opens]),
      DumpRow(.kvm, .control, "VMfunc controls = %16", [.field(.vmFunctionControls)], [.opens, .joins]),
      DumpRow(
        .kvm, .control, "VE info address = 0x%16 ~", [.field(.virtualizationExceptionInformationAddress)], [.opens]),
      DumpRow(.kvm, .control, "ve_info: &"),
      DumpRow(.kvm, .control, "**************************************"),
    ]
  }
}
