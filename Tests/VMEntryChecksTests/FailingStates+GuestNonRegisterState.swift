import VMCS
import VMEntryChecks

extension FailingState {
  private static let nmi: UInt64 = 0x8000_0202
  private static let externalInterrupt: UInt64 = 0x8000_0030

  /// An event that an activity state blocks.
  private static func blocked(_ activity: UInt64, _ event: UInt64, length: UInt64 = 0) -> FailingState {
    FailingState("guest.activity-state.injected-event", .long, "\(activity), 0x\(String(event, radix: 16))") {
      $0[.guestActivityState] = activity
      $0[.vmEntryInterruptionInformation] = event
      $0[.vmEntryInstructionLength] = length
    }
  }

  static let guestNonRegisterState: [FailingState] =
    joined(
      [
        FailingState("guest.activity-state.supported", .long, "4") { $0[.guestActivityState] = 4 },
        FailingState("guest.activity-state.supported", .long, "31") { $0[.guestActivityState] = 1 << 31 },
        FailingState("guest.activity-state.hlt-dpl", .user) { $0[.guestActivityState] = 1 },
        FailingState("guest.activity-state.blocking", .long, "STI") {
          $0[.guestActivityState] = 1
          $0[.guestInterruptibilityState] = 1
        },
        FailingState("guest.activity-state.blocking", .long, "MOV SS") {
          $0[.guestActivityState] = 2
          $0[.guestInterruptibilityState] = 2
        },
        blocked(1, 0x8000_0306), blocked(1, 0x8000_0480, length: 2), blocked(1, 0x8000_0603, length: 1),
        blocked(2, externalInterrupt), blocked(2, 0x8000_0301), blocked(2, 0x8000_0700), blocked(3, nmi),
        blocked(3, 0x8000_0312),
        FailingState("guest.activity-state.entry-to-smm", .long) {
          $0[.guestActivityState] = 3
          $0[.guestInterruptibilityState] = 4
          $0[.vmEntryControls] |= 1 << 10
          $0.facts.isInSMM = true
        },
      ],
      each([1, 2, 3]) { state in
        FailingState("guest.activity-state.supported", .long, "\(state) not on this processor") {
          $0[.guestActivityState] = state
          $0.capabilities[.ia32VMXMISC]? &= ~(1 << (5 + state))
        }
      },
      interruptibility)

  private static let interruptibility: [FailingState] =
    [
      FailingState("guest.interruptibility-state.reserved", .long, "5") { $0[.guestInterruptibilityState] = 1 << 5 },
      FailingState("guest.interruptibility-state.reserved", .long, "31") { $0[.guestInterruptibilityState] = 1 << 31 },
      FailingState("guest.interruptibility-state.sti-and-mov-ss", .long) { $0[.guestInterruptibilityState] = 3 },
      FailingState("guest.interruptibility-state.sti-if", .real) { $0[.guestInterruptibilityState] = 1 },
      FailingState("guest.interruptibility-state.sti-fred", .rich) {
        $0.setCPL3()
        $0[.guestInterruptibilityState] = 1
      },
      FailingState("guest.interruptibility-state.external-interrupt", .long, "STI") {
        $0[.guestInterruptibilityState] = 1
        $0[.vmEntryInterruptionInformation] = externalInterrupt
      },
      FailingState("guest.interruptibility-state.external-interrupt", .long, "MOV SS") {
        $0[.guestInterruptibilityState] = 2
        $0[.vmEntryInterruptionInformation] = externalInterrupt
      },
      FailingState("guest.interruptibility-state.nmi-mov-ss", .long) {
        $0[.guestInterruptibilityState] = 2
        $0[.vmEntryInterruptionInformation] = nmi
      },
      FailingState("guest.interruptibility-state.smi-outside-smm", .long) { $0[.guestInterruptibilityState] = 4 },
      FailingState("guest.interruptibility-state.smi-entry-to-smm", .long) {
        $0[.vmEntryControls] |= 1 << 10
        $0.facts.isInSMM = true
      },
      FailingState("guest.interruptibility-state.nmi-sti", .long) {
        $0[.guestInterruptibilityState] = 1
        $0[.vmEntryInterruptionInformation] = nmi
      },
      FailingState("guest.interruptibility-state.virtual-nmi", .rich) {
        $0[.guestInterruptibilityState] = 8
        $0[.vmEntryInterruptionInformation] = nmi
      },
      FailingState("guest.interruptibility-state.enclave-mov-ss", .long) { $0[.guestInterruptibilityState] = 0x12 },
      FailingState("guest.interruptibility-state.enclave-sgx", .long) {
        $0[.guestInterruptibilityState] = 0x10
        $0.capabilities[.cpuid7EBX]? &= ~(1 << 2)
      },
    ]

  static let guestDebugAndLink: [FailingState] =
    joined(
      each([4, 10, 13, 15, 17, 63]) { bit in
        FailingState("guest.pending-debug-exceptions.reserved", .long, "\(bit)") {
          $0[.guestPendingDebugExceptions] = 1 << bit
        }
      },
      pendingDebugExceptions,
      linkPointer)

  private static let pendingDebugExceptions: [FailingState] = [
    FailingState("guest.pending-debug-exceptions.reserved", .long, "no bus-lock detection") {
      $0[.guestPendingDebugExceptions] = 1 << 11
      $0.capabilities[.cpuid7ECX]? &= ~(1 << 24)
    },
    FailingState("guest.pending-debug-exceptions.bs-set", .long, "STI") {
      $0[.guestInterruptibilityState] = 1
      $0[.guestRFLAGS] |= 1 << 8
    },
    FailingState("guest.pending-debug-exceptions.bs-set", .long, "MOV SS") {
      $0[.guestInterruptibilityState] = 2
      $0[.guestRFLAGS] |= 1 << 8
    },
    FailingState("guest.pending-debug-exceptions.bs-set", .long, "HLT") {
      $0[.guestActivityState] = 1
      $0[.guestRFLAGS] |= 1 << 8
    },
    FailingState("guest.pending-debug-exceptions.bs-clear", .long, "TF") {
      $0[.guestInterruptibilityState] = 1
      $0[.guestPendingDebugExceptions] = 1 << 14
    },
    FailingState("guest.pending-debug-exceptions.bs-clear", .long, "BTF") {
      $0[.guestInterruptibilityState] = 2
      $0[.guestRFLAGS] |= 1 << 8
      $0[.guestIA32DEBUGCTL] = 2
      $0[.guestPendingDebugExceptions] = 1 << 14
    },
    FailingState("guest.pending-debug-exceptions.rtm-bits", .long, "12") {
      $0[.guestPendingDebugExceptions] = 1 << 16
    },
    FailingState("guest.pending-debug-exceptions.rtm-bits", .long, "0") {
      $0[.guestPendingDebugExceptions] = 1 << 16 | 1 << 12 | 1
    },
    FailingState("guest.pending-debug-exceptions.rtm-bits", .long, "14") {
      $0[.guestPendingDebugExceptions] = 1 << 16 | 1 << 12 | 1 << 14
    },
    FailingState("guest.pending-debug-exceptions.rtm-supported", .long) {
      $0[.guestPendingDebugExceptions] = 1 << 16 | 1 << 12
      $0.capabilities[.cpuid7EBX]? &= ~(1 << 11)
    },
    FailingState("guest.pending-debug-exceptions.rtm-mov-ss", .long) {
      $0[.guestPendingDebugExceptions] = 1 << 16 | 1 << 12
      $0[.guestInterruptibilityState] = 2
    },
  ]

  private static func link(
    _ suffix: String, _ base: BaseState, _ pointer: UInt64, _ quadword: UInt64, note: String = "",
    _ change: @escaping @Sendable (inout TestState) -> Void = { _ in }
  ) -> FailingState {
    FailingState("guest.vmcs-link-pointer.\(suffix)", base, note) {
      $0[.vmcsLinkPointer] = pointer
      $0.memory[pointer & ~7] = quadword
      change(&$0)
    }
  }

  private static let linkPointer: [FailingState] = [
    link("alignment", .long, 0x1_F800, 0x2B), link("width", .long, 0x1_F000 | beyondWidth, 0x2B),
    link("revision-identifier", .long, 0x1_F000, 0x2A), link("shadow-vmcs-indicator", .long, 0x1_F000, 0x8000_002B),
    link("shadow-vmcs-indicator", .rich, 0x1_F000, 0x2B), link("current-vmcs", .long, 0xF000, 0x2B),
    link("current-vmcs", .long, 0xF000, 0x2B, note: "entry to SMM") {
      $0.facts.isInSMM = true
      $0[.vmEntryControls] |= 1 << 10
      $0[.guestInterruptibilityState] = 4
    },
    link("executive-vmcs", .long, 0xE000, 0x2B) { returnFromSMM(&$0) },
  ]
}
