import VMCS
import VMEntryChecks

extension FailingState {
  /// What holds for the FRED MSRs in either state area.
  static func fred(
    _ area: String, config: VMCSField<IA32FREDCONFIG, ReadWrite>, rsp: [VMCSField<UInt64, ReadWrite>],
    ssp: [VMCSField<UInt64, ReadWrite>]
  ) -> [FailingState] {
    var states = each([2, 4, 5, 11]) { bit in
      FailingState("\(area).fred.config.reserved", .rich, "\(bit)") { $0[config] |= 1 << bit }
    }
    states.append(FailingState("\(area).fred.config.canonical", .rich) { $0[config] ^= bit63 })
    for n in 0..<3 {
      let (rsp, ssp) = (rsp[n], ssp[n])
      states.append(FailingState("\(area).fred.rsp\(n + 1).canonical", .rich) { $0[rsp] ^= bit63 })
      states.append(FailingState("\(area).fred.rsp\(n + 1).alignment", .rich) { $0[rsp] |= 0x20 })
      states.append(FailingState("\(area).fred.ssp\(n + 1).canonical", .rich) { $0[ssp] ^= bit63 })
      states.append(FailingState("\(area).fred.ssp\(n + 1).alignment", .rich) { $0[ssp] |= 4 })
    }
    return states
  }

  /// What holds for IA32_PERF_GLOBAL_CTRL, IA32_PAT, IA32_S_CET and IA32_PKRS in either state area.
  static func commonMSRs(
    _ area: String, perf: VMCSField<UInt64, ReadWrite>, pat: VMCSField<IA32PAT, ReadWrite>,
    sCET: VMCSField<IA32SCET, ReadWrite>, pkrs: VMCSField<IA32PKRS, ReadWrite>
  ) -> [FailingState] {
    var states = [
      FailingState(
        "\(area).perf-global-ctrl.reserved", .rich, "no performance metrics", also: other(area, "perf-global-ctrl")
      ) { $0.capabilities[.ia32PERFCAPABILITIES] = 0 },
      FailingState("\(area).s-cet.reserved", .rich, "6") { $0[sCET] |= 1 << 6 },
      FailingState("\(area).s-cet.reserved", .rich, "no shadow stacks", also: other(area, "s-cet")) {
        $0.capabilities[.cpuid7ECX]? &= ~(1 << 7)
      },
      FailingState("\(area).s-cet.reserved", .rich, "no indirect branch tracking", also: other(area, "s-cet")) {
        $0.capabilities[.cpuid7EDX]? &= ~(1 << 20)
      },
      FailingState("\(area).s-cet.suppress-and-tracker", .rich) { $0[sCET] |= 3 << 10 },
      FailingState("\(area).pkrs.reserved", .rich) { $0[pkrs] |= 1 << 32 },
    ]
    states += each([8, 36, 49, 63]) { bit in
      FailingState("\(area).perf-global-ctrl.reserved", .rich, "\(bit)") { $0[perf] |= 1 << bit }
    }
    for position: UInt64 in [0, 24, 56] {
      states += each([0x02, 0x03, 0x08, 0x0E, 0x82]) { type in
        FailingState("\(area).pat.memory-types", .rich, "\(type) at \(position)") {
          $0[pat] = $0[pat] & ~(0xFF << position) | type << position
        }
      }
    }
    return states
  }

  /// What holds for IA32_SPEC_CTRL in either state area.
  static func specCtrl(_ area: String, _ field: VMCSField<IA32SPECCTRL, ReadWrite>) -> [FailingState] {
    joined(
      each([9, 11, 63]) { bit in
        FailingState("\(area).spec-ctrl.reserved", .rich, "\(bit)") { $0[field] |= 1 << bit }
      },
      // Where the processor has none of a feature's bits, the ones that are set are reserved.
      each([0, 1, 2, 3, 4]) { feature in
        FailingState("\(area).spec-ctrl.reserved", .rich, "no feature \(feature)", also: other(area, "spec-ctrl")) {
          $0.capabilities[.cpuid7Subleaf2EDX]? &= ~(1 << feature)
        }
      },
      each([26, 31]) { feature in
        FailingState("\(area).spec-ctrl.reserved", .rich, "no feature \(feature)", also: other(area, "spec-ctrl")) {
          $0.capabilities[.cpuid7EDX]? &= ~(1 << feature)
        }
      })
  }

  private static func other(_ area: String, _ register: String) -> [String] {
    ["\(area == "host" ? "guest" : "host").\(register).reserved"]
  }

  static let hostRegisters: [FailingState] =
    joined(
      [
        FailingState("host.cr0.fixed-bits", .long, "not allowed") { $0[.hostCR0] |= 1 << 32 },
        FailingState("host.cr0.fixed-bits", .long, "required") { $0[.hostCR0] &= ~0x20 },
        FailingState("host.cr4.fixed-bits", .long, "not allowed") { $0[.hostCR4] |= 1 << 15 },
        FailingState("host.cr4.fixed-bits", .long, "required") { $0[.hostCR4] &= ~0x2000 },
        FailingState("host.cr4.cet", .rich) { $0[.hostCR0] &= ~(1 << 16) },
        FailingState("host.cr3.reserved", .long, "width") { $0[.hostCR3] |= beyondWidth },
        FailingState("host.cr3.reserved", .long, "63") { $0[.hostCR3] |= bit63 },
        FailingState("host.cr3.reserved", .long, "no LAM") {
          $0[.hostCR3] |= 1 << 61
          $0.capabilities[.cpuid7Subleaf1EAX] = 0
        },
        FailingState("host.sysenter-esp.canonical", .long) { $0[.hostIA32SYSENTERESP] ^= bit63 },
        FailingState("host.sysenter-eip.canonical", .long) { $0[.hostIA32SYSENTEREIP] = 1 << 47 },
        FailingState("host.efer.reserved", .long) { $0[.hostIA32EFER] |= 2 },
        FailingState("host.efer.reserved", .long, "12") { $0[.hostIA32EFER] |= 1 << 12 },
        FailingState("host.efer.lma-lme", .long, "LMA") { $0[.hostIA32EFER] &= ~(1 << 10) },
        FailingState("host.efer.lma-lme", .long, "LME") { $0[.hostIA32EFER] &= ~(1 << 8) },
        FailingState("host.efer.lma-lme", .host32) { $0[.hostIA32EFER] |= 0x500 },
        FailingState("host.ssp.alignment", .rich) { $0[.hostSSP] |= 2 },
        FailingState("host.interrupt-ssp-table.canonical", .rich) { $0[.hostIA32INTERRUPTSSPTABLEADDR] ^= bit63 },
      ],
      commonMSRs(
        "host", perf: .hostIA32PERFGLOBALCTRL, pat: .hostIA32PAT, sCET: .hostIA32SCET,
        pkrs: .hostIA32PKRS),
      specCtrl("host", .hostIA32SPECCTRL),
      fred(
        "host", config: .hostIA32FREDCONFIG, rsp: [.hostIA32FREDRSP1, .hostIA32FREDRSP2, .hostIA32FREDRSP3],
        ssp: [.hostIA32FREDSSP1, .hostIA32FREDSSP2, .hostIA32FREDSSP3]))

  private static let hostSelectors: [(String, VMCSField<SegmentSelector, ReadWrite>)] = [
    ("cs", .hostCSSelector), ("ss", .hostSSSelector), ("ds", .hostDSSelector), ("es", .hostESSelector),
    ("fs", .hostFSSelector), ("gs", .hostGSSelector), ("tr", .hostTRSelector),
  ]

  private static let hostBases: [(String, VMCSField<UInt64, ReadWrite>)] = [
    ("fs", .hostFSBase), ("gs", .hostGSBase), ("gdtr", .hostGDTRBase), ("idtr", .hostIDTRBase), ("tr", .hostTRBase),
  ]

  static let hostSegments: [FailingState] =
    joined(
      hostSelectors.flatMap { name, field in
        each([1, 2, 4]) { bit in FailingState("host.\(name).selector.rpl-ti", .long, "\(bit)") { $0[field] |= bit } }
      },
      hostBases.map { name, field in FailingState("host.\(name).base.canonical", .long) { $0[field] ^= bit63 } },
      [
        FailingState("host.cs.selector.null", .long) { $0[.hostCSSelector] = 0 },
        FailingState("host.tr.selector.null", .long) { $0[.hostTRSelector] = 0 },
        FailingState("host.ss.selector.null", .host32) { $0[.hostSSSelector] = 0 },
      ])

  static let addressSpaceSize: [FailingState] = [
    FailingState(
      "address-space-size.guest-outside-ia-32e-mode", .long, also: ["address-space-size.host-outside-ia-32e-mode"]
    ) { $0.facts.isInIA32eMode = false },
    FailingState("address-space-size.host-outside-ia-32e-mode", .pae) { $0.facts.isInIA32eMode = false },
    FailingState("address-space-size.host-in-ia-32e-mode", .host32) { $0.facts.isInIA32eMode = true },
    FailingState("address-space-size.32-bit-host.guest", .long) {
      $0[.primaryVMExitControls] &= ~(1 << 9)
      $0[.hostIA32EFER] = 0
      $0[.hostRIP] = 0x1000
      $0.facts.isInIA32eMode = nil
    },
    FailingState("address-space-size.32-bit-host.cr4-pcide", .host32) { $0[.hostCR4] |= 1 << 17 },
    FailingState("address-space-size.32-bit-host.cr4-fred", .host32) { $0[.hostCR4] |= 1 << 32 },
    FailingState("address-space-size.32-bit-host.rip", .host32) { $0[.hostRIP] |= 1 << 32 },
    FailingState("address-space-size.32-bit-host.s-cet", .host32) {
      $0[.primaryVMExitControls] |= 1 << 28
      $0[.hostIA32SCET] = 1 << 32
    },
    FailingState("address-space-size.32-bit-host.ssp", .host32) {
      $0[.primaryVMExitControls] |= 1 << 28
      $0[.hostSSP] = 1 << 32
    },
    FailingState("address-space-size.64-bit-host.cr4-pae", .long) { $0[.hostCR4] &= ~0x20 },
    FailingState("address-space-size.64-bit-host.rip", .long) { $0[.hostRIP] ^= bit63 },
    FailingState("address-space-size.64-bit-host.s-cet", .rich) { $0[.hostIA32SCET] ^= bit63 },
    FailingState("address-space-size.64-bit-host.ssp", .rich) { $0[.hostSSP] ^= bit63 },
  ]
}
