import VMCS

extension DumpRows {
  /// What `bhyvectl --get-all` prints of a virtual processor.
  static var bhyvectl: [DumpRow] {
    [
      DumpRow(.bhyvectl, .any, "efer[#] 0x%16", [.other(.virtualProcessor), .field(.guestIA32EFER)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr0[#] 0x%16", [.other(.virtualProcessor), .field(.guestCR0)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr2[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "cr3[#] 0x%16", [.other(.virtualProcessor), .field(.guestCR3)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr4[#] 0x%16", [.other(.virtualProcessor), .field(.guestCR4)], [.opens]),
      DumpRow(.bhyvectl, .any, "dr0[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "dr1[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "dr2[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "dr3[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "dr6[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "dr7[#] 0x%16", [.other(.virtualProcessor), .field(.guestDR7)], [.opens]),
      DumpRow(.bhyvectl, .any, "rsp[#] 0x%16", [.other(.virtualProcessor), .field(.guestRSP)], [.opens]),
      DumpRow(.bhyvectl, .any, "rip[#] 0x%16", [.other(.virtualProcessor), .field(.guestRIP)], [.opens]),
      DumpRow(.bhyvectl, .any, "rax[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "rbx[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "rcx[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "rdx[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "rsi[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "rdi[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "rbp[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "r8[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "r9[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "r10[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "r11[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "r12[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "r13[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "r14[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "r15[#] 0x%16", [.other(.virtualProcessor), .ignored], [.opens]),
      DumpRow(.bhyvectl, .any, "rflags[#] 0x%16", [.other(.virtualProcessor), .field(.guestRFLAGS)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "ds desc[#] 0x%16/0x%8/0x%8",
        [.other(.virtualProcessor), .field(.guestDSBase), .field(.guestDSLimit), .field(.guestDSAccessRights)], [.opens]
      ),
      DumpRow(
        .bhyvectl, .any, "es desc[#] 0x%16/0x%8/0x%8",
        [.other(.virtualProcessor), .field(.guestESBase), .field(.guestESLimit), .field(.guestESAccessRights)], [.opens]
      ),
      DumpRow(
        .bhyvectl, .any, "fs desc[#] 0x%16/0x%8/0x%8",
        [.other(.virtualProcessor), .field(.guestFSBase), .field(.guestFSLimit), .field(.guestFSAccessRights)], [.opens]
      ),
      DumpRow(
        .bhyvectl, .any, "gs desc[#] 0x%16/0x%8/0x%8",
        [.other(.virtualProcessor), .field(.guestGSBase), .field(.guestGSLimit), .field(.guestGSAccessRights)], [.opens]
      ),
      DumpRow(
        .bhyvectl, .any, "ss desc[#] 0x%16/0x%8/0x%8",
        [.other(.virtualProcessor), .field(.guestSSBase), .field(.guestSSLimit), .field(.guestSSAccessRights)], [.opens]
      ),
      DumpRow(
        .bhyvectl, .any, "cs desc[#] 0x%16/0x%8/0x%8",
        [.other(.virtualProcessor), .field(.guestCSBase), .field(.guestCSLimit), .field(.guestCSAccessRights)], [.opens]
      ),
      DumpRow(
        .bhyvectl, .any, "tr desc[#] 0x%16/0x%8/0x%8",
        [.other(.virtualProcessor), .field(.guestTRBase), .field(.guestTRLimit), .field(.guestTRAccessRights)], [.opens]
      ),
      DumpRow(
        .bhyvectl, .any, "ldtr desc[#] 0x%16/0x%8/0x%8",
        [.other(.virtualProcessor), .field(.guestLDTRBase), .field(.guestLDTRLimit), .field(.guestLDTRAccessRights)],
        [.opens]),
      DumpRow(
        .bhyvectl, .any, "gdtr[#] 0x%16/0x%8",
        [.other(.virtualProcessor), .field(.guestGDTRBase), .field(.guestGDTRLimit)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "idtr[#] 0x%16/0x%8",
        [.other(.virtualProcessor), .field(.guestIDTRBase), .field(.guestIDTRLimit)], [.opens]),
      DumpRow(.bhyvectl, .any, "cs[#] 0x%4", [.other(.virtualProcessor), .field(.guestCSSelector)], [.opens]),
      DumpRow(.bhyvectl, .any, "ds[#] 0x%4", [.other(.virtualProcessor), .field(.guestDSSelector)], [.opens]),
      DumpRow(.bhyvectl, .any, "es[#] 0x%4", [.other(.virtualProcessor), .field(.guestESSelector)], [.opens]),
      DumpRow(.bhyvectl, .any, "fs[#] 0x%4", [.other(.virtualProcessor), .field(.guestFSSelector)], [.opens]),
      DumpRow(.bhyvectl, .any, "gs[#] 0x%4", [.other(.virtualProcessor), .field(.guestGSSelector)], [.opens]),
      DumpRow(.bhyvectl, .any, "ss[#] 0x%4", [.other(.virtualProcessor), .field(.guestSSSelector)], [.opens]),
      DumpRow(.bhyvectl, .any, "tr[#] 0x%4", [.other(.virtualProcessor), .field(.guestTRSelector)], [.opens]),
      DumpRow(.bhyvectl, .any, "ldtr[#] 0x%4", [.other(.virtualProcessor), .field(.guestLDTRSelector)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr0_mask[#] 0x%4", [.other(.virtualProcessor), .field(.cr0GuestHostMask)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr0_shadow[#] 0x%4", [.other(.virtualProcessor), .field(.cr0ReadShadow)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr4_mask[#] 0x%4", [.other(.virtualProcessor), .field(.cr4GuestHostMask)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr4_shadow[#] 0x%4", [.other(.virtualProcessor), .field(.cr4ReadShadow)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "cr3_target_count[#] 0x%4", [.other(.virtualProcessor), .field(.cr3TargetCount)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr3_target0[#] 0x%4", [.other(.virtualProcessor), .field(.cr3TargetValue0)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr3_target1[#] 0x%4", [.other(.virtualProcessor), .field(.cr3TargetValue1)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr3_target2[#] 0x%4", [.other(.virtualProcessor), .field(.cr3TargetValue2)], [.opens]),
      DumpRow(.bhyvectl, .any, "cr3_target3[#] 0x%4", [.other(.virtualProcessor), .field(.cr3TargetValue3)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "pinbased_ctls[#] 0x%4", [.other(.virtualProcessor), .field(.pinBasedVMExecutionControls)],
        [.opens]),
      DumpRow(
        .bhyvectl, .any, "procbased_ctls[#] 0x%4",
        [.other(.virtualProcessor), .field(.primaryProcessorBasedVMExecutionControls)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "procbased_ctls2[#] 0x%4",
        [.other(.virtualProcessor), .field(.secondaryProcessorBasedVMExecutionControls)], [.opens]),
      DumpRow(.bhyvectl, .any, "gla[#] 0x%4", [.other(.virtualProcessor), .field(.guestLinearAddress)], [.opens]),
      DumpRow(.bhyvectl, .any, "gpa[#] 0x%4", [.other(.virtualProcessor), .field(.guestPhysicalAddress)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "entry_interruption_info[#] 0x%4",
        [.other(.virtualProcessor), .field(.vmEntryInterruptionInformation)], [.opens]),
      DumpRow(.bhyvectl, .any, "tpr_threshold[#] 0x%4", [.other(.virtualProcessor), .field(.tprThreshold)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "instruction_error[#] 0x%4", [.other(.virtualProcessor), .field(.vmInstructionError)], [.opens]
      ),
      DumpRow(
        .bhyvectl, .any, "exit_ctls[#] 0x%4", [.other(.virtualProcessor), .field(.primaryVMExitControls)], [.opens]),
      DumpRow(.bhyvectl, .any, "entry_ctls[#] 0x%4", [.other(.virtualProcessor), .field(.vmEntryControls)], [.opens]),
      DumpRow(.bhyvectl, .any, "host_pat[#] 0x%4", [.other(.virtualProcessor), .field(.hostIA32PAT)], [.opens]),
      DumpRow(.bhyvectl, .any, "host_cr0[#] 0x%4", [.other(.virtualProcessor), .field(.hostCR0)], [.opens]),
      DumpRow(.bhyvectl, .any, "host_cr3[#] 0x%4", [.other(.virtualProcessor), .field(.hostCR3)], [.opens]),
      DumpRow(.bhyvectl, .any, "host_cr4[#] 0x%4", [.other(.virtualProcessor), .field(.hostCR4)], [.opens]),
      DumpRow(.bhyvectl, .any, "host_rip[#] 0x%4", [.other(.virtualProcessor), .field(.hostRIP)], [.opens]),
      DumpRow(.bhyvectl, .any, "host_rsp[#] 0x%4", [.other(.virtualProcessor), .field(.hostRSP)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "vmcs_pointer[#] 0x%4", [.other(.virtualProcessor), .field(.vmcsLinkPointer)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "vmcs_exit_interruption_info[#] 0x%4",
        [.other(.virtualProcessor), .field(.vmExitInterruptionInformation)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "vmcs_exit_interruption_error[#] 0x%4",
        [.other(.virtualProcessor), .field(.vmExitInterruptionErrorCode)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "vmcs_guest_interruptibility[#] 0x%4",
        [.other(.virtualProcessor), .field(.guestInterruptibilityState)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "vmcs_exit_inst_length[#] 0x%4",
        [.other(.virtualProcessor), .field(.vmExitInstructionLength)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "vmcs_exit_qualification[#] 0x%4", [.other(.virtualProcessor), .field(.exitQualification)],
        [.opens]),
      DumpRow(.bhyvectl, .any, "exit_reason[#] 0x%4", [.other(.virtualProcessor), .field(.exitReason)], [.opens]),
      DumpRow(.bhyvectl, .any, "eptp[#] 0x%4", [.other(.virtualProcessor), .field(.eptPointer)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "exception_bitmap[#] 0x%4", [.other(.virtualProcessor), .field(.exceptionBitmap)], [.opens]),
      DumpRow(.bhyvectl, .any, "tsc_offset[#] 0x%4", [.other(.virtualProcessor), .field(.tscOffset)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "vpid[#] 0x%4", [.other(.virtualProcessor), .field(.virtualProcessorIdentifier)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "io_bitmap_a[#] 0x%4", [.other(.virtualProcessor), .field(.ioBitmapAAddress)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "io_bitmap_b[#] 0x%4", [.other(.virtualProcessor), .field(.ioBitmapBAddress)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "msr_bitmap[#] 0x%4", [.other(.virtualProcessor), .field(.msrBitmapsAddress)], [.opens]),
      DumpRow(.bhyvectl, .any, "guest_pat[#] 0x%4", [.other(.virtualProcessor), .field(.guestIA32PAT)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "guest_sysenter_cs[#] 0x%4", [.other(.virtualProcessor), .field(.guestIA32SYSENTERCS)],
        [.opens]),
      DumpRow(
        .bhyvectl, .any, "guest_sysenter_sp[#] 0x%4", [.other(.virtualProcessor), .field(.guestIA32SYSENTERESP)],
        [.opens]),
      DumpRow(
        .bhyvectl, .any, "guest_sysenter_ip[#] 0x%4", [.other(.virtualProcessor), .field(.guestIA32SYSENTEREIP)],
        [.opens]),
      DumpRow(
        .bhyvectl, .any, "virtual_apic[#] 0x%4", [.other(.virtualProcessor), .field(.virtualAPICAddress)], [.opens]),
      DumpRow(
        .bhyvectl, .any, "apic_access[#] 0x%4", [.other(.virtualProcessor), .field(.apicAccessAddress)], [.opens]),
    ]
  }
}
