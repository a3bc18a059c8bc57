import VMCS
import VMEntryChecks

extension FailingValues {
  /// What makes a guest virtual-8086.
  private static let virtual8086 = on(.guestRFLAGS, 17)
  private static let unrestricted: Change = {
    $0[primary] |= 1 << 31
    $0[secondary] |= 1 << 7
  }

  private static let unusableLDTR = on(.guestLDTRAccessRights, 16)

  static let guestSelectorsAndBases: [FailingValues] = joined(
    [
      bits("guest.tr.selector.ti", .long, .guestTRSelector, "2"),
      bits("guest.ldtr.selector.ti", .real, .guestLDTRSelector, "2", except: [unusableLDTR]),
      bits("guest.ss.selector.rpl", .protected, .guestSSSelector, "1:0", except: [virtual8086, unrestricted]),
      bits("guest.ss.selector.rpl", .protected, .guestCSSelector, "1:0", except: [virtual8086, unrestricted]),
      bits("guest.tr.base.canonical", .long, .guestTRBase, "63:47"),
      bits("guest.fs.base.canonical", .long, .guestFSBase, "63:47"),
      bits("guest.gs.base.canonical", .long, .guestGSBase, "63:47"),
      bits("guest.fs.base.canonical", .long, .guestFSBase, "63:47", "unusable", setUp: on(.guestFSAccessRights, 16)),
      bits("guest.gs.base.canonical", .long, .guestGSBase, "63:47", "unusable", setUp: on(.guestGSAccessRights, 16)),
      bits("guest.tr.base.canonical", .long, .guestTRBase, "63:47", "unusable", setUp: on(.guestTRAccessRights, 16)),
      bits("guest.ldtr.base.canonical", .real, .guestLDTRBase, "63:47", except: [unusableLDTR]),
      bits("guest.cs.base.bits-63-32", .long, .guestCSBase, "63:32"),
      bits("guest.cs.base.bits-63-32", .long, .guestCSBase, "63:32", "unusable", setUp: on(.guestCSAccessRights, 16)),
      bits("guest.ss.base.bits-63-32", .long, .guestSSBase, "63:32", except: [on(.guestSSAccessRights, 16)]),
      bits("guest.ds.base.bits-63-32", .long, .guestDSBase, "63:32", except: [on(.guestDSAccessRights, 16)]),
      bits("guest.es.base.bits-63-32", .long, .guestESBase, "63:32", except: [on(.guestESAccessRights, 16)]),
      bits("guest.gdtr.base.canonical", .long, .guestGDTRBase, "63:47"),
      bits("guest.idtr.base.canonical", .long, .guestIDTRBase, "63:47"),
      bits("guest.gdtr.limit.bits-31-16", .long, .guestGDTRLimit, "31:16"),
      bits("guest.idtr.limit.bits-31-16", .long, .guestIDTRLimit, "31:16"),
    ],
    TestSegment.all.flatMap { segment in
      let id = "guest.\(segment.name)"
      let not = [off(.guestRFLAGS, 17)]
      return [
        bits("\(id).base.virtual-8086", .virtual8086, segment.base, "63:0", except: not),
        bits("\(id).base.virtual-8086", .virtual8086, segment.selector, "15:0", except: not),
        bits("\(id).limit.virtual-8086", .virtual8086, segment.limit, "31:0", except: not),
        bits("\(id).access-rights.virtual-8086", .virtual8086, segment.rights, "31:0", except: not),
      ]
    })

  static let accessRights: [FailingValues] = joined(
    TestSegment.all.flatMap { segment in
      let id = "guest.\(segment.name).access-rights"
      // CS has no use for the unusable bit.
      let not = segment.name == "cs" ? [virtual8086] : [virtual8086, on(segment.rights, 16)]
      let clear = off(segment.rights, 15)
      return [
        bits("\(id).s", .long, segment.rights, "4", except: not),
        bits("\(id).p", .long, segment.rights, "7", except: not),
        bits("\(id).bits-11-8", .long, segment.rights, "11:8", except: not),
        bits("\(id).bits-31-17", .long, segment.rights, "31:17", except: not),
        bits("\(id).g-clear", .long, segment.limit, "11:0", except: not + [clear]),
        bits("\(id).g-clear", .long, segment.rights, "15", except: not) {
          $0[segment.limit] = 0xFFE
          $0[segment.rights] &= ~(1 << 15)
        },
        bits("\(id).g-set", .real, segment.limit, "31:20", except: not + [on(segment.rights, 15)]),
        bits("\(id).g-set", .long, segment.rights, "15", except: not),
      ]
    },
    [
      bits("guest.cs.access-rights.s", .long, .guestCSAccessRights, "4", "unusable", setUp: unusableCS),
      bits("guest.cs.access-rights.p", .long, .guestCSAccessRights, "7", "unusable", setUp: unusableCS),
      types("guest.cs.access-rights.type", .long, .guestCSAccessRights, [0, 1, 2, 4, 5, 6, 7, 8, 10, 12, 14]),
      types("guest.cs.access-rights.type", .protected, .guestCSAccessRights, (0...15).filter { $0 & 9 != 9 }),
      types(
        "guest.cs.access-rights.type", .long, .guestCSAccessRights, (0...15).filter { $0 & 9 != 9 }, off(primary, 31)),
      types(
        "guest.ss.access-rights.type", .long, .guestSSAccessRights, (0...15).filter { $0 != 3 && $0 != 7 },
        except: [on(.guestSSAccessRights, 16)]),
      bits(
        "guest.cs.access-rights.db", .long, .guestCSAccessRights, "14", except: [virtual8086, off(entry, 9)]),
      bits(
        "guest.cs.access-rights.db", .long, .guestCSAccessRights, "13", "D/B is 1",
        except: [virtual8086, off(entry, 9)],
        setUp: set(.guestCSAccessRights, 0xC09B)),
    ],
    TestSegment.data.flatMap { segment in
      let id = "guest.\(segment.name).access-rights"
      let unusable = [on(segment.rights, 16)]
      return [
        types("\(id).type-accessed", .long, segment.rights, (0...15).filter { $0 & 1 == 0 }, except: unusable),
        types("\(id).type-readable", .long, segment.rights, [8, 9, 12, 13], except: unusable),
      ]
    })

  private static let unusableCS = on(.guestCSAccessRights, 16)

  /// The types of a segment that make a check fail outside virtual-8086 mode.
  private static func types(
    _ id: String, _ base: BaseState, _ field: VMCSField<SegmentAccessRights, ReadWrite>, _ failing: [UInt64],
    except exceptions: [Change] = [virtual8086], _ setUp: @escaping Change = { _ in }
  ) -> FailingValues {
    values(id, base, field, of: 0...15, mask: 0xF, failing, except: exceptions + [virtual8086], setUp: setUp)
  }

  static let dpls: [FailingValues] = joined(
    dplRules, (0...15).map { nonConforming($0) }, [9, 11].map { nonConformingSS($0) },
    (0...15).flatMap { type in (0...3).map { conforming(type, $0) } },
    TestSegment.data.flatMap { segment in
      (0...15).flatMap { type in (0...3).map { dataSegment(segment, type, $0) } }
    })

  private static let notFRED = [off(.guestCR4, 32), off(entry, 9)]

  private static let dplRules: [FailingValues] = [
    bits(
      "guest.cs.access-rights.dpl.type-3", .unpaged, .guestCSAccessRights, "6:5",
      except: [virtual8086, off(.guestCSAccessRights, 0), off(.guestCSAccessRights, 1), on(.guestCSAccessRights, 3)]),
    bits("guest.cs.access-rights.dpl.type-3", .unpaged, .guestCSAccessRights, "2", "type 7") {
      $0[.guestCSAccessRights] = 0xF7
    },
    bits("guest.ss.access-rights.dpl.privileged", .unpaged, .guestSSAccessRights, "6:5", except: [virtual8086]),
    bits(
      "guest.ss.access-rights.dpl.privileged", .real, .guestSSAccessRights, "6:5",
      except: [virtual8086, on(.guestCR0, 0)]),
    bits("guest.ss.access-rights.dpl.privileged", .long, .guestSSAccessRights, ""),
    bits(
      "guest.ss.access-rights.dpl.rpl", .protected, .guestSSAccessRights, "6:5", except: [virtual8086, unrestricted]),
    bits("guest.ss.access-rights.dpl.rpl", .protected, .guestSSSelector, "1:0", except: [virtual8086, unrestricted]),
    values(
      "guest.ss.access-rights.dpl.fred", .rich, .guestSSAccessRights, of: 0...3, mask: 3, shift: 5, [1, 2],
      except: notFRED),
    bits(
      "guest.cs.access-rights.l.fred", .rich, .guestCSAccessRights, "13",
      except: notFRED + [on(.guestSSAccessRights, 5), on(.guestSSAccessRights, 6)]),
  ]

  private static func nonConforming(_ type: UInt64) -> FailingValues {
    values(
      "guest.cs.access-rights.dpl.non-conforming", .user, .guestCSAccessRights, of: 0...3, mask: 3, shift: 5,
      type == 9 || type == 11 ? [0, 1, 2] : [], "type \(type)", except: [virtual8086]
    ) { $0[.guestCSAccessRights] = 0xA0F0 | type }
  }

  private static func nonConformingSS(_ type: UInt64) -> FailingValues {
    bits(
      "guest.cs.access-rights.dpl.non-conforming", .user, .guestSSAccessRights, "6:5", "SS, type \(type)",
      except: [virtual8086]
    ) { $0[.guestCSAccessRights] = 0xA0F0 | type }
  }

  private static func conforming(_ type: UInt64, _ dpl: UInt64) -> FailingValues {
    values(
      "guest.cs.access-rights.dpl.conforming", .long, .guestCSAccessRights, of: 0...3, mask: 3, shift: 5,
      type == 13 || type == 15 ? (0...3).filter { $0 > dpl } : [], "type \(type), DPL of SS \(dpl)",
      except: [virtual8086]
    ) {
      $0[.guestCSAccessRights] = 0xA090 | type
      $0[.guestSSAccessRights] = 0xC093 | dpl << 5
    }
  }

  private static func dataSegment(_ segment: TestSegment, _ type: UInt64, _ dpl: UInt64) -> FailingValues {
    values(
      "guest.\(segment.name).access-rights.dpl", .protected, segment.selector, of: 0...3, mask: 3,
      type <= 11 ? (0...3).filter { $0 > dpl } : [], "type \(type), DPL \(dpl)",
      except: [virtual8086, unrestricted, on(segment.rights, 16)]
    ) { $0[segment.rights] = 0xC090 | type | dpl << 5 }
  }

  static let systemSegments: [FailingValues] = joined(
    system("tr", .long, .guestTRAccessRights, .guestTRLimit, except: []),
    system("ldtr", .real, .guestLDTRAccessRights, .guestLDTRLimit, except: [unusableLDTR]),
    [
      bits(
        "guest.tr.access-rights.s", .long, .guestTRAccessRights, "4", "unusable", setUp: on(.guestTRAccessRights, 16)),
      bits("guest.tr.access-rights.unusable", .long, .guestTRAccessRights, "16"),
      values(
        "guest.tr.access-rights.type", .long, .guestTRAccessRights, of: 0...15, mask: 0xF, (0...15).filter { $0 != 11 }),
      values(
        "guest.tr.access-rights.type", .real, .guestTRAccessRights, of: 0...15, mask: 0xF,
        (0...15).filter { $0 != 11 && $0 != 3 }),
      values(
        "guest.ldtr.access-rights.type", .real, .guestLDTRAccessRights, of: 0...15, mask: 0xF,
        (0...15).filter { $0 != 2 }, except: [unusableLDTR]),
    ])

  private static func system(
    _ name: String, _ base: BaseState, _ rights: VMCSField<SegmentAccessRights, ReadWrite>,
    _ limit: VMCSField<UInt32, ReadWrite>, except exceptions: [Change]
  ) -> [FailingValues] {
    let id = "guest.\(name).access-rights"
    return [
      bits("\(id).s", base, rights, "4", except: exceptions),
      bits("\(id).p", base, rights, "7", except: exceptions),
      bits("\(id).bits-11-8", base, rights, "11:8", except: exceptions),
      bits("\(id).bits-31-17", base, rights, "31:17", except: exceptions),
      bits("\(id).g-clear", base, limit, "11:0", except: exceptions + [off(rights, 15)]) {
        $0[limit] = 0xFFFF_FFFF
        $0[rights] |= 1 << 15
      },
      bits("\(id).g-clear", base, rights, "15", except: exceptions, setUp: set(limit, 0x67)),
      bits("\(id).g-set", base, limit, "31:20", except: exceptions + [on(rights, 15)]),
      bits("\(id).g-set", base, rights, "15", except: exceptions) {
        $0[limit] = 0xFFFF_FFFF
        $0[rights] |= 1 << 15
      },
    ]
  }

  private static let externalInterrupt: UInt64 = 0x8000_0030

  static let ripAndRFLAGS: [FailingValues] = [
    bits("guest.rip.bits-63-32", .pae, .guestRIP, "63:32"),
    bits("guest.rip.bits-63-32", .pae, .guestRIP, "63:32", "L is 1", setUp: on(.guestCSAccessRights, 13)),
    bits("guest.rip.bits-63-32", .long, .guestRIP, ""),
    bits("guest.rip.bits-63-32", .long, .guestRIP, "63:32", "compatibility mode", setUp: off(.guestCSAccessRights, 13)),
    bits("guest.rip.high-bits", .long, .guestRIP, "63:48", except: [off(.guestCSAccessRights, 13), off(entry, 9)]),
    bits("guest.rip.high-bits", .long, .guestRIP, "63:48", "high", setUp: set(.guestRIP, ~0 << 47)),
    bits("guest.rip.high-bits", .long, .guestRIP, "63:57", "width not known", undecidable: "56:48") {
      $0.capabilities[.cpuid80000008EAX] = nil
    },
    bits("guest.rflags.reserved", .long, .guestRFLAGS, "63:22, 15, 5, 3, 1"),
    bits("guest.rflags.vm", .long, .guestRFLAGS, "17"),
    bits("guest.rflags.vm", .real, .guestRFLAGS, "17"),
    bits("guest.rflags.vm", .protected, .guestRFLAGS, ""),
    bits(
      "guest.rflags.if-for-external-interrupt", .long, .guestRFLAGS, "9",
      except: [off(event, 31), on(event, 8), on(event, 9), on(event, 10)], setUp: set(event, externalInterrupt)),
    bits(
      "guest.rflags.iopl.fred", .rich, .guestRFLAGS, "13:12",
      except: [
        off(.guestCR4, 32), off(entry, 9), off(.guestSSAccessRights, 5), off(.guestSSAccessRights, 6),
      ]
    ) { $0.setCPL3() },
    bits("guest.ssp.alignment", .rich, .guestSSP, "1:0", except: [off(entry, 20)]),
    bits("guest.ssp.high-bits", .rich, .guestSSP, "63:48", except: [off(entry, 20)]),
  ]
}
