import VMCS

extension EntryCheckPass {
  /// The checks on the access rights of CS, SS, DS, ES, FS and GS if the guest will not be virtual-8086, bit by bit as the
  /// SDM lists them.
  mutating func guestAccessRights() {
    guestTypes()
    eachSegment { checks, segment in
      checks.accessRights(
        "guest.%.access-rights.s", "S (bit 4) of the % access rights is 1 if % is usable.", segment, 1 << 4, ~0)
    }
    guestDPLs()
    eachSegment { checks, segment in
      checks.accessRights(
        "guest.%.access-rights.p", "P (bit 7) of the % access rights is 1 if % is usable.", segment, 1 << 7, ~0)
    }
    eachSegment { checks, segment in
      checks.accessRights(
        "guest.%.access-rights.bits-11-8", "Bits 11:8 of the % access rights are 0 if % is usable.", segment, 0xF00, 0)
    }
    check(
      "guest.cs.access-rights.db",
      "D/B (bit 14) of the CS access rights is 0 if the guest will be in IA-32e mode and L (bit 13) is 1.",
      reads: "guestCSAccessRights vmEntryControls guestRFLAGS"
    ) { vmcs in
      guard vmcs[.guestCSAccessRights].l, !vmcs.isVirtual8086, vmcs.entry(.ia32eModeGuest) else { return nil }
      return vmcs.requireClear(.guestCSAccessRights, 1 << 14)
    }
    eachSegment { checks, segment in checks.granularity(segment) }
    eachSegment { checks, segment in
      checks.accessRights(
        "guest.%.access-rights.bits-31-17", "Bits 31:17 of the % access rights are 0 if % is usable.", segment,
        ~0 << 17, 0)
    }
  }

  /// A check that the bits of `mask` of a segment's access rights are those of `required`, outside virtual-8086 mode.
  private mutating func accessRights(
    _ id: StaticString, _ statement: StaticString, _ segment: GuestSegmentFields, _ mask: UInt64, _ required: UInt64
  ) {
    check(id, statement, reads: "guest%AccessRights guestRFLAGS", for: segment.name) {
      $0.isChecked(segment) ? $0.require(segment.accessRights, mask & 0xFFFF_FFFF, required) : nil
    }
  }

  private mutating func granularity(_ segment: GuestSegmentFields) {
    check(
      "guest.%.access-rights.g-clear",
      "G (bit 15) of the % access rights is 0 if % is usable and any bit of limit bits 11:0 is 0.",
      reads: "guest%AccessRights guest%Limit guestRFLAGS", for: segment.name
    ) { $0.isChecked(segment) ? $0.requireGranularityClear(segment) : nil }
    check(
      "guest.%.access-rights.g-set",
      "G (bit 15) of the % access rights is 1 if % is usable and any bit of limit bits 31:20 is 1.",
      reads: "guest%AccessRights guest%Limit guestRFLAGS", for: segment.name
    ) { $0.isChecked(segment) ? $0.requireGranularitySet(segment) : nil }
  }

  private mutating func guestTypes() {
    check(
      "guest.cs.access-rights.type",
      "The type of CS is 9, 11, 13 or 15 (accessed code segment), or 3 if “unrestricted guest” is 1.",
      reads: """
        guestCSAccessRights guestRFLAGS primaryProcessorBasedVMExecutionControls \
        secondaryProcessorBasedVMExecutionControls
        """
    ) { vmcs in
      let type = vmcs[.guestCSAccessRights].type
      if type & 9 == 9 || vmcs.isVirtual8086 { return nil }
      if type == 3, vmcs.secondary(.unrestrictedGuest) { return nil }
      return vmcs.finding(.guestCSAccessRights, 0xF, required: UInt64(type | 9))
    }
    check(
      "guest.ss.access-rights.type", "The type of SS is 3 or 7 (read/write, accessed data segment) if SS is usable.",
      reads: "guestSSAccessRights guestRFLAGS"
    ) { $0.isChecked(.ss) ? $0.require(.guestSSAccessRights, 0xB, 3) : nil }
    eachDataSegment { checks, segment in
      checks.check(
        "guest.%.access-rights.type-accessed", "Bit 0 (accessed) of the type of % is 1 if % is usable.",
        reads: "guest%AccessRights guestRFLAGS", for: segment.name
      ) { $0.isChecked(segment) ? $0.require(segment.accessRights, 1, 1) : nil }
      checks.check(
        "guest.%.access-rights.type-readable",
        "Bit 1 (readable) of the type of % is 1 if bit 3 (code segment) is 1 and % is usable.",
        reads: "guest%AccessRights guestRFLAGS", for: segment.name
      ) { vmcs in
        guard vmcs[segment.accessRights].type & 8 != 0, vmcs.isChecked(segment) else { return nil }
        return vmcs.require(segment.accessRights, 2, 2)
      }
    }
  }

  private mutating func guestDPLs() {
    check(
      "guest.cs.access-rights.dpl.type-3", "DPL of CS is 0 if the type of CS is 3.",
      reads: "guestCSAccessRights guestRFLAGS"
    ) { vmcs in
      guard vmcs[.guestCSAccessRights].type == 3, !vmcs.isVirtual8086 else { return nil }
      return vmcs.requireClear(.guestCSAccessRights, 0x60)
    }
    check(
      "guest.cs.access-rights.dpl.non-conforming",
      "DPL of CS equals DPL of SS if the type of CS is 9 or 11 (non-conforming code segment).",
      reads: "guestCSAccessRights guestSSAccessRights guestRFLAGS"
    ) { vmcs in
      guard vmcs[.guestCSAccessRights].type & 0xD == 9, !vmcs.isVirtual8086 else { return nil }
      return vmcs.require(.guestCSAccessRights, 0x60, vmcs.bits(.guestSSAccessRights))
    }
    check(
      "guest.cs.access-rights.dpl.conforming",
      "DPL of CS is not greater than DPL of SS if the type of CS is 13 or 15 (conforming code segment).",
      reads: "guestCSAccessRights guestSSAccessRights guestRFLAGS"
    ) { vmcs in
      let cs = vmcs[.guestCSAccessRights]
      guard cs.type & 0xD == 0xD, !vmcs.isVirtual8086, cs.dpl > vmcs[.guestSSAccessRights].dpl else { return nil }
      return vmcs.finding(.guestCSAccessRights, 0x60, required: vmcs.bits(.guestSSAccessRights))
    }
    check(
      "guest.ss.access-rights.dpl.rpl", "DPL of SS equals RPL of the SS selector if “unrestricted guest” is 0.",
      reads: """
        guestSSAccessRights guestSSSelector guestRFLAGS primaryProcessorBasedVMExecutionControls \
        secondaryProcessorBasedVMExecutionControls
        """
    ) { vmcs in
      if vmcs.isVirtual8086 || vmcs.secondary(.unrestrictedGuest) { return nil }
      return vmcs.require(.guestSSAccessRights, 0x60, vmcs.bits(.guestSSSelector) << 5)
    }
    check(
      "guest.ss.access-rights.dpl.privileged", "DPL of SS is 0 if the type of CS is 3 or CR0.PE is 0.",
      reads: "guestSSAccessRights guestCSAccessRights guestCR0 guestRFLAGS"
    ) { vmcs in
      if vmcs[.guestSSAccessRights].dpl == 0 || vmcs.isVirtual8086 { return nil }
      if vmcs[.guestCSAccessRights].type != 3, vmcs[.guestCR0].pe { return nil }
      return vmcs.requireClear(.guestSSAccessRights, 0x60)
    }
    eachDataSegment { checks, segment in
      checks.check(
        "guest.%.access-rights.dpl",
        """
        DPL of % is not less than RPL of the % selector if “unrestricted guest” is 0, % is usable and its type is 0 to 11 \
        (data segment or non-conforming code segment).
        """,
        reads: """
          guest%AccessRights guest%Selector guestRFLAGS primaryProcessorBasedVMExecutionControls \
          secondaryProcessorBasedVMExecutionControls
          """, for: segment.name
      ) { vmcs in
        let (rights, rpl) = (vmcs[segment.accessRights], vmcs[segment.selector].rpl)
        if rights.type > 11 || UInt16(rights.dpl) >= UInt16(rpl) { return nil }
        guard vmcs.isChecked(segment), !vmcs.secondary(.unrestrictedGuest) else { return nil }
        return vmcs.finding(segment.accessRights, 0x60, required: UInt64(rpl) << 5)
      }
    }
    fredPrivilegeLevels()
  }

  private mutating func fredPrivilegeLevels() {
    check(
      "guest.ss.access-rights.dpl.fred", "DPL of SS is 0 or 3 if CR4.FRED is 1.",
      reads: "guestSSAccessRights guestCR4 vmEntryControls"
    ) { vmcs in
      let dpl = vmcs[.guestSSAccessRights].dpl
      guard dpl == 1 || dpl == 2, vmcs.guestUsesFRED else { return nil }
      return vmcs.finding(.guestSSAccessRights, 0x60, required: dpl == 1 ? 0 : 0x60)
    }
    check(
      "guest.cs.access-rights.l.fred", "L (bit 13) of the CS access rights is 1 if CR4.FRED is 1 and DPL of SS is 0.",
      reads: "guestCSAccessRights guestSSAccessRights guestCR4 vmEntryControls"
    ) { vmcs in
      guard vmcs[.guestSSAccessRights].dpl == 0, vmcs.guestUsesFRED else { return nil }
      return vmcs.require(.guestCSAccessRights, 1 << 13, 1 << 13)
    }
  }
}

extension EntryInputs {
  /// Requires G to be 0 if any bit of limit bits 11:0 is 0.
  mutating func requireGranularityClear(_ segment: GuestSegmentFields) -> EntryFinding? {
    guard self[segment.accessRights].g, bits(segment.limit) & 0xFFF != 0xFFF else { return nil }
    // With limit bits 31:20 set too, clearing G would break the other rule.
    if bits(segment.limit) >> 20 != 0 { return require(segment.limit, 0xFFF, 0xFFF) }
    return requireClear(segment.accessRights, 1 << 15)
  }

  /// Requires G to be 1 if any bit of limit bits 31:20 is 1.
  mutating func requireGranularitySet(_ segment: GuestSegmentFields) -> EntryFinding? {
    guard !self[segment.accessRights].g, bits(segment.limit) >> 20 != 0 else { return nil }
    return require(segment.accessRights, 1 << 15, 1 << 15)
  }
}
