import VMCS
import VMEntryChecks

extension FailingValues {
  private static let cr4Reserved = "63:33, 31:29, 26, 15, 13"

  static let host: [FailingValues] = [
    bits("host.cr0.fixed-bits", .long, .hostCR0, "63:31, 5, 0"),
    bits("host.cr4.fixed-bits", .long, .hostCR4, cr4Reserved),
    bits("host.cr4.cet", .rich, .hostCR0, "16", except: [off(.hostCR4, 23)]),
    bits("host.cr3.reserved", .long, .hostCR3, "63, 60:46"),
    bits("host.cr3.reserved", .long, .hostCR3, "63:46", "no LAM") { $0.capabilities[.cpuid7Subleaf1EAX] = 0 },
    bits("host.cr3.reserved", .long, of: .cpuid7Subleaf1EAX, "26", "LAM_U57") { $0[.hostCR3] |= 1 << 61 },
    bits("host.cr3.reserved", .long, of: .cpuid7Subleaf1EAX, "26", "LAM_U48") { $0[.hostCR3] |= 1 << 62 },
    bits("host.sysenter-esp.canonical", .long, .hostIA32SYSENTERESP, "63:47"),
    bits("host.sysenter-eip.canonical", .long, .hostIA32SYSENTEREIP, "63:47"),
    bits("host.efer.reserved", .long, .hostIA32EFER, "63:12, 9, 7:1", except: [off(exit, 21)]),
    bits("host.efer.lma-lme", .long, .hostIA32EFER, "10, 8", except: [off(exit, 21)]),
    bits("host.efer.lma-lme", .host32, .hostIA32EFER, "10, 8", except: [off(exit, 21)]),
    bits("host.ssp.alignment", .rich, .hostSSP, "1:0", except: [off(exit, 28)]),
    bits(
      "host.interrupt-ssp-table.canonical", .rich, .hostIA32INTERRUPTSSPTABLEADDR, "63:47", except: [off(exit, 28)]),
  ]

  static let guestControlRegisters: [FailingValues] = [
    bits("guest.cr0.fixed-bits", .long, .guestCR0, "63:32, 5"),
    bits("guest.cr0.fixed-bits", .protected, .guestCR0, "63:31, 5, 0"),
    bits("guest.cr0.fixed-bits", .long, .guestCR0, "63:31, 5, 0", "no secondary controls", setUp: off(primary, 31)),
    bits("guest.cr0.fixed-bits", .long, .guestCR0, "63:32, 5", "NW and CD not supported") {
      $0.capabilities[.ia32VMXCR0FIXED1]? &= ~(3 << 29)
    },
    bits("guest.cr0.fixed-bits", .long, .guestCR0, "63:32, 5", "NW and CD required") {
      $0.capabilities[.ia32VMXCR0FIXED0]? |= 3 << 29
    },
    bits(
      "guest.cr0.fixed-bits", .long, .guestCR0, "63:32, 5", "controls not known", undecidable: "31, 0"
    ) {
      $0.fields[primary.encoding] = nil
      $0.fields[secondary.encoding] = nil
    },
    bits("guest.cr0.pg-pe", .long, .guestCR0, "0", except: [off(.guestCR0, 31)]),
    bits("guest.cr0.pg-pe", .real, .guestCR0, "31", except: [on(.guestCR0, 0)]),
    bits("guest.cr4.fixed-bits", .long, .guestCR4, cr4Reserved),
    bits("guest.cr4.cet", .rich, .guestCR0, "16", except: [off(.guestCR4, 23)]),
    bits("guest.cr0.pg-for-ia-32e-mode", .long, .guestCR0, "31", except: [off(entry, 9)]),
    bits("guest.cr4.pae-for-ia-32e-mode", .long, .guestCR4, "5", except: [off(entry, 9)]),
    bits("guest.cr4.pcide", .pae, .guestCR4, "17", except: [on(entry, 9)]),
    bits("guest.cr4.fred", .pae, .guestCR4, "32", except: [on(entry, 9)]),
    bits("guest.cr3.reserved", .long, .guestCR3, "63, 60:46"),
    bits("guest.cr3.reserved", .long, .guestCR3, "63:46", "no LAM") { $0.capabilities[.cpuid7Subleaf1EAX] = 0 },
    bits(
      "guest.cr3.reserved", .long, .guestCR3, "63:52", "width not known", undecidable: "51:32",
      setUp: { state in
        state.capabilities[.cpuid80000008EAX] = nil
        state.capabilities[.cpuid7Subleaf1EAX] = 0
      }),
  ]

  static let guestMSRs: [FailingValues] = [
    bits("guest.debugctl.reserved", .rich, .guestIA32DEBUGCTL, "63:16, 5:3", except: [off(entry, 2)]),
    bits("guest.debugctl.reserved", .rich, .guestIA32DEBUGCTL, "63:16, 5:2", "no bus-lock detection") {
      $0[.guestIA32DEBUGCTL] = 0
      $0.capabilities[.cpuid7ECX]? &= ~(1 << 24)
    },
    bits("guest.debugctl.reserved", .rich, .guestIA32DEBUGCTL, "63:15, 5:3", "no RTM") {
      $0[.guestIA32DEBUGCTL] = 0
      $0.capabilities[.cpuid7EBX]? &= ~(1 << 11)
    },
    bits("guest.debugctl.reserved", .rich, of: .cpuid7ECX, "24"),
    bits("guest.debugctl.reserved", .rich, of: .cpuid7EBX, "11"),
    bits("guest.dr7.reserved", .rich, .guestDR7, "63:32", except: [off(entry, 2)]),
    bits("guest.sysenter-esp.canonical", .long, .guestIA32SYSENTERESP, "63:47"),
    bits("guest.sysenter-eip.canonical", .long, .guestIA32SYSENTEREIP, "63:47"),
    bits("guest.s-cet.canonical", .rich, .guestIA32SCET, "63:47", except: [off(entry, 20)]),
    bits(
      "guest.interrupt-ssp-table.canonical", .rich, .guestIA32INTERRUPTSSPTABLEADDR, "63:47", except: [off(entry, 20)]),
    bits("guest.efer.reserved", .long, .guestIA32EFER, "63:12, 9, 7:1", except: [off(entry, 15)]),
    bits("guest.efer.lma", .long, .guestIA32EFER, "10", except: [off(entry, 15)]),
    bits("guest.efer.lma", .pae, .guestIA32EFER, "10", except: [off(entry, 15)]),
    bits("guest.efer.lme", .long, .guestIA32EFER, "10, 8", except: [off(entry, 15), off(.guestCR0, 31)]),
    bits("guest.efer.lme", .pae, .guestIA32EFER, "10, 8", except: [off(entry, 15), off(.guestCR0, 31)]),
    bits("guest.bndcfgs.reserved", .rich, .guestIA32BNDCFGS, "11:2", except: [off(entry, 16)]),
    bits("guest.bndcfgs.canonical", .rich, .guestIA32BNDCFGS, "63:47", except: [off(entry, 16)]),
    bits("guest.uinv.reserved", .rich, .guestUINV, "15:8", except: [off(entry, 19)]),
    bits("guest.lbr-ctl.reserved", .rich, .guestIA32LBRCTL, "63:23, 15:4", except: [off(entry, 21)]),
    branchRecords("63:23, 15:4, 2:1", without: 0), branchRecords("63:16, 15:4", without: 1),
    branchRecords("63:23, 15:3", without: 2),
    bits("guest.lbr-ctl.reserved", .rich, of: .cpuid1CEBX, "2:0"),
  ]

  private static func branchRecords(_ failing: String, without feature: UInt64) -> FailingValues {
    bits("guest.lbr-ctl.reserved", .rich, .guestIA32LBRCTL, failing, "no CPUID.1CH:EBX bit \(feature)") {
      $0[.guestIA32LBRCTL] = 0
      $0.capabilities[.cpuid1CEBX]? &= ~(1 << feature)
    }
  }

  private static func trace(
    _ failing: String, _ note: String, setUp: @escaping Change
  ) -> FailingValues {
    bits("guest.rtit-ctl.reserved", .rich, .guestIA32RTITCTL, failing, note) {
      $0[.guestIA32RTITCTL] = 0
      setUp(&$0)
    }
  }

  private static let traceReserved = "63:57, 54:48, 30:28, 23, 18"

  static let traceMSR: [FailingValues] = joined(
    [
      bits("guest.rtit-ctl.reserved", .rich, .guestIA32RTITCTL, "\(traceReserved), 47:40", except: [off(entry, 18)]),
      bits("guest.rtit-ctl.reserved", .rich, .guestIA32RTITCTL, traceReserved, "5 address ranges, one in use") {
        $0[.guestIA32RTITCTL] = 1 << 32
        $0.capabilities[.cpuid14Subleaf1EAX] = 5
      },
      bits("guest.rtit-ctl.reserved", .rich, of: .cpuid14EBX, "8:3, 1:0"),
      bits("guest.rtit-ctl.reserved", .rich, of: .cpuid14ECX, "3, 0"),
      bits("guest.rtit-ctl.reserved", .rich, of: .cpuid14Subleaf1EAX, "1"),
    ],
    [(0, "7"), (1, "1, 22:19, 27:24"), (3, "9, 17:14"), (4, "5, 12"), (5, "4"), (6, "56"), (7, "31"), (8, "55")]
      .map { feature, reserved in
        trace("\(traceReserved), 47:40, \(reserved)", "no CPUID.14H:EBX bit \(feature)") {
          $0.capabilities[.cpuid14EBX]? &= ~(1 << UInt64(feature))
        }
      },
    [(0, "8"), (3, "6")].map { feature, reserved in
      trace("\(traceReserved), 47:40, \(reserved)", "no CPUID.14H:ECX bit \(feature)") {
        $0.capabilities[.cpuid14ECX]? &= ~(1 << UInt64(feature))
      }
    },
    [(0, ", 47:32"), (1, ", 47:36"), (2, ", 47:40"), (3, ", 47:44"), (4, ""), (5, ""), (7, ""), (8, ", 47:32")]
      .map { ranges, reserved in
        trace("\(traceReserved)\(reserved)", "\(ranges) address ranges") {
          $0.capabilities[.cpuid14Subleaf1EAX] = UInt64(ranges)
        }
      })

  static let fred: [FailingValues] = joined(
    fred(
      "host", .hostIA32FREDCONFIG, [.hostIA32FREDRSP1, .hostIA32FREDRSP2, .hostIA32FREDRSP3],
      [.hostIA32FREDSSP1, .hostIA32FREDSSP2, .hostIA32FREDSSP3],
      except: [off(.secondaryVMExitControls, 1), off(exit, 31), off(exit, 9)]),
    fred(
      "guest", .guestIA32FREDCONFIG, [.guestIA32FREDRSP1, .guestIA32FREDRSP2, .guestIA32FREDRSP3],
      [.guestIA32FREDSSP1, .guestIA32FREDSSP2, .guestIA32FREDSSP3], except: [off(entry, 23), off(entry, 9)]))

  private static func fred(
    _ area: String, _ config: VMCSField<IA32FREDCONFIG, ReadWrite>, _ rsps: [VMCSField<UInt64, ReadWrite>],
    _ ssps: [VMCSField<UInt64, ReadWrite>], except exceptions: [Change]
  ) -> [FailingValues] {
    var all = [
      bits("\(area).fred.config.reserved", .rich, config, "11, 5:4, 2", except: exceptions),
      bits("\(area).fred.config.canonical", .rich, config, "63:47", except: exceptions),
    ]
    for n in 0..<3 {
      all += [
        bits("\(area).fred.rsp\(n + 1).canonical", .rich, rsps[n], "63:47", except: exceptions),
        bits("\(area).fred.rsp\(n + 1).alignment", .rich, rsps[n], "5:0", except: exceptions),
        bits("\(area).fred.ssp\(n + 1).canonical", .rich, ssps[n], "63:47", except: exceptions),
        bits("\(area).fred.ssp\(n + 1).alignment", .rich, ssps[n], "2:0", except: exceptions),
      ]
    }
    return all
  }

  static let hostSegments: [FailingValues] = joined(
    [
      ("cs", .hostCSSelector), ("ss", .hostSSSelector), ("ds", .hostDSSelector), ("es", .hostESSelector),
      ("fs", .hostFSSelector), ("gs", .hostGSSelector), ("tr", .hostTRSelector),
    ].map { (name: String, field: VMCSField<SegmentSelector, ReadWrite>) in
      bits("host.\(name).selector.rpl-ti", .long, field, "2:0")
    },
    [
      ("fs", .hostFSBase), ("gs", .hostGSBase), ("gdtr", .hostGDTRBase), ("idtr", .hostIDTRBase), ("tr", .hostTRBase),
    ].map { (name: String, field: VMCSField<UInt64, ReadWrite>) in
      bits("host.\(name).base.canonical", .long, field, "63:47")
    },
    (0..<16).map { bit in
      bits("host.cs.selector.null", .long, .hostCSSelector, "\(bit)", setUp: set(.hostCSSelector, 1 << bit))
    },
    (0..<16).map { bit in
      bits("host.tr.selector.null", .long, .hostTRSelector, "\(bit)", setUp: set(.hostTRSelector, 1 << bit))
    },
    (0..<16).map { bit in
      bits(
        "host.ss.selector.null", .host32, .hostSSSelector, "\(bit)", except: [on(exit, 9)],
        setUp: set(.hostSSSelector, 1 << bit))
    })

  private static let outsideIA32eMode: Change = { $0.facts.isInIA32eMode = false }
  private static let inIA32eMode: Change = { $0.facts.isInIA32eMode = true }
  private static let cet32: Change = { state in
    state[exit] |= 1 << 28
    (state[.hostIA32SCET], state[.hostSSP]) = (0, 0)
  }

  static let addressSpaceSize: [FailingValues] = [
    bits(
      "address-space-size.guest-outside-ia-32e-mode", .pae, entry, "9", except: [inIA32eMode], setUp: outsideIA32eMode),
    bits("address-space-size.host-outside-ia-32e-mode", .host32, exit, "9", except: [inIA32eMode]),
    bits("address-space-size.host-in-ia-32e-mode", .long, exit, "9", except: [outsideIA32eMode]),
    bits("address-space-size.32-bit-host.guest", .host32, entry, "9", except: [on(exit, 9)]),
    bits("address-space-size.32-bit-host.cr4-pcide", .host32, .hostCR4, "17", except: [on(exit, 9)]),
    bits("address-space-size.32-bit-host.cr4-fred", .host32, .hostCR4, "32", except: [on(exit, 9)]),
    bits("address-space-size.32-bit-host.rip", .host32, .hostRIP, "63:32", except: [on(exit, 9)]),
    bits(
      "address-space-size.32-bit-host.s-cet", .host32, .hostIA32SCET, "63:32", except: [on(exit, 9), off(exit, 28)],
      setUp: cet32),
    bits(
      "address-space-size.32-bit-host.ssp", .host32, .hostSSP, "63:32", except: [on(exit, 9), off(exit, 28)],
      setUp: cet32),
    bits("address-space-size.64-bit-host.cr4-pae", .long, .hostCR4, "5", except: [off(exit, 9)]),
    bits("address-space-size.64-bit-host.rip", .long, .hostRIP, "63:47", except: [off(exit, 9)]),
    bits(
      "address-space-size.64-bit-host.s-cet", .rich, .hostIA32SCET, "63:47", except: [off(exit, 9), off(exit, 28)]),
    bits("address-space-size.64-bit-host.ssp", .rich, .hostSSP, "63:47", except: [off(exit, 9), off(exit, 28)]),
  ]
}

extension FailingValues {
  /// The widths of physical and linear addresses, as CPUID.80000008H:EAX gives them.
  static let widths: [FailingValues] = joined(
    [(0, 32), (31, 32), (32, 32), (33, 33), (51, 51), (52, 52), (53, 52), (255, 52)].map { width, lowest in
      bits("control.io-bitmap-a.width", .rich, .ioBitmapAAddress, "63:\(lowest)", "\(width) bits") {
        $0.capabilities[.cpuid80000008EAX] = 0x3000 | width
      }
    },
    [(0, 47), (47, 47), (48, 47), (49, 48), (56, 55), (57, 56), (58, 56), (255, 56)].map { width, lowest in
      bits("host.fs.base.canonical", .long, .hostFSBase, "63:\(lowest)", "\(width) bits") {
        $0.capabilities[.cpuid80000008EAX] = 0xFF_002E | width << 8
      }
    },
    [(0, 48), (48, 48), (49, 49), (57, 57), (58, 57), (255, 57)].map { width, lowest in
      bits("guest.rip.high-bits", .long, .guestRIP, "63:\(lowest)", "\(width) bits") {
        $0.capabilities[.cpuid80000008EAX] = 0xFF_002E | width << 8
      }
    },
    [
      bits("host.fs.base.canonical", .long, .hostFSBase, "63:56", "width not known", undecidable: "55:47") {
        $0.capabilities[.cpuid80000008EAX] = nil
      },
      bits("host.fs.base.canonical", .long, .hostFSBase, "63:56", "high, width not known", undecidable: "55:47") {
        $0.capabilities[.cpuid80000008EAX] = nil
        $0[.hostFSBase] = ~0
      },
    ])
}
