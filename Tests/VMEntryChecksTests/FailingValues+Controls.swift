import VMCS
import VMEntryChecks

extension FailingValues {
  static let controlWords: [FailingValues] = [
    bits("control.pin-based.reserved", .long, pin, "31:8, 4, 2:1"),
    bits("control.pin-based.reserved", .long, pin, "31:8, 4, 2:1", "original MSR") {
      $0.useOriginalSettings(.ia32VMXPINBASEDCTLS, mustBe1: 0)
    },
    bits("control.primary.reserved", .long, primary, "26, 18, 14:13, 8, 6:4, 1:0"),
    bits("control.primary.reserved", .long, primary, "26, 18, 14:13, 8, 6:4, 1:0", "original MSR") {
      $0.useOriginalSettings(.ia32VMXPROCBASEDCTLS, mustBe1: 0)
    },
    bits("control.secondary.reserved", .rich, secondary, "29", except: [off(primary, 31)]),
    bits("control.secondary.reserved", .rich, of: .ia32VMXPROCBASEDCTLS2, "63:62, 60:37, 35:32, 4"),
    bits("control.tertiary.reserved", .rich, tertiary, "63:13, 11:10", except: [off(primary, 17)]),
    bits("control.tertiary.reserved", .rich, of: .ia32VMXPROCBASEDCTLS3, "12, 9:0"),
    bits("control.exit.reserved", .long, exit, "17:16, 14:13, 11:10, 8:3, 1:0"),
    bits("control.exit.reserved", .long, exit, "17:16, 14:13, 11:10, 8:3, 1:0", "original MSR") {
      $0.useOriginalSettings(.ia32VMXEXITCTLS, mustBe1: 0)
    },
    bits(
      "control.secondary-exit.reserved", .rich, .secondaryVMExitControls, "63:4", except: [off(exit, 31)]),
    bits("control.entry.reserved", .long, entry, "31:26, 12, 8:3, 1:0"),
    bits("control.entry.reserved", .long, entry, "31:26, 12, 8:3, 1:0", "original MSR") {
      $0.useOriginalSettings(.ia32VMXENTRYCTLS, mustBe1: 0)
    },
    bits("control.vm-functions.reserved", .rich, .vmFunctionControls, "63:1", except: withoutSecondary(13)),
  ]

  static let executionControls: [FailingValues] = [
    bits("control.cr3-target-count", .long, .cr3TargetCount, "31:3"),
    values("control.cr3-target-count", .long, .cr3TargetCount, of: 0...6, 5...6),
    values("control.cr3-target-count", .long, .cr3TargetCount, of: 0...600, 512...600, "511 supported") {
      $0.capabilities[.ia32VMXMISC] = 0x1FF << 16
    },
    bits(
      "control.tpr-threshold.reserved", .long, .tprThreshold, "31:4", except: [off(primary, 21), on(secondary, 9)]
    ) { $0.useTPRShadow(threshold: 5) },
    values(
      "control.tpr-threshold.vtpr", .long, .tprThreshold, of: 0...15, 6...15,
      except: [off(primary, 21), on(secondary, 0), on(secondary, 9)]
    ) { $0.useTPRShadow(threshold: 5) },
    bits("control.tpr-threshold.vtpr", .long, at: 0x1_3080, "6, 4") { $0.useTPRShadow(threshold: 5) },
    bits("control.tpr-threshold.vtpr", .long, .tprThreshold, "3, 1", "bits 31:4 are not compared") {
      $0.useTPRShadow(threshold: 5)
    },
    bits("control.tpr-threshold.vtpr", .long, .virtualAPICAddress, "", "bits 11:0 are not used", undecidable: "63:12") {
      $0.useTPRShadow(threshold: 5)
    },
    bits("control.virtual-nmis", .long, pin, "5", except: [on(pin, 3)]),
    bits("control.nmi-window-exiting", .long, primary, "22", except: [on(pin, 5)]),
    bits(
      "control.use-tpr-shadow.secondary", .long, secondary, "9:8, 4", except: [on(primary, 21), off(primary, 31)]),
    bits(
      "control.use-tpr-shadow.ipi-virtualization", .long, tertiary, "4", except: [on(primary, 21), off(primary, 17)]
    ) { $0.setTertiary([]) },
    bits("control.virtualize-x2apic-mode", .rich, secondary, "4", except: withoutSecondary(0)),
    bits("control.virtual-interrupt-delivery", .rich, pin, "0", except: withoutSecondary(9)),
    bits("control.posted-interrupts.virtual-interrupt-delivery", .long, pin, "7", except: [on(secondary, 9)]),
    bits("control.posted-interrupts.virtual-interrupt-delivery", .rich, secondary, "9", except: [off(pin, 7)]),
    bits("control.posted-interrupts.acknowledge-interrupt-on-exit", .rich, exit, "15", except: [off(pin, 7)]),
    bits(
      "control.posted-interrupts.notification-vector", .rich, .postedInterruptNotificationVector, "15:8",
      except: [off(pin, 7)]),
    bits("control.vpid", .rich, .virtualProcessorIdentifier, "0", except: withoutSecondary(5)),
    values("control.vpid", .rich, .virtualProcessorIdentifier, of: [0, 1, 2, 0xFFFF], [0]),
  ]

  /// The checks of an address: that bits are 0, and that it is not too wide.
  private static func address(
    _ aligned: String, _ width: String, _ field: VMCSField<PhysicalAddress, ReadWrite>, low: String = "11:0",
    except exceptions: [Change]
  ) -> [FailingValues] {
    [
      bits(aligned, .rich, field, low, except: exceptions),
      bits(width, .rich, field, "63:46", except: exceptions),
      bits(width, .rich, field, "63:52", "width not known", undecidable: "51:32") {
        $0.capabilities[.cpuid80000008EAX] = nil
      },
    ]
  }

  private static func address(
    _ name: String, _ field: VMCSField<PhysicalAddress, ReadWrite>, low: String = "11:0", except exceptions: [Change]
  ) -> [FailingValues] { address("\(name).alignment", "\(name).width", field, low: low, except: exceptions) }

  static let addresses: [FailingValues] = [
    address("control.io-bitmap-a", .ioBitmapAAddress, except: [off(primary, 25)]),
    address("control.io-bitmap-b", .ioBitmapBAddress, except: [off(primary, 25)]),
    address("control.msr-bitmaps", .msrBitmapsAddress, except: [off(primary, 28)]),
    address("control.virtual-apic", .virtualAPICAddress, except: [off(primary, 21)]),
    address("control.apic-access", .apicAccessAddress, except: withoutSecondary(0)),
    [
      bits("control.apic-access.alignment", .long, .apicAccessAddress, "", "control 0, not known to be in use") {
        $0.fields[primary.encoding] = nil
      }
    ],
    address(
      "control.posted-interrupts.descriptor-alignment", "control.posted-interrupts.descriptor-width",
      .postedInterruptDescriptorAddress, low: "5:0", except: [off(pin, 7)]),
    address("control.pml", .pmlAddress, except: withoutSecondary(17)),
    address("control.spp", .subPagePermissionTablePointer, except: withoutSecondary(23)),
    address(
      "control.eptp-list", .eptpListAddress, except: [off(.vmFunctionControls, 0)] + withoutSecondary(13)),
    address("control.vmread-bitmap", .vmreadBitmapAddress, except: withoutSecondary(14)),
    address("control.vmwrite-bitmap", .vmwriteBitmapAddress, except: withoutSecondary(14)),
    address(
      "control.virtualization-exception", .virtualizationExceptionInformationAddress, except: withoutSecondary(18)),
    address(
      "control.pasid.low-alignment", "control.pasid.low-width", .lowPASIDDirectoryAddress,
      except: withoutSecondary(21)),
    address(
      "control.pasid.high-alignment", "control.pasid.high-width", .highPASIDDirectoryAddress,
      except: withoutSecondary(21)),
    address("control.ipi-virtualization", .pidPointerTableAddress, low: "2:0", except: withoutTertiary(4)),
  ].flatMap { $0 }

  static let eptControls: [FailingValues] = joined(
    [
      values(
        "control.ept.memory-type", .long, .eptPointer, of: 0...7, mask: 7, [1, 2, 3, 4, 5, 7],
        except: withoutSecondary(1)),
      values("control.ept.memory-type", .long, .eptPointer, of: 0...7, mask: 7, [0, 1, 2, 3, 4, 5, 7], "no UC") {
        $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 8)
      },
      values("control.ept.memory-type", .long, .eptPointer, of: 0...7, mask: 7, 1...7, "no WB") {
        $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 14)
      },
      bits("control.ept.memory-type", .long, of: .ia32VMXEPTVPIDCAP, "14"),
      values(
        "control.ept.page-walk-length", .long, .eptPointer, of: 0...7, mask: 7, shift: 3, [0, 1, 2, 5, 6, 7],
        except: withoutSecondary(1)),
      values(
        "control.ept.page-walk-length", .long, .eptPointer, of: 0...7, mask: 7, shift: 3, [0, 1, 2, 3, 5, 6, 7], "not 4"
      ) { $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 6) },
      values(
        "control.ept.page-walk-length", .long, .eptPointer, of: 0...7, mask: 7, shift: 3, [0, 1, 2, 4, 5, 6, 7], "not 5"
      ) { $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 7) },
      bits("control.ept.page-walk-length", .long, of: .ia32VMXEPTVPIDCAP, "6"),
      bits(
        "control.ept.accessed-and-dirty-flags", .rich, of: .ia32VMXEPTVPIDCAP, "21",
        except: [off(.eptPointer, 6)] + withoutSecondary(1)),
      bits(
        "control.ept.supervisor-shadow-stack", .rich, of: .ia32VMXEPTVPIDCAP, "23",
        except: [off(.eptPointer, 7)] + withoutSecondary(1)),
      bits("control.ept.accessed-and-dirty-flags", .long, .eptPointer, "6") {
        $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 21)
      },
      bits("control.ept.supervisor-shadow-stack", .long, .eptPointer, "7") {
        $0.capabilities[.ia32VMXEPTVPIDCAP]? &= ~(1 << 23)
      },
      bits("control.ept.reserved", .long, .eptPointer, "63:46, 11:8", except: withoutSecondary(1)),
      bits(
        "control.eptp-switching.ept", .rich, secondary, "1",
        except: [off(.vmFunctionControls, 0)] + withoutSecondary(13)),
    ],
    [
      ("control.pml.ept", 17), ("control.ept.unrestricted-guest", 7), ("control.ept.mode-based-execute-control", 22),
      ("control.spp.ept", 23), ("control.intel-pt.ept", 24),
    ].map { bits($0, .rich, secondary, "1", except: withoutSecondary($1)) })

  static let extensionControls: [FailingValues] = joined(
    [
      bits("control.intel-pt.tracing", .long, entry, "18", except: [{ $0.facts.isTracingEnabled = false }]) {
        $0.facts.isTracingEnabled = true
      },
      bits("control.intel-pt.load-rtit-ctl", .rich, entry, "18", except: withoutSecondary(24)),
      bits("control.intel-pt.clear-rtit-ctl", .rich, exit, "25", except: withoutSecondary(24)),
      bits("control.tsc-multiplier", .rich, .tscMultiplier, "48", except: withoutSecondary(25)),
      values("control.tsc-multiplier", .rich, .tscMultiplier, of: [0, 1, 2, ~1, ~0], [0]),
      bits("control.hlat.ept", .protected, tertiary, "12, 3:1", except: [off(primary, 17)]) { $0.setTertiary([]) },
      bits(
        "control.hlat.pointer-reserved", .rich, .hlatPointer, "63:46, 11:5, 2:0", except: withoutTertiary(1)),
      values(
        "control.ipi-virtualization.last-entry", .rich, .pidPointerTableAddress,
        of: [beyondWidth - 57, beyondWidth - 56, beyondWidth, ~56, ~55, ~0],
        [beyondWidth - 56, beyondWidth, ~56, ~55, ~0], except: withoutTertiary(4)),
      bits("control.ipi-virtualization.last-entry", .rich, .lastPIDPointerIndex, "15:3") {
        $0[.pidPointerTableAddress] = beyondWidth - 64
      },
      bits(
        "control.apic-timer.virtual-interrupt-delivery", .rich, secondary, "9", except: withoutTertiary(8)),
      bits("control.apic-timer.virtual-interrupt-delivery", .long, tertiary, "8") { $0.setTertiary([]) },
      bits("control.apic-timer.rdtsc-exiting", .rich, primary, "12", except: [off(tertiary, 8), off(primary, 17)]),
      bits("control.apic-timer.vector", .rich, .virtualTimerVector, "15:8", except: withoutTertiary(8)),
    ],
    [1, 2, 3, 12].map { (bit: UInt64) in
      bits("control.hlat.ept", .rich, secondary, "1", "tertiary bit \(bit)", except: withoutTertiary(bit)) {
        $0[tertiary] = 1 << bit
      }
    })

  static let msrAreas: [FailingValues] = [
    msrArea("control.exit.msr-store", .vmExitMSRStoreAddress, .vmExitMSRStoreCount),
    msrArea("control.exit.msr-load", .vmExitMSRLoadAddress, .vmExitMSRLoadCount),
    msrArea("control.entry.msr-load", .vmEntryMSRLoadAddress, .vmEntryMSRLoadCount),
  ].flatMap { $0 }

  private static func msrArea(
    _ name: String, _ address: VMCSField<PhysicalAddress, ReadWrite>, _ count: VMCSField<UInt32, ReadWrite>
  ) -> [FailingValues] {
    let two = set(count, 2)
    let addresses: [UInt64] = [0, 1 << 32, beyondWidth - 32, beyondWidth - 31, beyondWidth, ~31, ~30, ~0xF, ~0]
    return [
      bits("\(name).alignment", .rich, address, "3:0", except: [set(count, 0)]),
      bits("\(name).width", .rich, address, "63:46", except: [set(count, 0)]),
      values(
        "\(name).last-byte", .rich, address, of: addresses, addresses.dropFirst(3), except: [set(count, 0)],
        setUp: two),
      bits("\(name).last-byte", .rich, count, "31:2, 0") {
        two(&$0)
        $0[address] = beyondWidth - 32
      },
    ]
  }

  static let smmControls: [FailingValues] = [
    bits("control.exit.save-vmx-preemption-timer-value", .long, exit, "22", except: [on(pin, 6)]),
    bits("control.entry.outside-smm", .long, entry, "11:10", except: [{ $0.facts.isInSMM = true }]),
    bits("control.entry.smm-controls", .long, entry, "11", except: [off(entry, 10)], setUp: on(entry, 10)),
    bits(
      "control.executive-vmcs.alignment", .long, .executiveVMCSPointer, "11:0", except: notFromSMM,
      setUp: FailingState.returnFromSMM),
    bits(
      "control.executive-vmcs.width", .long, .executiveVMCSPointer, "63:46", except: notFromSMM,
      setUp: FailingState.returnFromSMM),
    bits(
      "control.executive-vmcs.revision-identifier", .long, at: 0xE000, "31:0", except: notFromSMM,
      setUp: FailingState.returnFromSMM),
    bits(
      "control.executive-vmcs.vmxon-pointer", .long, .executiveVMCSPointer, "63:0",
      except: notFromSMM + [off(entry, 11)]
    ) {
      FailingState.returnFromSMM(&$0)
      $0[entry] |= 1 << 11
      $0.facts.vmxonPointer = PhysicalAddress(0xE000)
    },
  ]

  /// Changes after which a VM entry does not return from SMM.
  static let notFromSMM: [Change] = [{ $0.facts.isInSMM = false }, on(entry, 10)]
}
