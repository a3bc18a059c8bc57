import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on Guest Segment Registers", in the order of its list: selectors, base addresses, limits, access rights.
  mutating func guestSegmentRegisters() {
    section = .guestSegmentRegisters
    guestSelectors()
    guestBases()
    eachSegment { $0.virtual8086Limit($1) }
    eachSegment { $0.virtual8086AccessRights($1) }
    guestAccessRights()
    guestTR()
    guestLDTR()
  }

  /// Calls `body` with CS, SS, DS, ES, FS and GS.
  mutating func eachSegment(_ body: (inout Self, GuestSegmentFields) -> Void) {
    body(&self, .cs)
    body(&self, .ss)
    eachDataSegment(body)
  }

  /// Calls `body` with DS, ES, FS and GS.
  mutating func eachDataSegment(_ body: (inout Self, GuestSegmentFields) -> Void) {
    body(&self, .ds)
    body(&self, .es)
    body(&self, .fs)
    body(&self, .gs)
  }

  private mutating func guestSelectors() {
    check("guest.tr.selector.ti", "TI (bit 2) of the TR selector is 0.", reads: "guestTRSelector") {
      $0.requireClear(.guestTRSelector, 4)
    }
    check(
      "guest.ldtr.selector.ti", "TI (bit 2) of the LDTR selector is 0 if LDTR is usable.",
      reads: "guestLDTRSelector guestLDTRAccessRights"
    ) { $0.isUsable(.ldtr) ? $0.requireClear(.guestLDTRSelector, 4) : nil }
    check(
      "guest.ss.selector.rpl",
      """
      RPL of the SS selector equals RPL of the CS selector if the guest will not be virtual-8086 and “unrestricted guest” \
      is 0.
      """,
      reads: """
        guestSSSelector guestCSSelector guestRFLAGS primaryProcessorBasedVMExecutionControls \
        secondaryProcessorBasedVMExecutionControls
        """
    ) { vmcs in
      if vmcs.isVirtual8086 || vmcs.secondary(.unrestrictedGuest) { return nil }
      return vmcs.require(.guestSSSelector, 3, vmcs.bits(.guestCSSelector))
    }
  }

  private mutating func guestBases() {
    eachSegment { checks, segment in
      checks.check(
        "guest.%.base.virtual-8086",
        "The % base is the selector shifted left by 4 bits if the guest will be virtual-8086.",
        reads: "guest%Base guest%Selector guestRFLAGS", for: segment.name
      ) { vmcs in
        guard vmcs.isVirtual8086 else { return nil }
        return vmcs.require(segment.base, ~0, vmcs.bits(segment.selector) << 4)
      }
    }

    canonicalBase(.tr, "The % base contains a canonical address.", reads: "guest%Base cpuid80000008EAX") { _ in true }
    canonicalBase(.fs, "The % base contains a canonical address.", reads: "guest%Base cpuid80000008EAX") { _ in true }
    canonicalBase(.gs, "The % base contains a canonical address.", reads: "guest%Base cpuid80000008EAX") { _ in true }
    canonicalBase(
      .ldtr, "The % base contains a canonical address if % is usable.",
      reads: "guest%Base guest%AccessRights cpuid80000008EAX"
    ) { $0.isUsable(.ldtr) }

    check("guest.cs.base.bits-63-32", "Bits 63:32 of the CS base are 0.", reads: "guestCSBase") {
      $0.requireClear(.guestCSBase, ~0 << 32)
    }
    highBase(.ss)
    highBase(.ds)
    highBase(.es)
  }

  private mutating func canonicalBase(
    _ segment: GuestSegmentFields, _ statement: StaticString, reads names: StaticString,
    if isChecked: (inout Inputs) -> Bool
  ) {
    check("guest.%.base.canonical", statement, reads: names, for: segment.name) {
      isChecked(&$0) ? $0.requireCanonical(segment.base) : nil
    }
  }

  private mutating func highBase(_ segment: GuestSegmentFields) {
    check(
      "guest.%.base.bits-63-32", "Bits 63:32 of the % base are 0 if % is usable.",
      reads: "guest%Base guest%AccessRights",
      for: segment.name
    ) { $0.isUsable(segment) ? $0.requireClear(segment.base, ~0 << 32) : nil }
  }

  private mutating func virtual8086Limit(_ segment: GuestSegmentFields) {
    check(
      "guest.%.limit.virtual-8086", "The % limit is 0000FFFFH if the guest will be virtual-8086.",
      reads: "guest%Limit guestRFLAGS", for: segment.name
    ) { $0.isVirtual8086 ? $0.require(segment.limit, 0xFFFF_FFFF, 0xFFFF) : nil }
  }

  private mutating func virtual8086AccessRights(_ segment: GuestSegmentFields) {
    check(
      "guest.%.access-rights.virtual-8086", "The % access rights are 000000F3H if the guest will be virtual-8086.",
      reads: "guest%AccessRights guestRFLAGS", for: segment.name
    ) { $0.isVirtual8086 ? $0.require(segment.accessRights, 0xFFFF_FFFF, 0xF3) : nil }
  }
}
