import VMCS
import VMEntryChecks

extension TestState {
  /// Makes the original MSRs valid, with the settings of the TRUE ones, and lets one of them differ.
  mutating func useOriginalSettings(_ changed: EntryCapability, mustBe1: UInt64) {
    let pairs: [(EntryCapability, EntryCapability)] = [
      (.ia32VMXPINBASEDCTLS, .ia32VMXTRUEPINBASEDCTLS), (.ia32VMXPROCBASEDCTLS, .ia32VMXTRUEPROCBASEDCTLS),
      (.ia32VMXEXITCTLS, .ia32VMXTRUEEXITCTLS), (.ia32VMXENTRYCTLS, .ia32VMXTRUEENTRYCTLS),
    ]
    for (original, exact) in pairs { capabilities[original] = capabilities[exact] }
    capabilities[.ia32VMXBASIC] = capabilities[.ia32VMXBASIC].map { $0 & ~(1 << 55) }
    capabilities[changed] = capabilities[changed].map { $0 | mustBe1 }
  }

  /// Turns "use TPR shadow" on, with a task priority of 5.
  mutating func useTPRShadow(threshold: UInt64) {
    self[.primaryProcessorBasedVMExecutionControls] |= 1 << 21
    self[.virtualAPICAddress] = 0x1_3000
    self[.tprThreshold] = threshold
    memory[0x1_3080] = 0x50
  }

  /// Sets the tertiary controls, and activates them.
  mutating func setTertiary(_ controls: TertiaryProcessorBasedVMExecutionControls) {
    self[.primaryProcessorBasedVMExecutionControls] |= 1 << 17
    self[.tertiaryProcessorBasedVMExecutionControls] = controls.rawValue
  }
}

extension FailingState {
  static let executionControls: [FailingState] =
    joined(
      [
        FailingState("control.pin-based.reserved", .long, "not allowed") { $0[.pinBasedVMExecutionControls] |= 1 << 8 },
        FailingState("control.pin-based.reserved", .long, "required") { $0[.pinBasedVMExecutionControls] &= ~2 },
        FailingState("control.pin-based.reserved", .long, "original MSR") {
          $0.useOriginalSettings(.ia32VMXPINBASEDCTLS, mustBe1: 1)
        },
        FailingState("control.primary.reserved", .long, "not allowed") {
          $0[.primaryProcessorBasedVMExecutionControls] |= 1
        },
        FailingState("control.primary.reserved", .long, "required") {
          $0[.primaryProcessorBasedVMExecutionControls] &= ~(1 << 26)
        },
        FailingState("control.primary.reserved", .long, "original MSR") {
          $0.useOriginalSettings(.ia32VMXPROCBASEDCTLS, mustBe1: 1 << 15)
        },
        FailingState("control.secondary.reserved", .long) {
          $0[.secondaryProcessorBasedVMExecutionControls] |= 1 << 29
        },
        FailingState("control.secondary.reserved", .rich, "not on this processor") {
          $0.capabilities[.ia32VMXPROCBASEDCTLS2]? &= ~(1 << 63)
        },
        FailingState("control.tertiary.reserved", .rich) { $0[.tertiaryProcessorBasedVMExecutionControls] |= 1 << 63 },
        FailingState("control.cr3-target-count", .long) { $0[.cr3TargetCount] = 5 },
        FailingState("control.tpr-threshold.reserved", .long) { $0.useTPRShadow(threshold: 0x15) },
        FailingState("control.tpr-threshold.vtpr", .long) { $0.useTPRShadow(threshold: 6) },
        FailingState("control.virtual-nmis", .long) { $0[.pinBasedVMExecutionControls] |= 1 << 5 },
        FailingState("control.nmi-window-exiting", .long) { $0[.primaryProcessorBasedVMExecutionControls] |= 1 << 22 },
        FailingState("control.use-tpr-shadow.secondary", .long, "x2APIC mode") {
          $0[.secondaryProcessorBasedVMExecutionControls] |= 1 << 4
        },
        FailingState("control.use-tpr-shadow.secondary", .long, "APIC-register virtualization") {
          $0[.secondaryProcessorBasedVMExecutionControls] |= 1 << 8
        },
        FailingState("control.use-tpr-shadow.secondary", .long, "virtual-interrupt delivery") {
          $0[.secondaryProcessorBasedVMExecutionControls] |= 1 << 9
          $0[.pinBasedVMExecutionControls] |= 1
        },
        FailingState("control.use-tpr-shadow.ipi-virtualization", .long) { $0.setTertiary(.ipiVirtualization) },
        FailingState("control.virtualize-x2apic-mode", .rich) {
          $0[.secondaryProcessorBasedVMExecutionControls] |= 1 << 4
        },
        FailingState("control.virtual-interrupt-delivery", .rich) { $0[.pinBasedVMExecutionControls] &= ~1 },
        FailingState("control.posted-interrupts.virtual-interrupt-delivery", .long) {
          $0[.pinBasedVMExecutionControls] |= 1 << 7
          $0[.primaryVMExitControls] |= 1 << 15
        },
        FailingState("control.posted-interrupts.acknowledge-interrupt-on-exit", .rich) {
          $0[.primaryVMExitControls] &= ~(1 << 15)
        },
        FailingState("control.posted-interrupts.notification-vector", .rich) {
          $0[.postedInterruptNotificationVector] |= 0x100
        },
        FailingState("control.vpid", .rich) { $0[.virtualProcessorIdentifier] = 0 },
      ],
      executionAddresses)

  private static let executionAddresses: [FailingState] =
    joined(
      address("control.io-bitmap-a.alignment", "control.io-bitmap-a.width", .ioBitmapAAddress),
      address("control.io-bitmap-b.alignment", "control.io-bitmap-b.width", .ioBitmapBAddress),
      address("control.msr-bitmaps.alignment", "control.msr-bitmaps.width", .msrBitmapsAddress),
      address("control.virtual-apic.alignment", "control.virtual-apic.width", .virtualAPICAddress),
      address("control.apic-access.alignment", "control.apic-access.width", .apicAccessAddress),
      address(
        "control.posted-interrupts.descriptor-alignment", "control.posted-interrupts.descriptor-width",
        .postedInterruptDescriptorAddress, low: 0x20))

  static let eptControls: [FailingState] =
    joined(
      [
        FailingState("control.ept.memory-type", .long, "write combining") { $0[.eptPointer] = 0x1_0019 },
        FailingState("control.ept.memory-type", .long, "no UC") {
          $0[.eptPointer] = 0x1_0018
          $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 8)
        },
        FailingState("control.ept.memory-type", .long, "no WB") { $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 14) },
        FailingState("control.ept.page-walk-length", .long, "3 levels") { $0[.eptPointer] = 0x1_0016 },
        FailingState("control.ept.page-walk-length", .long, "6 levels") { $0[.eptPointer] = 0x1_002E },
        FailingState("control.ept.page-walk-length", .long, "no 4 levels") {
          $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 6)
        },
        FailingState("control.ept.page-walk-length", .long, "no 5 levels") {
          $0[.eptPointer] = 0x1_0026
          $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 7)
        },
        FailingState("control.ept.accessed-and-dirty-flags", .rich) {
          $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 21)
        },
        FailingState("control.ept.supervisor-shadow-stack", .rich) {
          $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 23)
        },
        FailingState("control.ept.reserved", .long, "low") { $0[.eptPointer] |= 0x800 },
        FailingState("control.ept.reserved", .long, "high") { $0[.eptPointer] |= beyondWidth },
        FailingState("control.pml.ept", .long) { $0[.secondaryProcessorBasedVMExecutionControls] = 1 << 17 },
        FailingState("control.ept.unrestricted-guest", .long) {
          $0[.secondaryProcessorBasedVMExecutionControls] = 1 << 7
        },
        FailingState("control.ept.mode-based-execute-control", .long) {
          $0[.secondaryProcessorBasedVMExecutionControls] = 1 << 22
        },
        FailingState("control.spp.ept", .long) { $0[.secondaryProcessorBasedVMExecutionControls] = 1 << 23 },
        FailingState("control.vm-functions.reserved", .rich) { $0[.vmFunctionControls] |= 2 },
        FailingState("control.eptp-switching.ept", .long) {
          $0[.secondaryProcessorBasedVMExecutionControls] = 1 << 13
          $0[.vmFunctionControls] = 1
        },
      ],
      address("control.pml.alignment", "control.pml.width", .pmlAddress),
      address("control.spp.alignment", "control.spp.width", .subPagePermissionTablePointer),
      address("control.eptp-list.alignment", "control.eptp-list.width", .eptpListAddress),
      address("control.vmread-bitmap.alignment", "control.vmread-bitmap.width", .vmreadBitmapAddress),
      address("control.vmwrite-bitmap.alignment", "control.vmwrite-bitmap.width", .vmwriteBitmapAddress),
      address(
        "control.virtualization-exception.alignment", "control.virtualization-exception.width",
        .virtualizationExceptionInformationAddress))

  static let extensionControls: [FailingState] =
    joined(
      [
        FailingState("control.intel-pt.tracing", .rich) { $0.facts.isTracingEnabled = true },
        FailingState("control.intel-pt.ept", .long) {
          $0[.secondaryProcessorBasedVMExecutionControls] = 1 << 24
          $0[.vmEntryControls] |= 1 << 18
          $0[.primaryVMExitControls] |= 1 << 25
        },
        FailingState("control.intel-pt.load-rtit-ctl", .rich) { $0[.vmEntryControls] &= ~(1 << 18) },
        FailingState("control.intel-pt.clear-rtit-ctl", .rich) { $0[.primaryVMExitControls] &= ~(1 << 25) },
        FailingState("control.tsc-multiplier", .rich) { $0[.tscMultiplier] = 0 },
        FailingState("control.hlat.ept", .protected, "HLAT") { $0.setTertiary(.enableHLAT) },
        FailingState("control.hlat.ept", .protected, "paging-write control") { $0.setTertiary(.eptPagingWriteControl) },
        FailingState("control.hlat.ept", .protected, "paging verification") {
          $0.setTertiary(.guestPagingVerification)
        },
        FailingState("control.hlat.ept", .protected, "PEBS") { $0.setTertiary(.pebsUsesGuestPhysicalAddresses) },
        FailingState("control.hlat.pointer-reserved", .rich, "2:0") { $0[.hlatPointer] |= 4 },
        FailingState("control.hlat.pointer-reserved", .rich, "11:5") { $0[.hlatPointer] |= 0x20 },
        FailingState("control.hlat.pointer-reserved", .rich, "width") { $0[.hlatPointer] |= beyondWidth },
        FailingState("control.ipi-virtualization.last-entry", .rich) {
          $0[.pidPointerTableAddress] = beyondWidth - 0x38
        },
        FailingState(
          "control.ipi-virtualization.last-entry", .rich, "overflow", also: ["control.ipi-virtualization.width"]
        ) { $0[.pidPointerTableAddress] = ~7 },
        FailingState("control.apic-timer.virtual-interrupt-delivery", .long) {
          $0.setTertiary(.apicTimerVirtualization)
        },
        FailingState("control.apic-timer.rdtsc-exiting", .rich) {
          $0[.primaryProcessorBasedVMExecutionControls] |= 1 << 12
        },
        FailingState("control.apic-timer.vector", .rich) { $0[.virtualTimerVector] |= 0x100 },
      ],
      address("control.pasid.low-alignment", "control.pasid.low-width", .lowPASIDDirectoryAddress),
      address("control.pasid.high-alignment", "control.pasid.high-width", .highPASIDDirectoryAddress),
      address(
        "control.ipi-virtualization.alignment", "control.ipi-virtualization.width", .pidPointerTableAddress, low: 4,
        also: ["control.ipi-virtualization.last-entry"]))
}
