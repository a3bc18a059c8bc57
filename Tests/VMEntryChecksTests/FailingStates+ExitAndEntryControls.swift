import VMCS
import VMEntryChecks

extension FailingState {
  private static func msrArea(
    _ name: String, _ address: VMCSField<PhysicalAddress, ReadWrite>
  ) -> [FailingState] {
    [
      FailingState("\(name).alignment", .rich) { $0[address] |= 8 },
      FailingState("\(name).width", .rich, also: ["\(name).last-byte"]) { $0[address] |= beyondWidth },
      FailingState("\(name).last-byte", .rich) { $0[address] = beyondWidth - 16 },
      FailingState("\(name).last-byte", .rich, "overflow", also: ["\(name).width"]) { $0[address] = ~0xF },
    ]
  }

  static let exitAndEntryControls: [FailingState] =
    joined(
      [
        FailingState("control.exit.reserved", .long, "required") { $0[.primaryVMExitControls] &= ~1 },
        FailingState("control.exit.reserved", .long, "not on this processor") {
          $0.capabilities[.ia32VMXTRUEEXITCTLS]? &= ~(1 << (32 + 21))
        },
        FailingState("control.exit.reserved", .long, "original MSR") {
          $0.useOriginalSettings(.ia32VMXEXITCTLS, mustBe1: 4)
        },
        FailingState("control.secondary-exit.reserved", .rich) { $0[.secondaryVMExitControls] |= 1 << 4 },
        FailingState("control.exit.save-vmx-preemption-timer-value", .long) { $0[.primaryVMExitControls] |= 1 << 22 },
        FailingState("control.entry.reserved", .long, "required") { $0[.vmEntryControls] &= ~1 },
        FailingState("control.entry.reserved", .long, "not allowed") { $0[.vmEntryControls] |= 1 << 31 },
        FailingState("control.entry.reserved", .long, "original MSR") {
          $0.useOriginalSettings(.ia32VMXENTRYCTLS, mustBe1: 4)
        },
        FailingState("control.entry.outside-smm", .long, "deactivate") { $0[.vmEntryControls] |= 1 << 11 },
        FailingState(
          "control.entry.outside-smm", .long, "entry to SMM", also: ["guest.interruptibility-state.smi-entry-to-smm"]
        ) { $0[.vmEntryControls] |= 1 << 10 },
        FailingState("control.entry.smm-controls", .long) {
          $0[.vmEntryControls] |= 3 << 10
          $0[.guestInterruptibilityState] = 4
          $0.facts.isInSMM = true
        },
      ],
      msrArea("control.exit.msr-store", .vmExitMSRStoreAddress),
      msrArea("control.exit.msr-load", .vmExitMSRLoadAddress),
      msrArea("control.entry.msr-load", .vmEntryMSRLoadAddress))

  private static func event(
    _ suffix: String, _ base: BaseState, _ information: UInt64, length: UInt64 = 0, errorCode: UInt64 = 0,
    also: [String] = []
  ) -> FailingState {
    FailingState("control.event-injection.\(suffix)", base, "0x" + String(information, radix: 16), also: also) {
      $0[.vmEntryInterruptionInformation] = information
      $0[.vmEntryInstructionLength] = length
      $0[.vmEntryExceptionErrorCode] = errorCode
    }
  }

  static let eventInjection: [FailingState] =
    joined(
      [
        event("type", .long, 0x8000_0120),
        FailingState("control.event-injection.type", .long, "no monitor trap flag, no FRED") {
          $0[.vmEntryInterruptionInformation] = 0x8000_0700
          $0.capabilities[.ia32VMXTRUEPROCBASEDCTLS]? &= ~(1 << (32 + 27))
          $0.capabilities[.ia32VMXTRUEENTRYCTLS]? &= ~(1 << (32 + 23))
        },
        FailingState("control.event-injection.type", .long, "the same in the original MSRs") {
          $0.useOriginalSettings(.ia32VMXPINBASEDCTLS, mustBe1: 0)
          $0[.vmEntryInterruptionInformation] = 0x8000_0700
          $0.capabilities[.ia32VMXPROCBASEDCTLS]? &= ~(1 << (32 + 27))
          $0.capabilities[.ia32VMXENTRYCTLS]? &= ~(1 << (32 + 23))
        },
        event("nmi-vector", .long, 0x8000_0203),
        event("hardware-exception-vector", .long, 0x8000_0320),
        event("other-event-vector", .long, 0x8000_0701),
        event("other-event-vector", .rich, 0x8000_0703),
        event("deliver-error-code.clear", .real, 0x8000_0B0D),
        event("deliver-error-code.clear", .long, 0x8000_0C80, length: 2),
        // Without "unrestricted guest" CR0.PE is of no consequence here.
        FailingState(
          "control.event-injection.deliver-error-code.set", .protected, "PE is 0",
          also: ["guest.cr0.fixed-bits", "guest.cr0.pg-pe"]
        ) {
          $0[.vmEntryInterruptionInformation] = 0x8000_030D
          $0[.guestCR0] &= ~1
        },
        event("reserved", .long, 0x8000_1306),
        event("reserved", .long, 0xC000_0306),
        event("reserved", .long, 0x8000_2306),
        event("error-code", .long, 0x8000_0B0D, errorCode: 0x1_0000),
        event("instruction-length", .long, 0x8000_0480),
        event("instruction-length", .long, 0x8000_0480, length: 16),
        event("instruction-length", .long, 0x8000_0501, length: 16),
        event("instruction-length", .long, 0x8000_0603, length: 16),
        event("instruction-length", .rich, 0x8000_0701),
        event("instruction-length", .rich, 0x8000_0701, length: 16),
        event("instruction-length", .rich, 0x8000_0702, length: 16),
      ],
      each([8, 10, 11, 12, 13, 14, 17]) { event("deliver-error-code.set", .long, 0x8000_0300 | $0) },
      each([0, 1, 3, 4, 5, 6, 7, 9, 15, 16, 18, 21, 31]) {
        event("deliver-error-code.clear", .long, 0x8000_0B00 | $0)
      })
}
