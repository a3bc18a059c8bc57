import VMCS
import VMEntryChecks

extension FailingValues {
  /// What is not known matters to these bits of a field, and to no others.
  private static func unknown<Value>(
    _ id: String, _ base: BaseState, _ field: VMCSField<Value, ReadWrite>, _ undecidable: String,
    failing: String = "", setUp: @escaping Change = { _ in }, without forget: @escaping Change
  ) -> FailingValues {
    bits(id, base, field, failing, "something not known", undecidable: undecidable) {
      setUp(&$0)
      forget(&$0)
    }
  }

  /// Makes a field unknown.
  private static func forget<Value>(_ field: VMCSField<Value, ReadWrite>) -> Change {
    { $0.fields[field.encoding] = nil }
  }

  /// Makes a capability unknown.
  private static func forget(_ capability: EntryCapability) -> Change { { $0.capabilities[capability] = nil } }

  private static let forgetMode: Change = { $0.facts.isInIA32eMode = nil }
  private static let forgetSMM: Change = { $0.facts.isInSMM = nil }
  private static let interruptibility: VMCSField<GuestInterruptibilityState, ReadWrite> = .guestInterruptibilityState
  private static let pending: VMCSField<PendingDebugExceptions, ReadWrite> = .guestPendingDebugExceptions

  static let unknownInputs: [FailingValues] = joined(
    unknownToControls, unknownToSMM, unknownToGuest, unknownToEvents, unknownToInjection,
    unknownToMSRs("host", .hostIA32SCET, .hostIA32PERFGLOBALCTRL, .hostIA32SPECCTRL, .hostCR3),
    unknownToMSRs("guest", .guestIA32SCET, .guestIA32PERFGLOBALCTRL, .guestIA32SPECCTRL, .guestCR3),
    unknownToTraceAndBranchRecords)

  private static let unknownToControls: [FailingValues] = [
    unknown("address-space-size.guest-outside-ia-32e-mode", .pae, entry, "9", without: forgetMode),
    unknown("address-space-size.host-outside-ia-32e-mode", .host32, exit, "9", without: forgetMode),
    unknown("address-space-size.host-in-ia-32e-mode", .long, exit, "9", without: forgetMode),
    unknown(
      "control.tertiary.reserved", .rich, tertiary, "63:0", setUp: set(tertiary, 0),
      without: forget(.ia32VMXPROCBASEDCTLS3)),
    values(
      "control.tertiary.reserved", .rich, tertiary, of: 0...1, [], undecidable: [1],
      setUp: forget(.ia32VMXPROCBASEDCTLS3)),
    bits("control.tertiary.reserved", .rich, tertiary, "62:13, 11:10", "bit 63 supported") {
      $0.capabilities[.ia32VMXPROCBASEDCTLS3]? |= 1 << 63
    },
    values(
      "control.cr3-target-count", .long, .cr3TargetCount, of: 0...2, [], undecidable: [1, 2],
      setUp: forget(.ia32VMXMISC)),
    unknown(
      "control.tpr-threshold.vtpr", .long, .tprThreshold, "3:0", setUp: { $0.useTPRShadow(threshold: 0) },
      without: { $0.memory = [:] }),
    unknown("control.nmi-window-exiting", .long, primary, "22", without: forget(pin)),
    unknown("control.use-tpr-shadow.secondary", .long, secondary, "9:8, 4", without: forget(primary)),
    unknown("control.use-tpr-shadow.ipi-virtualization", .long, tertiary, "4", without: forget(primary)),
    unknown("control.posted-interrupts.virtual-interrupt-delivery", .long, pin, "7", without: forget(secondary)),
    unknown("control.exit.save-vmx-preemption-timer-value", .long, exit, "22", without: forget(pin)),
    unknown("control.ept.accessed-and-dirty-flags", .long, .eptPointer, "6", without: forget(.ia32VMXEPTVPIDCAP)),
    unknown("control.ept.supervisor-shadow-stack", .long, .eptPointer, "7", without: forget(.ia32VMXEPTVPIDCAP)),
    unknown("control.intel-pt.tracing", .long, entry, "18") { $0.facts.isTracingEnabled = nil },
    unknown(
      "control.hlat.ept", .rich, tertiary, "12, 3:1", setUp: set(tertiary, 0), without: forget(secondary)),
    unknown(
      "control.apic-timer.virtual-interrupt-delivery", .rich, tertiary, "8", setUp: set(tertiary, 0),
      without: forget(secondary)),
  ]

  private static let unknownToSMM: [FailingValues] = [
    unknown("control.entry.outside-smm", .long, entry, "11:10", without: forgetSMM)
  ]

  private static let unknownToInjection: [FailingValues] = [
    unknown(
      "control.event-injection.deliver-error-code.set", .long, event, "11", setUp: set(event, 0x8000_0B08),
      without: forget(.ia32VMXBASIC)),
    unknown(
      "control.event-injection.deliver-error-code.clear", .long, event, "11", setUp: set(event, 0x8000_0306),
      without: forget(.ia32VMXBASIC)),
    values(
      "control.event-injection.other-event-vector", .rich, event, of: 0...3, mask: 0xFF, [3], undecidable: [1, 2]
    ) {
      $0[event] = 0x8000_0700
      forget(.guestCR4)(&$0)
    },
  ]

  private static func unknownToMSRs(
    _ area: String, _ sCET: VMCSField<IA32SCET, ReadWrite>, _ perf: VMCSField<UInt64, ReadWrite>,
    _ specCtrl: VMCSField<IA32SPECCTRL, ReadWrite>, _ cr3: VMCSField<UInt64, ReadWrite>
  ) -> [FailingValues] {
    func reserved<Value>(
      _ name: String, _ field: VMCSField<Value, ReadWrite>, _ undecidable: String, _ failing: String,
      _ capability: EntryCapability
    ) -> FailingValues {
      unknown(
        "\(area).\(name).reserved", .rich, field, undecidable, failing: failing, setUp: set(field, 0),
        without: forget(capability))
    }
    return [
      reserved("s-cet", sCET, "1:0", "9:6", .cpuid7ECX),
      reserved("s-cet", sCET, "63:10, 5:2", "9:6", .cpuid7EDX),
      values(
        "\(area).perf-global-ctrl.reserved", .rich, perf, of: [0, 1], [], undecidable: [1],
        setUp: forget(.cpuidAEAX)),
      reserved("perf-global-ctrl", perf, "47:32", "63:49, 31:8", .cpuidAEDX),
      reserved("perf-global-ctrl", perf, "48", "63:49, 47:36, 31:8", .ia32PERFCAPABILITIES),
      reserved("spec-ctrl", specCtrl, "2:0", "63:11, 9", .cpuid7EDX),
      reserved("spec-ctrl", specCtrl, "10, 8:3", "63:11, 9", .cpuid7Subleaf2EDX),
      reserved("cr3", cr3, "62:61", "63, 60:46", .cpuid7Subleaf1EAX),
    ]
  }

  private static let unknownToTraceAndBranchRecords: [FailingValues] = [
    unknown(
      "guest.lbr-ctl.reserved", .rich, .guestIA32LBRCTL, "22:16, 3:1", failing: "63:23, 15:4",
      setUp: set(.guestIA32LBRCTL, 0), without: forget(.cpuid1CEBX)),
    trace("56:55, 31, 27:24, 22:19, 17:14, 12, 9, 7, 5:4, 1", ", 47:40", .cpuid14EBX),
    trace("8, 6", ", 47:40", .cpuid14ECX), trace("47:32", "", .cpuid14Subleaf1EAX),
  ]

  private static func trace(_ undecidable: String, _ failing: String, _ capability: EntryCapability) -> FailingValues {
    unknown(
      "guest.rtit-ctl.reserved", .rich, .guestIA32RTITCTL, undecidable,
      failing: "63:57, 54:48, 30:28, 23, 18\(failing)", setUp: set(.guestIA32RTITCTL, 0), without: forget(capability))
  }

  private static let unknownToGuest: [FailingValues] = [
    unknown(
      "guest.debugctl.reserved", .rich, .guestIA32DEBUGCTL, "2", failing: "63:16, 5:3",
      setUp: set(.guestIA32DEBUGCTL, 0), without: forget(.cpuid7ECX)),
    unknown(
      "guest.debugctl.reserved", .rich, .guestIA32DEBUGCTL, "15", failing: "63:16, 5:3",
      setUp: set(.guestIA32DEBUGCTL, 0), without: forget(.cpuid7EBX)),
    unknown(
      "guest.ds.access-rights.g-set", .long, .guestDSAccessRights, "15", without: forget(.guestDSLimit)),
    unknown("guest.rflags.vm", .long, .guestRFLAGS, "17", without: forget(entry)),
    unknown(
      "guest.ss.access-rights.dpl.privileged", .long, .guestSSAccessRights, "6:5",
      without: forget(.guestCSAccessRights)),
  ]

  private static let unknownToEvents: [FailingValues] = [
    unknown(
      "guest.activity-state.supported", .long, .guestActivityState, "1:0", failing: "31:2",
      without: forget(.ia32VMXMISC)),
    values(
      "guest.activity-state.supported", .long, .guestActivityState, of: 0...9, 4...9, "unknown",
      undecidable: [1, 2, 3], setUp: forget(.ia32VMXMISC)),
    values(
      "guest.activity-state.injected-event", .long, .guestActivityState, of: 0...3, [], undecidable: [1, 2, 3],
      setUp: forget(event)),
    unknown("guest.interruptibility-state.sti-if", .long, interruptibility, "0", without: forget(.guestRFLAGS)),
    unknown(
      "guest.interruptibility-state.sti-fred", .long, interruptibility, "0", without: forget(.guestSSAccessRights)),
    unknown("guest.interruptibility-state.smi-outside-smm", .long, interruptibility, "2", without: forgetSMM),
    unknown("guest.interruptibility-state.enclave-sgx", .long, interruptibility, "4", without: forget(.cpuid7EBX)),
    unknown(
      "guest.pending-debug-exceptions.reserved", .long, pending, "11", failing: "63:17, 15, 13, 10:4",
      without: forget(.cpuid7ECX)),
    unknown("guest.pending-debug-exceptions.rtm-supported", .long, pending, "16", without: forget(.cpuid7EBX)),
    unknown(
      "guest.pending-debug-exceptions.bs-set", .long, pending, "14",
      setUp: { state in (state[interruptibility], state[pending]) = (1, 1 << 14) }, without: forget(.guestRFLAGS)),
    unknown(
      "guest.pending-debug-exceptions.bs-clear", .long, pending, "14", setUp: set(interruptibility, 1),
      without: forget(.guestRFLAGS)),
    values(
      "guest.vmcs-link-pointer.current-vmcs", .long, .vmcsLinkPointer, of: [0xF000, ~0], [], undecidable: [0xF000]
    ) { $0.facts.currentVMCSPointer = nil },
    values(
      "guest.vmcs-link-pointer.executive-vmcs", .long, .vmcsLinkPointer, of: [0xF000, ~0], [], undecidable: [0xF000]
    ) {
      FailingState.returnFromSMM(&$0)
      forget(.executiveVMCSPointer)(&$0)
    },
  ]
}
