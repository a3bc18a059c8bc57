import VMCS
import VMEntryChecks

extension FailingState {
  static let guestRegisters: [FailingState] = [
    FailingState("guest.cr0.fixed-bits", .long, "not allowed") { $0[.guestCR0] |= 1 << 32 },
    FailingState("guest.cr0.fixed-bits", .real, "required") { $0[.guestCR0] &= ~0x20 },
    FailingState("guest.cr0.fixed-bits", .protected, "PG without unrestricted guest") { $0[.guestCR0] &= ~(1 << 31) },
    FailingState("guest.cr0.pg-pe", .real) { $0[.guestCR0] |= 1 << 31 },
    FailingState("guest.cr4.fixed-bits", .long, "not allowed") { $0[.guestCR4] |= 1 << 15 },
    FailingState("guest.cr4.fixed-bits", .real, "required") { $0[.guestCR4] &= ~0x2000 },
    FailingState("guest.cr4.cet", .rich) { $0[.guestCR0] &= ~(1 << 16) },
    FailingState("guest.debugctl.reserved", .rich, "3") { $0[.guestIA32DEBUGCTL] |= 8 },
    FailingState("guest.debugctl.reserved", .rich, "16") { $0[.guestIA32DEBUGCTL] |= 1 << 16 },
    FailingState("guest.debugctl.reserved", .rich, "no bus-lock detection") {
      $0.capabilities[.cpuid7ECX]? &= ~(1 << 24)
    },
    FailingState("guest.debugctl.reserved", .rich, "no RTM") { $0.capabilities[.cpuid7EBX]? &= ~(1 << 11) },
    FailingState("guest.cr0.pg-for-ia-32e-mode", .long) { $0[.guestCR0] &= ~(1 << 31) },
    FailingState("guest.cr4.pae-for-ia-32e-mode", .long) { $0[.guestCR4] &= ~0x20 },
    FailingState("guest.cr4.pcide", .pae) { $0[.guestCR4] |= 1 << 17 },
    FailingState("guest.cr4.fred", .pae) { $0[.guestCR4] |= 1 << 32 },
    FailingState("guest.cr3.reserved", .long, "width") { $0[.guestCR3] |= beyondWidth },
    FailingState("guest.cr3.reserved", .real, "63") { $0[.guestCR3] |= bit63 },
    FailingState("guest.cr3.reserved", .long, "no LAM") {
      $0[.guestCR3] |= 1 << 62
      $0.capabilities[.cpuid7Subleaf1EAX] = 0
    },
    FailingState("guest.dr7.reserved", .rich) { $0[.guestDR7] |= 1 << 32 },
    FailingState("guest.sysenter-esp.canonical", .long) { $0[.guestIA32SYSENTERESP] ^= bit63 },
    FailingState("guest.sysenter-eip.canonical", .long) { $0[.guestIA32SYSENTEREIP] = 1 << 56 },
    FailingState("guest.s-cet.canonical", .rich) { $0[.guestIA32SCET] ^= bit63 },
    FailingState("guest.interrupt-ssp-table.canonical", .rich) { $0[.guestIA32INTERRUPTSSPTABLEADDR] ^= bit63 },
    FailingState("guest.efer.reserved", .long) { $0[.guestIA32EFER] |= 2 },
    FailingState("guest.efer.reserved", .long, "63") { $0[.guestIA32EFER] |= bit63 },
    FailingState("guest.efer.lma", .long) { $0[.guestIA32EFER] &= ~0x500 },
    FailingState("guest.efer.lma", .real) { $0[.guestIA32EFER] |= 1 << 10 },
    FailingState("guest.efer.lme", .long) { $0[.guestIA32EFER] &= ~(1 << 8) },
    FailingState("guest.efer.lme", .pae) { $0[.guestIA32EFER] |= 1 << 8 },
  ]

  static let guestMSRs: [FailingState] =
    joined(
      [
        FailingState("guest.bndcfgs.reserved", .rich) { $0[.guestIA32BNDCFGS] |= 4 },
        FailingState("guest.bndcfgs.canonical", .rich) { $0[.guestIA32BNDCFGS] ^= bit63 },
        FailingState("guest.rtit-ctl.reserved", .rich, "address range") {
          $0.capabilities[.cpuid14Subleaf1EAX] = 1
        },
        FailingState("guest.uinv.reserved", .rich) { $0[.guestUINV] |= 0x100 },
        FailingState("guest.lbr-ctl.reserved", .rich, "4") { $0[.guestIA32LBRCTL] |= 1 << 4 },
        FailingState("guest.lbr-ctl.reserved", .rich, "23") { $0[.guestIA32LBRCTL] |= 1 << 23 },
      ],
      each([18, 23, 28, 48, 57]) { bit in
        FailingState("guest.rtit-ctl.reserved", .rich, "\(bit)") { $0[.guestIA32RTITCTL] |= 1 << bit }
      },
      each([0, 1, 3, 4, 5, 6, 7, 8]) { bit in
        FailingState("guest.rtit-ctl.reserved", .rich, "no CPUID.14H:EBX bit \(bit)") {
          $0.capabilities[.cpuid14EBX]? &= ~(1 << bit)
        }
      },
      each([0, 3]) { bit in
        FailingState("guest.rtit-ctl.reserved", .rich, "no CPUID.14H:ECX bit \(bit)") {
          $0.capabilities[.cpuid14ECX]? &= ~(1 << bit)
        }
      },
      each([0, 1, 2]) { bit in
        FailingState("guest.lbr-ctl.reserved", .rich, "no CPUID.1CH:EBX bit \(bit)") {
          $0.capabilities[.cpuid1CEBX]? &= ~(1 << bit)
        }
      },
      commonMSRs(
        "guest", perf: .guestIA32PERFGLOBALCTRL, pat: .guestIA32PAT, sCET: .guestIA32SCET,
        pkrs: .guestIA32PKRS),
      specCtrl("guest", .guestIA32SPECCTRL),
      fred(
        "guest", config: .guestIA32FREDCONFIG, rsp: [.guestIA32FREDRSP1, .guestIA32FREDRSP2, .guestIA32FREDRSP3],
        ssp: [.guestIA32FREDSSP1, .guestIA32FREDSSP2, .guestIA32FREDSSP3]))

  static let guestRIPAndRFLAGS: [FailingState] = [
    FailingState("guest.rip.bits-63-32", .pae) { $0[.guestRIP] |= 1 << 32 },
    FailingState("guest.rip.bits-63-32", .long, "compatibility mode") {
      $0[.guestCSAccessRights] = 0xC09B
      $0[.guestRIP] |= 1 << 32
    },
    FailingState("guest.rip.high-bits", .long) { $0[.guestRIP] |= 1 << 48 },
    FailingState("guest.rflags.reserved", .long, "1") { $0[.guestRFLAGS] &= ~2 },
    FailingState("guest.rflags.reserved", .long, "3") { $0[.guestRFLAGS] |= 1 << 3 },
    FailingState("guest.rflags.reserved", .long, "5") { $0[.guestRFLAGS] |= 1 << 5 },
    FailingState("guest.rflags.reserved", .long, "15") { $0[.guestRFLAGS] |= 1 << 15 },
    FailingState("guest.rflags.reserved", .long, "22") { $0[.guestRFLAGS] |= 1 << 22 },
    FailingState("guest.rflags.reserved", .long, "63") { $0[.guestRFLAGS] |= bit63 },
    FailingState("guest.rflags.vm", .virtual8086, "CR0.PE") {
      $0[.primaryProcessorBasedVMExecutionControls] |= 1 << 31
      $0[.guestCR0] &= ~(1 | 1 << 31)
    },
    FailingState("guest.rflags.vm", .virtual8086, "IA-32e mode guest") {
      $0[.vmEntryControls] |= 1 << 9
      $0[.guestCR4] |= 0x20
      $0[.guestIA32EFER] = 0x500
    },
    FailingState("guest.rflags.if-for-external-interrupt", .long) {
      $0[.guestRFLAGS] = 2
      $0[.vmEntryInterruptionInformation] = 0x8000_0030
    },
    FailingState("guest.rflags.iopl.fred", .rich) {
      $0.setCPL3()
      $0[.guestRFLAGS] |= 1 << 12
    },
    FailingState("guest.ssp.alignment", .rich, "0") { $0[.guestSSP] |= 1 },
    FailingState("guest.ssp.alignment", .rich, "1") { $0[.guestSSP] |= 2 },
    FailingState("guest.ssp.high-bits", .rich) { $0[.guestSSP] = 1 << 48 },
  ]

  static let guestPDPTEs: [FailingState] = joined(
    pdpte(0, .guestPDPTE0), pdpte(1, .guestPDPTE1), pdpte(2, .guestPDPTE2), pdpte(3, .guestPDPTE3))

  private static func pdpte(_ index: UInt64, _ field: VMCSField<UInt64, ReadWrite>) -> [FailingState] {
    let bits: [UInt64] = [2, 4, 0x20, 0x100, beyondWidth, bit63]
    return joined(
      each(bits) { bit in
        FailingState("guest.pdpte\(index).reserved", .pae, String(bit, radix: 16)) { $0[field] |= bit | 1 }
      },
      each(bits) { bit in
        FailingState("guest.pdpte\(index).reserved", .paeInMemory, String(bit, radix: 16)) {
          $0.memory[0x2020 + 8 * index]? |= bit | 1
        }
      })
  }

  private static func msr(
    _ suffix: String, _ note: String = "", also: [String] = [], index: UInt64, data: UInt64 = 0
  ) -> FailingState {
    FailingState("msr-load.\(suffix)", .rich, note, also: also) {
      $0.memory[0x3_0010] = index
      $0.memory[0x3_0018] = data
    }
  }

  static let msrLoading: [FailingState] =
    joined(
      [
        msr("fs-gs-base", "FS", index: 0xC000_0100), msr("fs-gs-base", "GS", index: 0xC000_0101),
        msr("x2apic", "first", index: 0x800), msr("x2apic", "last", index: 0x8FF), msr("smm-only", index: 0x9B),
        msr("model-specific", index: 0x79), msr("reserved", index: 0x174 | 1 << 32),
        msr("reserved", "63", index: 0x277 | bit63), msr("value", "EFER reserved", index: 0xC000_0080, data: 0xD03),
        msr("value", "EFER.LME", index: 0xC000_0080, data: 0xC01), msr("value", "PAT", index: 0x277, data: 2),
      ],
      each([0x175, 0x176, 0x600, 0xC000_0082, 0xC000_0083, 0xC000_0102]) {
        msr("value", String($0, radix: 16), index: $0, data: 1 << 47)
      })
}

extension TestState {
  /// Makes a 64-bit guest run at CPL 3.
  mutating func setCPL3() {
    self[.guestCSAccessRights] = 0xA0FB
    self[.guestSSAccessRights] = 0xC0F3
  }
}
