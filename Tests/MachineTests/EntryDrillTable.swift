/// The drills that there are on the model of a Skylake-X with Skep's own guest: the identifiers of the checks.
enum EntryDrillTable {
  /// The check fails, and no other.
  static let alone = ids(
    """
    control.pin-based.reserved control.primary.reserved control.secondary.reserved control.cr3-target-count \
    control.msr-bitmaps.alignment control.msr-bitmaps.width control.virtual-nmis control.use-tpr-shadow.secondary \
    control.vpid control.ept.memory-type control.ept.page-walk-length control.ept.supervisor-shadow-stack \
    control.ept.reserved control.ept.unrestricted-guest control.exit.reserved \
    control.exit.save-vmx-preemption-timer-value control.entry.reserved control.event-injection.type \
    control.event-injection.nmi-vector control.event-injection.instruction-length control.entry.outside-smm \
    host.cr0.fixed-bits host.cr4.fixed-bits host.cr3.reserved host.sysenter-esp.canonical \
    host.sysenter-eip.canonical host.perf-global-ctrl.reserved host.pat.memory-types host.efer.reserved \
    host.efer.lma-lme host.cs.selector.rpl-ti host.ss.selector.rpl-ti host.ds.selector.rpl-ti \
    host.es.selector.rpl-ti host.fs.selector.rpl-ti host.gs.selector.rpl-ti host.tr.selector.rpl-ti \
    host.cs.selector.null host.tr.selector.null host.fs.base.canonical host.gs.base.canonical \
    host.gdtr.base.canonical host.idtr.base.canonical host.tr.base.canonical address-space-size.64-bit-host.cr4-pae \
    address-space-size.64-bit-host.rip guest.cr0.fixed-bits guest.cr0.pg-pe guest.cr4.fixed-bits \
    guest.debugctl.reserved guest.cr4.pcide guest.cr3.reserved guest.dr7.reserved guest.sysenter-esp.canonical \
    guest.sysenter-eip.canonical guest.perf-global-ctrl.reserved guest.pat.memory-types guest.efer.reserved \
    guest.efer.lma guest.tr.selector.ti guest.ldtr.selector.ti guest.tr.base.canonical guest.fs.base.canonical \
    guest.gs.base.canonical guest.ldtr.base.canonical guest.cs.base.bits-63-32 guest.ss.base.bits-63-32 \
    guest.ds.base.bits-63-32 guest.es.base.bits-63-32 guest.cs.access-rights.type guest.ss.access-rights.type \
    guest.ds.access-rights.type-accessed guest.es.access-rights.type-accessed guest.fs.access-rights.type-accessed \
    guest.gs.access-rights.type-accessed guest.cs.access-rights.s guest.ss.access-rights.s guest.ds.access-rights.s \
    guest.es.access-rights.s guest.fs.access-rights.s guest.gs.access-rights.s \
    guest.cs.access-rights.dpl.non-conforming guest.cs.access-rights.p guest.ss.access-rights.p \
    guest.ds.access-rights.p guest.es.access-rights.p guest.fs.access-rights.p guest.gs.access-rights.p \
    guest.cs.access-rights.bits-11-8 guest.ss.access-rights.bits-11-8 guest.ds.access-rights.bits-11-8 \
    guest.es.access-rights.bits-11-8 guest.fs.access-rights.bits-11-8 guest.gs.access-rights.bits-11-8 \
    guest.cs.access-rights.g-set guest.ss.access-rights.g-set guest.ds.access-rights.g-set \
    guest.es.access-rights.g-set guest.fs.access-rights.g-set guest.gs.access-rights.g-set \
    guest.cs.access-rights.bits-31-17 guest.ss.access-rights.bits-31-17 guest.ds.access-rights.bits-31-17 \
    guest.es.access-rights.bits-31-17 guest.fs.access-rights.bits-31-17 guest.gs.access-rights.bits-31-17 \
    guest.tr.access-rights.type guest.tr.access-rights.s guest.tr.access-rights.p guest.tr.access-rights.bits-11-8 \
    guest.tr.access-rights.g-set guest.tr.access-rights.unusable guest.tr.access-rights.bits-31-17 \
    guest.ldtr.access-rights.type guest.ldtr.access-rights.s guest.ldtr.access-rights.p \
    guest.ldtr.access-rights.bits-11-8 guest.ldtr.access-rights.g-set guest.ldtr.access-rights.bits-31-17 \
    guest.gdtr.base.canonical guest.gdtr.limit.bits-31-16 guest.idtr.base.canonical guest.idtr.limit.bits-31-16 \
    guest.rip.bits-63-32 guest.rflags.reserved guest.rflags.if-for-external-interrupt \
    guest.activity-state.supported guest.interruptibility-state.reserved guest.interruptibility-state.sti-if \
    guest.interruptibility-state.smi-outside-smm guest.interruptibility-state.enclave-sgx \
    guest.pending-debug-exceptions.reserved
    """)

  /// The check fails, and others with it.
  static let withOthers = ids(
    """
    control.io-bitmap-a.alignment control.io-bitmap-a.width control.io-bitmap-b.alignment control.io-bitmap-b.width \
    control.virtual-apic.alignment control.virtual-apic.width control.tpr-threshold.reserved \
    control.apic-access.alignment control.apic-access.width control.virtualize-x2apic-mode \
    control.posted-interrupts.virtual-interrupt-delivery control.posted-interrupts.notification-vector \
    control.posted-interrupts.descriptor-alignment control.posted-interrupts.descriptor-width \
    control.vm-functions.reserved control.eptp-list.alignment control.eptp-list.width \
    control.virtualization-exception.alignment control.virtualization-exception.width \
    control.intel-pt.load-rtit-ctl control.intel-pt.clear-rtit-ctl control.exit.msr-store.alignment \
    control.exit.msr-store.width control.exit.msr-store.last-byte control.exit.msr-load.alignment \
    control.exit.msr-load.width control.exit.msr-load.last-byte control.event-injection.other-event-vector \
    control.event-injection.deliver-error-code.clear control.event-injection.reserved \
    control.event-injection.error-code control.entry.msr-load.alignment control.entry.msr-load.width \
    control.entry.msr-load.last-byte control.entry.smm-controls host.cr4.cet address-space-size.host-in-ia-32e-mode \
    guest.cr4.cet guest.cr0.pg-for-ia-32e-mode guest.cr4.pae-for-ia-32e-mode guest.cr4.fred guest.bndcfgs.reserved \
    guest.bndcfgs.canonical guest.cs.base.virtual-8086 guest.cs.access-rights.virtual-8086 \
    guest.ss.access-rights.virtual-8086 guest.ds.access-rights.virtual-8086 guest.es.access-rights.virtual-8086 \
    guest.fs.access-rights.virtual-8086 guest.gs.access-rights.virtual-8086 guest.ds.access-rights.type-readable \
    guest.es.access-rights.type-readable guest.fs.access-rights.type-readable guest.gs.access-rights.type-readable \
    guest.cs.access-rights.dpl.conforming guest.ss.access-rights.dpl.privileged guest.rflags.vm \
    guest.interruptibility-state.sti-and-mov-ss guest.interruptibility-state.smi-entry-to-smm \
    guest.interruptibility-state.enclave-mov-ss guest.pending-debug-exceptions.rtm-bits \
    guest.pending-debug-exceptions.rtm-supported guest.vmcs-link-pointer.alignment guest.vmcs-link-pointer.width \
    guest.vmcs-link-pointer.revision-identifier guest.vmcs-link-pointer.shadow-vmcs-indicator msr-load.reserved
    """)

  private static func ids(_ text: String) -> Set<String> { Set(text.split(separator: " ").map(String.init)) }
}
