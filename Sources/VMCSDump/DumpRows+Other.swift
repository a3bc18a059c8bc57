import VMCS

extension DumpRows {
  /// The forms that name fields by encoding, Skep's report, messages, and what gives an AMD processor away.
  static var other: [DumpRow] {
    [
      DumpRow(.haxm, .any, "%4 @: %1", [.other(.encoding), .other(.value)], [.opens, .repeats]),
      DumpRow(.skep, .any, "0x%4 @ 0x%4 &", [.other(.encoding), .other(.value)], [.opens, .repeats]),
      DumpRow(
        .skep, .any, "VM entry failed: exit reason #, &", [.other(.entryFailureReason)], [.opens, .begins]),
      DumpRow(
        .skep, .any, "VM entry failed: VM-instruction error #, &", [.claim(.instructionError)], [.opens, .begins]),
      DumpRow(
        .skep, .any, "the checks that failed, in the order in which the processor makes them:", [], [.beginsReport]),
      DumpRow(
        .skep, .any, "# failed; # could not be decided, since they are about &", [.ignored, .ignored], [.endsReport]),
      DumpRow(.skep, .any, "RAX 0x%16", [.ignored], [.opens]),
      DumpRow(.skep, .any, "RBX 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "RCX 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "RDX 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "RSI 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "RDI 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "RBP 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "R8 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "R9 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "R10 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "R11 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "R12 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "R13 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "R14 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "R15 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "CR2 0x%16", [.ignored], [.joins]),
      DumpRow(.skep, .any, "RSP 0x%16", [.field(.guestRSP)], [.joins]),
      DumpRow(.skep, .any, "RIP 0x%16", [.field(.guestRIP)], [.joins]),
      DumpRow(.skep, .any, "RFL 0x%16", [.field(.guestRFLAGS)], [.joins]),
      DumpRow(.skep, .any, "CR0 0x%16", [.field(.guestCR0)], [.joins]),
      DumpRow(.skep, .any, "CR3 0x%16", [.field(.guestCR3)], [.joins]),
      DumpRow(.skep, .any, "CR4 0x%16", [.field(.guestCR4)], [.joins]),
      DumpRow(.skep, .any, "DR7 0x%16", [.field(.guestDR7)], [.joins]),
      DumpRow(.skep, .any, "EFR 0x%16", [.field(.guestIA32EFER)], [.joins]),
      DumpRow(.skep, .any, "selector base limit access rights"),
      DumpRow(
        .skep, .any, "ES 0x%4 0x%16 0x%8 0x%5",
        [.field(.guestESSelector), .field(.guestESBase), .field(.guestESLimit), .field(.guestESAccessRights)]),
      DumpRow(
        .skep, .any, "CS 0x%4 0x%16 0x%8 0x%5",
        [.field(.guestCSSelector), .field(.guestCSBase), .field(.guestCSLimit), .field(.guestCSAccessRights)]),
      DumpRow(
        .skep, .any, "SS 0x%4 0x%16 0x%8 0x%5",
        [.field(.guestSSSelector), .field(.guestSSBase), .field(.guestSSLimit), .field(.guestSSAccessRights)]),
      DumpRow(
        .skep, .any, "DS 0x%4 0x%16 0x%8 0x%5",
        [.field(.guestDSSelector), .field(.guestDSBase), .field(.guestDSLimit), .field(.guestDSAccessRights)]),
      DumpRow(
        .skep, .any, "FS 0x%4 0x%16 0x%8 0x%5",
        [.field(.guestFSSelector), .field(.guestFSBase), .field(.guestFSLimit), .field(.guestFSAccessRights)]),
      DumpRow(
        .skep, .any, "GS 0x%4 0x%16 0x%8 0x%5",
        [.field(.guestGSSelector), .field(.guestGSBase), .field(.guestGSLimit), .field(.guestGSAccessRights)]),
      DumpRow(
        .skep, .any, "LDTR 0x%4 0x%16 0x%8 0x%5",
        [.field(.guestLDTRSelector), .field(.guestLDTRBase), .field(.guestLDTRLimit), .field(.guestLDTRAccessRights)]),
      DumpRow(
        .skep, .any, "TR 0x%4 0x%16 0x%8 0x%5",
        [.field(.guestTRSelector), .field(.guestTRBase), .field(.guestTRLimit), .field(.guestTRAccessRights)]),
      DumpRow(.skep, .any, "GDTR 0x%16 0x%8", [.field(.guestGDTRBase), .field(.guestGDTRLimit)]),
      DumpRow(.skep, .any, "IDTR 0x%16 0x%8", [.field(.guestIDTRBase), .field(.guestIDTRLimit)]),
      DumpRow(.vmwrite, .any, "vmwrite(0x%1, 0x%1);", [.other(.encoding), .other(.value)], [.opens, .repeats]),
      DumpRow(.vmcb, .any, "VMCB @, last attempted VMRUN on CPU #", [.ignored], [.opens, .begins]),
      DumpRow(.vmcb, .any, "VMCB Control Area:", [], [.opens]),
      DumpRow(.vmcb, .any, "VMCB State Save Area:", [], [.opens]),
      DumpRow(.vmcb, .any, "cr_intercept[#] 0x%1", [.ignored, .ignored], [.opens]),
      DumpRow(.vmcb, .any, "exc_intercept[#] 0x%1", [.ignored, .ignored], [.opens]),
      DumpRow(.vmcb, .any, "exitinfo1[#] 0x%1", [.ignored, .ignored], [.opens]),
      DumpRow(.vmcb, .any, "exitintinfo[#] 0x%1", [.ignored, .ignored], [.opens]),
    ]
  }
}
