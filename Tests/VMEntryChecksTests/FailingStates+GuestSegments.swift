import VMCS
import VMEntryChecks

/// A segment register of the guest.
struct TestSegment: Sendable {
  var name: String
  var selector: VMCSField<SegmentSelector, ReadWrite>
  var base: VMCSField<UInt64, ReadWrite>
  var limit: VMCSField<UInt32, ReadWrite>
  var rights: VMCSField<SegmentAccessRights, ReadWrite>

  init(_ name: String, _ segment: GuestSegment, _ selector: VMCSField<SegmentSelector, ReadWrite>) {
    let fields = segment.fields
    (self.name, self.selector) = (name, selector)
    (base, limit, rights) = (fields.base, fields.limit, fields.accessRights ?? .guestCSAccessRights)
  }

  static let cs = Self("cs", .cs, .guestCSSelector)
  static let ss = Self("ss", .ss, .guestSSSelector)
  static let data = [
    Self("ds", .ds, .guestDSSelector), Self("es", .es, .guestESSelector), Self("fs", .fs, .guestFSSelector),
    Self("gs", .gs, .guestGSSelector),
  ]
  static let all = [cs, ss] + data
}

extension FailingState {
  static let guestSelectorsAndBases: [FailingState] =
    joined(
      [
        FailingState("guest.tr.selector.ti", .long) { $0[.guestTRSelector] |= 4 },
        FailingState("guest.ldtr.selector.ti", .real) { $0[.guestLDTRSelector] |= 4 },
        FailingState("guest.ss.selector.rpl", .protected) { $0[.guestCSSelector] |= 3 },
        FailingState("guest.tr.base.canonical", .long) { $0[.guestTRBase] ^= bit63 },
        FailingState("guest.fs.base.canonical", .long) { $0[.guestFSBase] ^= bit63 },
        FailingState("guest.gs.base.canonical", .long) { $0[.guestGSBase] = 1 << 47 },
        FailingState("guest.ldtr.base.canonical", .real) { $0[.guestLDTRBase] ^= bit63 },
        FailingState("guest.cs.base.bits-63-32", .long) { $0[.guestCSBase] = 1 << 32 },
        FailingState("guest.ss.base.bits-63-32", .long) { $0[.guestSSBase] = 1 << 32 },
        FailingState("guest.ds.base.bits-63-32", .long) { $0[.guestDSBase] = 1 << 32 },
        FailingState("guest.es.base.bits-63-32", .long) { $0[.guestESBase] = 1 << 32 },
        FailingState("guest.gdtr.base.canonical", .long) { $0[.guestGDTRBase] ^= bit63 },
        FailingState("guest.idtr.base.canonical", .long) { $0[.guestIDTRBase] = 1 << 47 },
        FailingState("guest.gdtr.limit.bits-31-16", .long) { $0[.guestGDTRLimit] |= 1 << 16 },
        FailingState("guest.idtr.limit.bits-31-16", .long) { $0[.guestIDTRLimit] |= 1 << 31 },
      ],
      TestSegment.all.flatMap { segment in
        [
          FailingState("guest.\(segment.name).base.virtual-8086", .virtual8086) { $0[segment.base] += 0x10 },
          FailingState("guest.\(segment.name).limit.virtual-8086", .virtual8086) { $0[segment.limit] = 0xFFFE },
          FailingState("guest.\(segment.name).access-rights.virtual-8086", .virtual8086) { $0[segment.rights] = 0xFB },
          FailingState("guest.\(segment.name).access-rights.virtual-8086", .virtual8086, "31") {
            $0[segment.rights] |= 1 << 31
          },
        ]
      })

  static let guestAccessRights: [FailingState] =
    joined(
      TestSegment.all.flatMap { segment in
        let id = "guest.\(segment.name).access-rights"
        return [
          FailingState("\(id).s", .long) { $0[segment.rights] &= ~(1 << 4) },
          FailingState("\(id).p", .long) { $0[segment.rights] &= ~(1 << 7) },
          FailingState("\(id).bits-11-8", .long, "8") { $0[segment.rights] |= 1 << 8 },
          FailingState("\(id).bits-11-8", .real, "11") { $0[segment.rights] |= 1 << 11 },
          FailingState("\(id).g-clear", .long) { $0[segment.limit] = 0xFFE },
          FailingState("\(id).g-clear", .long, "31:20 set") { $0[segment.limit] = 0xFFFF_FFFE },
          FailingState("\(id).g-set", .long) { $0[segment.rights] &= ~(1 << 15) },
          FailingState("\(id).g-set", .real) { $0[segment.limit] |= 1 << 20 },
          FailingState("\(id).bits-31-17", .long, "17") { $0[segment.rights] |= 1 << 17 },
          FailingState("\(id).bits-31-17", .long, "31") { $0[segment.rights] |= 1 << 31 },
        ]
      },
      TestSegment.data.flatMap { segment in
        let id = "guest.\(segment.name).access-rights"
        return [
          FailingState("\(id).type-accessed", .long) { $0[segment.rights] &= ~1 },
          FailingState("\(id).type-readable", .long) { $0[segment.rights] = 0xC099 },
          FailingState("\(id).dpl", .protected, "data") { $0[segment.selector] |= 3 },
          FailingState("\(id).dpl", .protected, "non-conforming code") {
            $0[segment.rights] = 0xC09B
            $0[segment.selector] |= 1
          },
        ]
      },
      codeAndStack)

  private static let codeAndStack: [FailingState] = [
    FailingState("guest.cs.access-rights.type", .long, "not accessed") { $0[.guestCSAccessRights] = 0xA09A },
    FailingState("guest.cs.access-rights.type", .long, "data, expand-down") { $0[.guestCSAccessRights] = 0x8097 },
    FailingState("guest.cs.access-rights.type", .long, "data, read-only") { $0[.guestCSAccessRights] = 0x8091 },
    FailingState("guest.cs.access-rights.type", .protected, "3 without unrestricted guest") {
      $0[.guestCSAccessRights] = 0xC093
    },
    FailingState("guest.ss.access-rights.type", .long, "read-only") { $0[.guestSSAccessRights] = 0xC091 },
    FailingState("guest.ss.access-rights.type", .long, "not accessed") { $0[.guestSSAccessRights] = 0xC092 },
    FailingState("guest.ss.access-rights.type", .long, "code") { $0[.guestSSAccessRights] = 0xC09B },
    FailingState("guest.cs.access-rights.dpl.type-3", .unpaged) { $0[.guestCSAccessRights] = 0xF3 },
    FailingState("guest.cs.access-rights.dpl.non-conforming", .long, "greater") { $0[.guestCSAccessRights] = 0xA0BB },
    FailingState("guest.cs.access-rights.dpl.non-conforming", .user, "less") { $0[.guestCSAccessRights] = 0xA0D9 },
    FailingState("guest.cs.access-rights.dpl.conforming", .long, "13") { $0[.guestCSAccessRights] = 0xA0BD },
    FailingState("guest.cs.access-rights.dpl.conforming", .long, "15") { $0[.guestCSAccessRights] = 0xA0BF },
    FailingState("guest.ss.access-rights.dpl.rpl", .protected) {
      $0[.guestCSAccessRights] = 0xC09F
      $0[.guestSSAccessRights] = 0xC0B3
    },
    FailingState("guest.ss.access-rights.dpl.privileged", .unpaged, "CS of type 3") {
      $0[.guestSSAccessRights] |= 1 << 5
    },
    FailingState("guest.ss.access-rights.dpl.privileged", .real, "CR0.PE") {
      $0[.guestCSAccessRights] = 0x9F
      $0[.guestSSAccessRights] |= 1 << 6
    },
    FailingState("guest.ss.access-rights.dpl.fred", .rich, "1") {
      $0[.guestCSAccessRights] = 0xA09F
      $0[.guestSSAccessRights] |= 1 << 5
    },
    FailingState("guest.ss.access-rights.dpl.fred", .rich, "2") {
      $0[.guestCSAccessRights] = 0xA09F
      $0[.guestSSAccessRights] |= 2 << 5
    },
    FailingState("guest.cs.access-rights.l.fred", .rich) { $0[.guestCSAccessRights] = 0xC09B },
    FailingState("guest.cs.access-rights.db", .long) { $0[.guestCSAccessRights] |= 1 << 14 },
  ]

  static let guestSystemSegments: [FailingState] = [
    FailingState("guest.tr.access-rights.type", .long, "16-bit") { $0[.guestTRAccessRights] = 0x83 },
    FailingState("guest.tr.access-rights.type", .long, "available") { $0[.guestTRAccessRights] = 0x89 },
    FailingState("guest.tr.access-rights.type", .real, "16-bit available") { $0[.guestTRAccessRights] = 0x81 },
    FailingState("guest.tr.access-rights.s", .long) { $0[.guestTRAccessRights] |= 1 << 4 },
    FailingState("guest.tr.access-rights.p", .long) { $0[.guestTRAccessRights] &= ~(1 << 7) },
    FailingState("guest.tr.access-rights.bits-11-8", .long) { $0[.guestTRAccessRights] |= 1 << 8 },
    FailingState("guest.tr.access-rights.g-clear", .long) { $0[.guestTRAccessRights] |= 1 << 15 },
    FailingState("guest.tr.access-rights.g-set", .long) { $0[.guestTRLimit] |= 1 << 20 },
    FailingState("guest.tr.access-rights.unusable", .long) { $0[.guestTRAccessRights] |= 1 << 16 },
    FailingState("guest.tr.access-rights.bits-31-17", .long) { $0[.guestTRAccessRights] |= 1 << 17 },
    FailingState("guest.ldtr.access-rights.type", .real) { $0[.guestLDTRAccessRights] = 0x83 },
    FailingState("guest.ldtr.access-rights.s", .real) { $0[.guestLDTRAccessRights] |= 1 << 4 },
    FailingState("guest.ldtr.access-rights.p", .real) { $0[.guestLDTRAccessRights] &= ~(1 << 7) },
    FailingState("guest.ldtr.access-rights.bits-11-8", .real) { $0[.guestLDTRAccessRights] |= 1 << 11 },
    FailingState("guest.ldtr.access-rights.g-clear", .real) {
      $0[.guestLDTRAccessRights] |= 1 << 15
      $0[.guestLDTRLimit] = 0x67
    },
    FailingState("guest.ldtr.access-rights.g-set", .real) { $0[.guestLDTRLimit] |= 1 << 31 },
    FailingState("guest.ldtr.access-rights.bits-31-17", .real) { $0[.guestLDTRAccessRights] |= 1 << 31 },
  ]
}
