import VMCS

extension EntryCheckPass {
  /// The checks on the access rights of TR.
  mutating func guestTR() {
    check(
      "guest.tr.access-rights.type",
      "The type of TR is 11 (busy TSS), or 3 (16-bit busy TSS) if the guest will not be in IA-32e mode.",
      reads: "guestTRAccessRights vmEntryControls"
    ) { vmcs in
      let type = vmcs[.guestTRAccessRights].type
      if type == 11 || type == 3 && !vmcs.entry(.ia32eModeGuest) { return nil }
      return vmcs.finding(.guestTRAccessRights, 0xF, required: 11)
    }
    systemSegment(.tr) { _ in true }
    check(
      "guest.tr.access-rights.unusable", "Bit 16 (unusable) of the TR access rights is 0.", reads: "guestTRAccessRights"
    ) { $0.requireClear(.guestTRAccessRights, 1 << 16) }
    check(
      "guest.tr.access-rights.bits-31-17", "Bits 31:17 of the TR access rights are 0.", reads: "guestTRAccessRights"
    ) { $0.requireClear(.guestTRAccessRights, 0xFFFE_0000) }
  }

  /// The checks on the access rights of LDTR, if it is usable.
  mutating func guestLDTR() {
    check(
      "guest.ldtr.access-rights.type", "The type of LDTR is 2 (LDT) if LDTR is usable.", reads: "guestLDTRAccessRights"
    ) { $0.isUsable(.ldtr) ? $0.require(.guestLDTRAccessRights, 0xF, 2) : nil }
    systemSegment(.ldtr) { $0.isUsable(.ldtr) }
    check(
      "guest.ldtr.access-rights.bits-31-17", "Bits 31:17 of the LDTR access rights are 0 if LDTR is usable.",
      reads: "guestLDTRAccessRights"
    ) { $0.isUsable(.ldtr) ? $0.requireClear(.guestLDTRAccessRights, 0xFFFE_0000) : nil }
  }

  /// The checks that TR and LDTR have in common.
  private mutating func systemSegment(_ segment: GuestSegmentFields, if isChecked: (inout Inputs) -> Bool) {
    check(
      "guest.%.access-rights.s", "S (bit 4) of the % access rights is 0 if % is usable.", reads: "guest%AccessRights",
      for: segment.name
    ) { isChecked(&$0) ? $0.requireClear(segment.accessRights, 1 << 4) : nil }
    check(
      "guest.%.access-rights.p", "P (bit 7) of the % access rights is 1 if % is usable.", reads: "guest%AccessRights",
      for: segment.name
    ) { isChecked(&$0) ? $0.require(segment.accessRights, 1 << 7, 1 << 7) : nil }
    check(
      "guest.%.access-rights.bits-11-8", "Bits 11:8 of the % access rights are 0 if % is usable.",
      reads: "guest%AccessRights", for: segment.name
    ) { isChecked(&$0) ? $0.requireClear(segment.accessRights, 0xF00) : nil }
    check(
      "guest.%.access-rights.g-clear",
      "G (bit 15) of the % access rights is 0 if % is usable and any bit of limit bits 11:0 is 0.",
      reads: "guest%AccessRights guest%Limit", for: segment.name
    ) { isChecked(&$0) ? $0.requireGranularityClear(segment) : nil }
    check(
      "guest.%.access-rights.g-set",
      "G (bit 15) of the % access rights is 1 if % is usable and any bit of limit bits 31:20 is 1.",
      reads: "guest%AccessRights guest%Limit", for: segment.name
    ) { isChecked(&$0) ? $0.requireGranularitySet(segment) : nil }
  }
}
