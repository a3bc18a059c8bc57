/// Why no entry in Bochs 2.7 confirms some checks, which therefore only the tables of `VMEntryChecksTests` test.
struct ChecksBochsDoesNotMake: Sendable {
  /// Why they are not confirmed.
  enum Reason: Sendable, Equatable {
    /// No CPU model of Bochs 2.7 has what the checks are about.
    case noModelHas(String)
    /// Bochs leaves the checks out; a deviation of `BochsDeviation.all` has the details.
    case isDeviation
    /// The SDM lets a processor do without the checks, and Bochs does.
    case isOptional
    /// Whenever one of the checks fails in a state that the probe can make, `with` fails too, with the same outcome.
    case failsOnly(with: String)
    /// The probe cannot make the checks fail.
    case isOutOfReach(String)
  }

  var reason: Reason
  /// The identifiers of the checks.
  var ids: [String]

  /// The number of each check that is not confirmed, and why.
  static let reasons: [Int: Reason] = Dictionary(
    uniqueKeysWithValues: all.flatMap { entry in
      entry.ids.map { id in (CheckList.ids.firstIndex(of: id) ?? -1, entry.reason) }
    })

  /// Every check that is not confirmed.
  static let all: [ChecksBochsDoesNotMake] =
    [
      Self(
        reason: .isOutOfReach("VMLAUNCH ends in an exception, and no state is entered with"),
        ids: ["basic.mode", "basic.cpl"]),
      Self(
        reason: .isDeviation,
        ids: [
          "basic.shadow-vmcs", "host.perf-global-ctrl.reserved", "guest.perf-global-ctrl.reserved",
          "guest.debugctl.reserved", "guest.cr0.pg-for-ia-32e-mode", "guest.cs.access-rights.dpl.non-conforming",
          "guest.cs.access-rights.dpl.conforming", "guest.rip.high-bits", "guest.interruptibility-state.virtual-nmi",
          "guest.pending-debug-exceptions.bs-set", "guest.pending-debug-exceptions.bs-clear",
          "guest.pending-debug-exceptions.rtm-bits", "guest.pending-debug-exceptions.rtm-supported",
          "guest.pending-debug-exceptions.rtm-mov-ss", "guest.interruptibility-state.nmi-sti", "msr-load.smm-only",
        ]),
      Self(reason: .isOptional, ids: ["msr-load.model-specific"]),
      Self(
        reason: .noModelHas("tertiary controls"),
        ids: [
          "control.tertiary.reserved", "control.use-tpr-shadow.ipi-virtualization",
          "control.ipi-virtualization.alignment", "control.ipi-virtualization.width",
          "control.ipi-virtualization.last-entry", "control.hlat.ept", "control.hlat.pointer-reserved",
          "control.apic-timer.virtual-interrupt-delivery", "control.apic-timer.rdtsc-exiting",
          "control.apic-timer.vector",
        ]),
      Self(reason: .noModelHas("secondary VM-exit controls"), ids: ["control.secondary-exit.reserved"]),
      Self(
        reason: .noModelHas("posted interrupts"),
        ids: [
          "control.posted-interrupts.virtual-interrupt-delivery",
          "control.posted-interrupts.acknowledge-interrupt-on-exit", "control.posted-interrupts.notification-vector",
          "control.posted-interrupts.descriptor-alignment", "control.posted-interrupts.descriptor-width",
        ]),
      Self(
        reason: .noModelHas("mode-based execute control for EPT"), ids: ["control.ept.mode-based-execute-control"]),
      Self(
        reason: .noModelHas("Intel PT in VMX operation"),
        ids: [
          "control.intel-pt.tracing", "control.intel-pt.ept", "control.intel-pt.load-rtit-ctl",
          "control.intel-pt.clear-rtit-ctl", "guest.rtit-ctl.reserved",
        ]),
      Self(
        reason: .noModelHas("PASID translation"),
        ids: [
          "control.pasid.low-alignment", "control.pasid.low-width", "control.pasid.high-alignment",
          "control.pasid.high-width",
        ]),
      Self(
        reason: .noModelHas("protection keys for supervisor pages"), ids: ["host.pkrs.reserved", "guest.pkrs.reserved"]),
      Self(
        reason: .noModelHas("the control that loads IA32_SPEC_CTRL"),
        ids: ["host.spec-ctrl.reserved", "guest.spec-ctrl.reserved"]),
      Self(
        reason: .noModelHas("the control that loads IA32_BNDCFGS"),
        ids: ["guest.bndcfgs.reserved", "guest.bndcfgs.canonical"]),
      Self(reason: .noModelHas("user interrupts"), ids: ["guest.uinv.reserved"]),
      Self(reason: .noModelHas("architectural LBRs"), ids: ["guest.lbr-ctl.reserved"]),
      Self(
        reason: .noModelHas("FRED"),
        ids: [
          "guest.cr4.fred", "guest.ss.access-rights.dpl.fred", "guest.cs.access-rights.l.fred",
          "guest.rflags.iopl.fred", "guest.interruptibility-state.sti-fred", "address-space-size.32-bit-host.cr4-fred",
        ] + ["host", "guest"].flatMap { area in fredRegisters.map { "\(area).fred.\($0)" } }),
      Self(reason: .noModelHas("Intel SGX"), ids: ["guest.interruptibility-state.enclave-mov-ss"]),
      Self(
        reason: .isOutOfReach("the probe is not in SMM, and Bochs has no dual-monitor treatment"),
        ids: [
          "control.entry.smm-controls", "control.executive-vmcs.alignment", "control.executive-vmcs.width",
          "control.executive-vmcs.revision-identifier", "control.executive-vmcs.vmxon-pointer",
          "guest.activity-state.entry-to-smm", "guest.interruptibility-state.smi-entry-to-smm",
          "guest.vmcs-link-pointer.executive-vmcs",
        ]),
      Self(
        reason: .isOutOfReach("the probe is in IA-32e mode"),
        ids: ["address-space-size.guest-outside-ia-32e-mode", "address-space-size.host-outside-ia-32e-mode"]),
      Self(
        reason: .failsOnly(with: "address-space-size.host-in-ia-32e-mode"),
        ids: [
          "host.ss.selector.null", "address-space-size.32-bit-host.guest", "address-space-size.32-bit-host.cr4-pcide",
          "address-space-size.32-bit-host.rip", "address-space-size.32-bit-host.s-cet",
          "address-space-size.32-bit-host.ssp",
        ]),
      Self(reason: .failsOnly(with: "control.exit.msr-store.last-byte"), ids: ["control.exit.msr-store.width"]),
      Self(reason: .failsOnly(with: "control.exit.msr-load.last-byte"), ids: ["control.exit.msr-load.width"]),
      Self(reason: .failsOnly(with: "control.entry.msr-load.last-byte"), ids: ["control.entry.msr-load.width"]),
      // There is no memory behind the width of physical addresses, and so no revision identifier.
      Self(
        reason: .failsOnly(with: "guest.vmcs-link-pointer.revision-identifier"), ids: ["guest.vmcs-link-pointer.width"]),
    ]

  private static let fredRegisters =
    ["config.reserved", "config.canonical"]
    + ["rsp1", "rsp2", "rsp3", "ssp1", "ssp2", "ssp3"].flatMap { ["\($0).canonical", "\($0).alignment"] }
}

extension ChecksBochsDoesNotMake.Reason: CustomStringConvertible {
  var description: String {
    switch self {
    case .noModelHas(let what): "not made by Bochs: no model has \(what)"
    case .isDeviation: "not made by Bochs: a known deviation"
    case .isOptional: "not made by Bochs, which need not"
    case .failsOnly(let other): "not seen alone in Bochs: fails only with \(other)"
    case .isOutOfReach(let why): "not tried in Bochs: \(why)"
    }
  }
}
