import VMCS
import VMEntryChecks

extension FailingValues {
  private static let (active, hlt, shutdown, waitForSIPI): (UInt64, UInt64, UInt64, UInt64) = (0, 1, 2, 3)
  private static let interruptibility: VMCSField<GuestInterruptibilityState, ReadWrite> = .guestInterruptibilityState

  /// The vectors of an event of a type that an activity state blocks.
  private static func blocked(_ state: UInt64, _ type: UInt64, _ failing: [UInt64]) -> FailingValues {
    values(
      "guest.activity-state.injected-event", .long, event, of: 0...31, mask: 0xFF, failing,
      "state \(state), type \(type)", except: [off(event, 31), set(.guestActivityState, active)]
    ) {
      $0[event] = 1 << 31 | type << 8
      $0[.guestActivityState] = state
    }
  }

  private static let vectors: [UInt64] = Array(0...31)

  static let activityState: [FailingValues] = joined(
    [
      bits("guest.activity-state.supported", .long, .guestActivityState, "31:2"),
      values("guest.activity-state.supported", .long, .guestActivityState, of: 0...9, 4...9),
      values("guest.activity-state.supported", .long, .guestActivityState, of: 0...9, 4...9, "every bit is 1") {
        $0.capabilities[.ia32VMXMISC] = ~0
      },
      values("guest.activity-state.supported", .long, .guestActivityState, of: 0...9, 1...9, "none supported") {
        $0.capabilities[.ia32VMXMISC] = ~(7 << 6)
      },
      bits(
        "guest.activity-state.hlt-dpl", .long, .guestSSAccessRights, "6:5",
        except: [active, shutdown, waitForSIPI].map { set(.guestActivityState, $0) },
        setUp: set(.guestActivityState, hlt)),
      bits(
        "guest.activity-state.blocking", .long, .guestActivityState, "31:0", "STI", except: [off(interruptibility, 0)],
        setUp: set(interruptibility, 1)),
      bits(
        "guest.activity-state.blocking", .long, .guestActivityState, "31:0", "MOV SS",
        except: [off(interruptibility, 1)],
        setUp: set(interruptibility, 2)),
      bits("guest.activity-state.blocking", .long, interruptibility, "1:0", setUp: set(.guestActivityState, hlt)),
      values(
        "guest.activity-state.entry-to-smm", .long, .guestActivityState, of: 0...4, [waitForSIPI],
        except: [off(entry, 10)], setUp: on(entry, 10)),
      blocked(hlt, 0, []), blocked(hlt, 2, []), blocked(hlt, 3, vectors.filter { $0 != 1 && $0 != 18 }),
      blocked(hlt, 7, vectors.filter { $0 != 0 }), blocked(shutdown, 2, []),
      blocked(shutdown, 3, vectors.filter { $0 != 18 }),
    ],
    [1, 4, 5, 6].map { blocked(hlt, $0, vectors) },
    [0, 1, 4, 5, 6, 7].map { blocked(shutdown, $0, vectors) },
    (0...7).map { blocked(waitForSIPI, $0, vectors) },
    (0...7).map { blocked(4, $0, []) })

  private static let (nmi, externalInterrupt): (UInt64, UInt64) = (0x8000_0202, 0x8000_0030)

  static let interruptibilityState: [FailingValues] = [
    bits("guest.interruptibility-state.reserved", .long, interruptibility, "31:5"),
    bits("guest.interruptibility-state.sti-and-mov-ss", .long, interruptibility, "1", setUp: set(interruptibility, 1)),
    bits("guest.interruptibility-state.sti-and-mov-ss", .long, interruptibility, "0", setUp: set(interruptibility, 2)),
    bits("guest.interruptibility-state.sti-if", .real, interruptibility, "0", except: [on(.guestRFLAGS, 9)]),
    bits("guest.interruptibility-state.sti-if", .long, .guestRFLAGS, "9", setUp: set(interruptibility, 1)),
    bits(
      "guest.interruptibility-state.sti-fred", .rich, interruptibility, "0",
      except: [
        off(.guestCR4, 32), off(entry, 9), off(.guestSSAccessRights, 5), off(.guestSSAccessRights, 6),
      ]
    ) { $0.setCPL3() },
    bits(
      "guest.interruptibility-state.external-interrupt", .long, interruptibility, "1:0",
      except: [off(event, 31), on(event, 8), on(event, 9), on(event, 10)], setUp: set(event, externalInterrupt)),
    bits(
      "guest.interruptibility-state.nmi-mov-ss", .long, interruptibility, "1",
      except: [off(event, 31), on(event, 8), off(event, 9), on(event, 10)], setUp: set(event, nmi)),
    bits(
      "guest.interruptibility-state.nmi-sti", .long, interruptibility, "0",
      except: [off(event, 31), on(event, 8), off(event, 9), on(event, 10)], setUp: set(event, nmi)),
    bits(
      "guest.interruptibility-state.virtual-nmi", .rich, interruptibility, "3",
      except: [off(event, 31), on(event, 8), off(event, 9), on(event, 10), off(pin, 5)], setUp: set(event, nmi)),
    bits(
      "guest.interruptibility-state.smi-outside-smm", .long, interruptibility, "2",
      except: [{ $0.facts.isInSMM = true }]),
    bits(
      "guest.interruptibility-state.smi-entry-to-smm", .long, interruptibility, "2", except: [off(entry, 10)]
    ) {
      $0[entry] |= 1 << 10
      $0[interruptibility] = 4
    },
    bits(
      "guest.interruptibility-state.enclave-mov-ss", .long, interruptibility, "1", except: [off(interruptibility, 4)],
      setUp: set(interruptibility, 0x10)),
    bits("guest.interruptibility-state.enclave-sgx", .long, interruptibility, "4") {
      $0.capabilities[.cpuid7EBX]? &= ~(1 << 2)
    },
    bits(
      "guest.interruptibility-state.enclave-sgx", .long, of: .cpuid7EBX, "2", except: [off(interruptibility, 4)],
      setUp: set(interruptibility, 0x10)),
  ]

  private static let pending: VMCSField<PendingDebugExceptions, ReadWrite> = .guestPendingDebugExceptions
  private static let rtm: UInt64 = 1 << 16 | 1 << 12

  /// Changes after which neither blocking nor the activity state matters to single stepping.
  private static let notBlocked: [Change] = [
    { state in (state[interruptibility], state[.guestActivityState]) = (0, active) },
    { state in (state[interruptibility], state[.guestActivityState]) = (0x1C, shutdown) },
    { state in (state[interruptibility], state[.guestActivityState]) = (0, waitForSIPI) },
  ]

  static let pendingDebugExceptions: [FailingValues] = joined(
    [
      bits("guest.pending-debug-exceptions.reserved", .long, pending, "63:17, 15, 13, 10:4"),
      bits("guest.pending-debug-exceptions.reserved", .long, pending, "63:17, 15, 13, 11:4", "no bus-lock detection") {
        $0.capabilities[.cpuid7ECX]? &= ~(1 << 24)
      },
      bits(
        "guest.pending-debug-exceptions.reserved", .long, of: .cpuid7ECX, "24", except: [off(pending, 11)],
        setUp: set(pending, 1 << 11)),
      bits("guest.pending-debug-exceptions.rtm-bits", .long, pending, "63:17, 15:0", setUp: set(pending, rtm)),
      bits("guest.pending-debug-exceptions.rtm-bits", .long, pending, "16"),
      bits("guest.pending-debug-exceptions.rtm-supported", .long, pending, "16") {
        $0.capabilities[.cpuid7EBX]? &= ~(1 << 11)
      },
      bits(
        "guest.pending-debug-exceptions.rtm-supported", .long, of: .cpuid7EBX, "11", except: [off(pending, 16)],
        setUp: set(pending, rtm)),
      bits(
        "guest.pending-debug-exceptions.rtm-mov-ss", .long, interruptibility, "1", except: [off(pending, 16)],
        setUp: set(pending, rtm)),
    ],
    [("STI", 1, active), ("MOV SS", 2, active), ("HLT", 0, hlt)].flatMap {
      (name: String, blocking: UInt64, activity: UInt64) in
      let blocked: Change = { ($0[interruptibility], $0[.guestActivityState]) = (blocking, activity) }
      return [
        bits(
          "guest.pending-debug-exceptions.bs-set", .long, pending, "14", name,
          except: notBlocked + [off(.guestRFLAGS, 8), on(.guestIA32DEBUGCTL, 1)]
        ) {
          blocked(&$0)
          $0[.guestRFLAGS] |= 1 << 8
          $0[pending] = 1 << 14
        },
        bits(
          "guest.pending-debug-exceptions.bs-clear", .long, pending, "14", name,
          except: notBlocked + [on(.guestRFLAGS, 8)], setUp: blocked),
        bits("guest.pending-debug-exceptions.bs-clear", .long, pending, "14", "\(name), BTF", except: notBlocked) {
          blocked(&$0)
          $0[.guestRFLAGS] |= 1 << 8
          $0[.guestIA32DEBUGCTL] |= 2
        },
      ]
    })

  private static let noLink = set(.vmcsLinkPointer, ~0)

  private static func link(_ base: BaseState, _ quadword: UInt64) -> Change {
    { state in
      state[.vmcsLinkPointer] = 0x1_F000
      state.memory[0x1_F000] = quadword
    }
  }

  static let linkPointer: [FailingValues] = [
    bits("guest.vmcs-link-pointer.alignment", .rich, .vmcsLinkPointer, "11:0", except: [noLink]),
    bits("guest.vmcs-link-pointer.width", .rich, .vmcsLinkPointer, "63:46", except: [noLink]),
    bits("guest.vmcs-link-pointer.revision-identifier", .rich, at: 0x1_F000, "30:0", except: [noLink]),
    bits("guest.vmcs-link-pointer.shadow-vmcs-indicator", .rich, at: 0x1_F000, "31", except: [noLink]),
    bits(
      "guest.vmcs-link-pointer.shadow-vmcs-indicator", .long, at: 0x1_F000, "31", except: [noLink],
      setUp: link(.long, 0x2B)),
    values(
      "guest.vmcs-link-pointer.current-vmcs", .long, .vmcsLinkPointer, of: [0, 0xE000, 0xF000, 0xF001, ~0], [0xF000],
      except: [{ $0.facts.isInSMM = true }]),
    values(
      "guest.vmcs-link-pointer.current-vmcs", .long, .vmcsLinkPointer, of: [0, 0xE000, 0xF000, 0xF001, ~0], [0xF000],
      "entry to SMM"
    ) {
      $0.facts.isInSMM = true
      $0[entry] |= 1 << 10
    },
    values(
      "guest.vmcs-link-pointer.executive-vmcs", .long, .vmcsLinkPointer, of: [0, 0xE000, 0xF000, 0xE001, ~0], [0xE000],
      except: notFromSMM, setUp: FailingState.returnFromSMM),
  ]

  static let pdptes: [FailingValues] = joined(
    [(0, .guestPDPTE0), (1, .guestPDPTE1), (2, .guestPDPTE2), (3, .guestPDPTE3)].flatMap {
      (index: UInt64, field: VMCSField<UInt64, ReadWrite>) in
      let id = "guest.pdpte\(index).reserved"
      let notPAE = [off(.guestCR0, 31), off(.guestCR4, 5), on(entry, 9)]
      let address = 0x2020 + 8 * index
      let present: Change = { $0.memory[address] = 0x3001 }
      return [
        bits(id, .pae, field, "63:46, 8:5, 2:1", except: notPAE + [off(field, 0)], setUp: set(field, 0x3001)),
        bits(id, .paeInMemory, at: address, "63:46, 8:5, 2:1", except: notPAE, setUp: present),
        bits(id, .paeInMemory, at: address, "63:46, 8:5, 2:1", "other bits of CR3", except: notPAE) {
          present(&$0)
          $0[.guestCR3] |= ~0 << 32 | 0x1F
        },
        bits(id, .paeInMemory, at: address, "", "not present") { $0.memory[address] = 0x3000 },
      ]
    },
    // Every other bit of CR3 leads to another table.
    [bits("guest.pdpte0.reserved", .paeInMemory, .guestCR3, "", "address", undecidable: "31:5")])
}
