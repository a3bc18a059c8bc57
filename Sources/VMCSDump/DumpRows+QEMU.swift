import VMCS

extension DumpRows {
  /// The registers that QEMU prints, in its order: in 64-bit form, or cut to 32 bits.
  static var qemu: [DumpRow] {
    [
      DumpRow(.qemu, .claim, "KVM: entry failed, hardware error 0x%1", [.claim(.hardwareError)], [.begins, .opens]),
      DumpRow(.qemu, .claim, "If you're running a guest on an Intel machine without unrestricted mode"),
      DumpRow(.qemu, .claim, "support, the failure can be most likely due to the guest entering an invalid"),
      DumpRow(.qemu, .claim, "state for Intel VT. For example, the guest maybe running in big real mode"),
      DumpRow(.qemu, .claim, "which is not supported on less recent Intel processors."),
      DumpRow(.qemu, .any, "RAX=%16 RBX=%16 RCX=%16 RDX=%16", [.ignored, .ignored, .ignored, .ignored], [.opens]),
      DumpRow(
        .qemu, .any, "RSI=%16 RDI=%16 RBP=%16 RSP=%16", [.ignored, .ignored, .ignored, .field(.guestRSP)], [.opens]),
      DumpRow(.qemu, .any, "EAX=%8 EBX=%8 ECX=%8 EDX=%8", [.ignored, .ignored, .ignored, .ignored], [.opens]),
      DumpRow(
        .qemu, .any, "ESI=%8 EDI=%8 EBP=%8 ESP=%8", [.ignored, .ignored, .ignored, .truncated(.guestRSP)], [.opens]),
      DumpRow(.qemu, .any, "R8 =%16 R9 =%16 R10=%16 R11=%16", [.ignored, .ignored, .ignored, .ignored]),
      DumpRow(.qemu, .any, "R12=%16 R13=%16 R14=%16 R15=%16", [.ignored, .ignored, .ignored, .ignored]),
      DumpRow(
        .qemu, .any, "RIP=%16 RFL=%8 ^ CPL=# II=# A20=# SMM=# HLT=#",
        [.field(.guestRIP), .field(.guestRFLAGS), .ignored, .ignored, .ignored, .other(.smm), .ignored], [.opens]),
      DumpRow(
        .qemu, .any, "EIP=%8 EFL=%8 ^ CPL=# II=# A20=# SMM=# HLT=#",
        [.truncated(.guestRIP), .field(.guestRFLAGS), .ignored, .ignored, .ignored, .other(.smm), .ignored], [.opens]),
      DumpRow(
        .qemu, .any, "ES =%4 %16 %8 %8 &",
        [.field(.guestESSelector), .field(.guestESBase), .field(.guestESLimit), .descriptorFlags(.guestESAccessRights)]),
      DumpRow(
        .qemu, .any, "ES =%4 %8 %8 %8 &",
        [
          .field(.guestESSelector), .truncated(.guestESBase), .field(.guestESLimit),
          .descriptorFlags(.guestESAccessRights),
        ]),
      DumpRow(
        .qemu, .any, "CS =%4 %16 %8 %8 &",
        [.field(.guestCSSelector), .field(.guestCSBase), .field(.guestCSLimit), .descriptorFlags(.guestCSAccessRights)]),
      DumpRow(
        .qemu, .any, "CS =%4 %8 %8 %8 &",
        [
          .field(.guestCSSelector), .truncated(.guestCSBase), .field(.guestCSLimit),
          .descriptorFlags(.guestCSAccessRights),
        ]),
      DumpRow(
        .qemu, .any, "SS =%4 %16 %8 %8 &",
        [.field(.guestSSSelector), .field(.guestSSBase), .field(.guestSSLimit), .descriptorFlags(.guestSSAccessRights)]),
      DumpRow(
        .qemu, .any, "SS =%4 %8 %8 %8 &",
        [
          .field(.guestSSSelector), .truncated(.guestSSBase), .field(.guestSSLimit),
          .descriptorFlags(.guestSSAccessRights),
        ]),
      DumpRow(
        .qemu, .any, "DS =%4 %16 %8 %8 &",
        [.field(.guestDSSelector), .field(.guestDSBase), .field(.guestDSLimit), .descriptorFlags(.guestDSAccessRights)]),
      DumpRow(
        .qemu, .any, "DS =%4 %8 %8 %8 &",
        [
          .field(.guestDSSelector), .truncated(.guestDSBase), .field(.guestDSLimit),
          .descriptorFlags(.guestDSAccessRights),
        ]),
      DumpRow(
        .qemu, .any, "FS =%4 %16 %8 %8 &",
        [.field(.guestFSSelector), .field(.guestFSBase), .field(.guestFSLimit), .descriptorFlags(.guestFSAccessRights)]),
      DumpRow(
        .qemu, .any, "FS =%4 %8 %8 %8 &",
        [
          .field(.guestFSSelector), .truncated(.guestFSBase), .field(.guestFSLimit),
          .descriptorFlags(.guestFSAccessRights),
        ]),
      DumpRow(
        .qemu, .any, "GS =%4 %16 %8 %8 &",
        [.field(.guestGSSelector), .field(.guestGSBase), .field(.guestGSLimit), .descriptorFlags(.guestGSAccessRights)]),
      DumpRow(
        .qemu, .any, "GS =%4 %8 %8 %8 &",
        [
          .field(.guestGSSelector), .truncated(.guestGSBase), .field(.guestGSLimit),
          .descriptorFlags(.guestGSAccessRights),
        ]),
      DumpRow(
        .qemu, .any, "LDT =%4 %16 %8 %8 &",
        [
          .field(.guestLDTRSelector), .field(.guestLDTRBase), .field(.guestLDTRLimit),
          .descriptorFlags(.guestLDTRAccessRights),
        ]),
      DumpRow(
        .qemu, .any, "LDT =%4 %8 %8 %8 &",
        [
          .field(.guestLDTRSelector), .truncated(.guestLDTRBase), .field(.guestLDTRLimit),
          .descriptorFlags(.guestLDTRAccessRights),
        ]),
      DumpRow(
        .qemu, .any, "TR =%4 %16 %8 %8 &",
        [.field(.guestTRSelector), .field(.guestTRBase), .field(.guestTRLimit), .descriptorFlags(.guestTRAccessRights)]),
      DumpRow(
        .qemu, .any, "TR =%4 %8 %8 %8 &",
        [
          .field(.guestTRSelector), .truncated(.guestTRBase), .field(.guestTRLimit),
          .descriptorFlags(.guestTRAccessRights),
        ]),
      DumpRow(.qemu, .any, "GDT= %16 %8", [.field(.guestGDTRBase), .field(.guestGDTRLimit)]),
      DumpRow(.qemu, .any, "GDT= %8 %8", [.truncated(.guestGDTRBase), .field(.guestGDTRLimit)]),
      DumpRow(.qemu, .any, "IDT= %16 %8", [.field(.guestIDTRBase), .field(.guestIDTRLimit)]),
      DumpRow(.qemu, .any, "IDT= %8 %8", [.truncated(.guestIDTRBase), .field(.guestIDTRLimit)]),
      DumpRow(
        .qemu, .any, "CR0=%8 CR2=%8 CR3=%8 CR4=%8", [.view(.guestCR0), .ignored, .view(.guestCR3), .view(.guestCR4)]),
      DumpRow(.qemu, .any, "DR0=%8 DR1=%8 DR2=%8 DR3=%8", [.ignored, .ignored, .ignored, .ignored]),
      DumpRow(.qemu, .any, "DR6=%8 DR7=%16", [.ignored, .field(.guestDR7)]),
      DumpRow(.qemu, .any, "EFER=%16", [.view(.guestIA32EFER)]),
      DumpRow(.qemu, .any, "Code=&"),
    ]
  }
}
