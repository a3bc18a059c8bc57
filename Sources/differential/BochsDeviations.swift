import EntryProbe
import VMCS
import VMEntryChecks

extension BochsDeviation {
  /// Every known deviation of Bochs 2.7 from the SDM in VM entries.
  ///
  /// The comparison allows exactly these.
  static let all: [BochsDeviation] = [
    BochsDeviation(
      statement: """
        Basic VM-Entry Checks: a VM entry with a shadow VMCS as the current VMCS is VMfailInvalid. Bochs goes on to the \
        checks of its fields, which the probe leaves 0.
        """,
      omitted: ["basic.shadow-vmcs"], condition: { $0.entry == .onShadowVMCS },
      added: .vmFailValid(VMInstructionError(rawValue: 7))),
    BochsDeviation(
      statement: """
        Checks on Guest Non-Register State: the reserved bits of the pending debug exceptions are 0. Bochs looks at bits \
        31:0 only.
        """,
      omitted: ["guest.pending-debug-exceptions.reserved"],
      condition: { $0.fields[.guestPendingDebugExceptions] & 0xFFFF_AFF0 == 0 }),
    BochsDeviation(
      statement: """
        Checks on Guest Non-Register State: with blocking by STI or by MOV SS, or in the HLT state, the BS bit of the \
        pending debug exceptions has to be what RFLAGS.TF and IA32_DEBUGCTL.BTF make it. Bochs has no such check.
        """,
      omitted: ["guest.pending-debug-exceptions.bs-set", "guest.pending-debug-exceptions.bs-clear"]),
    BochsDeviation(
      statement: """
        Checks on Guest Non-Register State: the RTM bit of the pending debug exceptions goes with bit 12 alone, on a \
        processor that has RTM, without blocking by MOV SS. Bochs has no such check.
        """,
      omitted: [
        "guest.pending-debug-exceptions.rtm-bits", "guest.pending-debug-exceptions.rtm-supported",
        "guest.pending-debug-exceptions.rtm-mov-ss",
      ]),
    BochsDeviation(
      statement: """
        Checks on Guest RIP, RFLAGS, and SSP: in 64-bit mode the bits of RIP above the linear-address width are all the \
        same. Bochs looks at RIP only outside 64-bit mode.
        """,
      omitted: ["guest.rip.high-bits"]),
    BochsDeviation(
      statement: """
        Checks on Host (Guest) Control Registers, MSRs, and SSP: with the control that loads IA32_PERF_GLOBAL_CTRL, the \
        bits that are reserved in that MSR are 0. Bochs has neither the MSR nor the check.
        """,
      omitted: ["host.perf-global-ctrl.reserved", "guest.perf-global-ctrl.reserved"]),
    BochsDeviation(
      statement: """
        Checks on Guest Control Registers, Debug Registers, and MSRs: with "load debug controls", the bits that are \
        reserved in IA32_DEBUGCTL are 0. Bochs has no such check.
        """,
      omitted: ["guest.debugctl.reserved"]),
    BochsDeviation(
      statement: """
        Checks on Guest Control Registers, Debug Registers, and MSRs: with "IA-32e mode guest", CR0.PG is 1, with \
        "unrestricted guest" too. Bochs does not ask for it then.
        """,
      omitted: ["guest.cr0.pg-for-ia-32e-mode"],
      condition: { $0.hasSecondary(1 << 7) }),
    BochsDeviation(
      statement: """
        Checks on Guest Segment Registers: the DPL of CS is the DPL of SS if the type is 9 or 11, and not above it if the \
        type is 13 or 15. Bochs compares it to the RPL of CS instead. Here: it does not compare the two DPLs.
        """,
      omitted: ["guest.cs.access-rights.dpl.non-conforming", "guest.cs.access-rights.dpl.conforming"]),
    BochsDeviation(
      statement: """
        As before. Here: Bochs fails the VM entry for the RPL of CS, of which the SDM says nothing.
        """,
      condition: { $0.hasCSPrivilegeOfItsOwn }, added: .invalidGuestState(VMEntryFailureQualification(rawValue: 0))),
    BochsDeviation(
      statement: """
        Checks on Guest Segment Registers: base and access rights of SS are checked unless it is unusable. Bochs does not \
        look at them in 64-bit mode if its selector is null either.
        """,
      omitted: [
        "guest.ss.base.bits-63-32", "guest.ss.access-rights.type", "guest.ss.access-rights.s",
        "guest.ss.access-rights.p", "guest.ss.access-rights.bits-11-8", "guest.ss.access-rights.bits-31-17",
        "guest.ss.access-rights.g-clear", "guest.ss.access-rights.g-set",
      ],
      condition: { $0.hasNullSSIn64BitMode }),
    BochsDeviation(
      statement: """
        Checks on Guest Segment Registers: the DPL of DS, ES, FS and GS is not below the RPL if the type is 0 to 11. Bochs \
        makes the check for types 0 to 10.
        """,
      omitted: ["guest.ds.access-rights.dpl"], condition: { $0.fields[.guestDSAccessRights] & 15 == 11 }),
    BochsDeviation(
      statement: "As before, for ES.", omitted: ["guest.es.access-rights.dpl"],
      condition: { $0.fields[.guestESAccessRights] & 15 == 11 }),
    BochsDeviation(
      statement: "As before, for FS.", omitted: ["guest.fs.access-rights.dpl"],
      condition: { $0.fields[.guestFSAccessRights] & 15 == 11 }),
    BochsDeviation(
      statement: "As before, for GS.", omitted: ["guest.gs.access-rights.dpl"],
      condition: { $0.fields[.guestGSAccessRights] & 15 == 11 }),
    BochsDeviation(
      statement: """
        Checks on Guest Non-Register State: only some events may be injected in the HLT state: external interrupts, NMIs, \
        #DB, #MC and a pending MTF VM exit. Bochs injects any event.
        """,
      omitted: ["guest.activity-state.injected-event"], condition: { $0.fields[.guestActivityState] == 1 }),
    BochsDeviation(
      statement: """
        Checks on Guest Non-Register State: in the shutdown state only NMIs and #MC may be injected. Bochs lets an external \
        interrupt with vector 18 pass.
        """,
      omitted: ["guest.activity-state.injected-event"],
      condition: {
        $0.fields[.guestActivityState] == 2 && $0.fields[.vmEntryInterruptionInformation] & 0xFF == 18
      }),
    BochsDeviation(
      statement: """
        VM-Entry Control Fields: outside SMM, "entry to SMM" and "deactivate dual-monitor treatment" are 0. Bochs does not \
        check where it is.
        """,
      omitted: ["control.entry.outside-smm"]),
    BochsDeviation(
      statement: """
        VM-Entry Control Fields: interruption type 7 (other event) is reserved where "monitor trap flag" is not supported, \
        and its vector is 0. Bochs accepts the type everywhere, and checks the vector nowhere.
        """,
      omitted: ["control.event-injection.type", "control.event-injection.other-event-vector"],
      condition: { $0.fields[.vmEntryInterruptionInformation] & 0x700 == 0x700 }),
    BochsDeviation(
      statement: """
        VM-Entry Control Fields: deliver error code is 0 if the event is not a hardware exception, or if “unrestricted \
        guest” is 1 and CR0.PE is 0, whatever IA32_VMX_BASIC bit 56 is. Bochs does not check it at all on models in which that bit is 1.
        """,
      omitted: ["control.event-injection.deliver-error-code.clear"],
      condition: { ($0.environment.capabilities[.ia32VMXBASIC] ?? 0) >> 56 & 1 == 1 }),
    BochsDeviation(
      statement: """
        Checks on Guest RIP, RFLAGS, and SSP: bits 63:N of SSP are all the same, where N is the linear-address width; bit \
        N - 1 may differ. Bochs demands a canonical address.
        """,
      condition: { $0.loadsGuestSSPOfWhichBit47Differs },
      added: .invalidGuestState(VMEntryFailureQualification(rawValue: 0))),
    BochsDeviation(
      statement: """
        Checks on Guest Non-Register State: with "virtual NMIs", there is no blocking by NMI if an NMI is injected. Bochs \
        has no such check.
        """,
      omitted: ["guest.interruptibility-state.virtual-nmi"]),
    BochsDeviation(
      statement: """
        Checks on Guest Non-Register State: a processor may require that there is no blocking by STI if an NMI is injected, \
        and then the exit qualification is 3. Bochs requires it, with the exit qualification 0.
        """,
      omitted: ["guest.interruptibility-state.nmi-sti"],
      condition: {
        $0.fields[.guestInterruptibilityState] & 1 == 1
          && $0.fields[.vmEntryInterruptionInformation] & 0x8000_0700 == 0x8000_0200
      }, added: .invalidGuestState(VMEntryFailureQualification(rawValue: 0))),
    BochsDeviation(
      statement: """
        Loading MSRs: MSRs with the indices 800H to 8FFH are not loaded. Bochs makes the check on models with x2APIC only.
        """,
      omitted: ["msr-load.x2apic"], condition: { $0.environment[.cpuid1ECX] >> 21 & 1 == 0 }),
    BochsDeviation(
      statement: """
        Loading MSRs: IA32_SMM_MONITOR_CTL, which can be written only in SMM, is not loaded. Bochs has no such MSR, and is \
        told to ignore what is loaded into MSRs that it does not have.
        """,
      omitted: ["msr-load.smm-only"]),
    lastByte(
      "VM-exit MSR-store", omitted: "control.exit.msr-store.last-byte", count: .vmExitMSRStoreCount,
      address: .vmExitMSRStoreAddress),
    lastByte(
      "VM-exit MSR-load", omitted: "control.exit.msr-load.last-byte", count: .vmExitMSRLoadCount,
      address: .vmExitMSRLoadAddress),
    lastByte(
      "VM-entry MSR-load", omitted: "control.entry.msr-load.last-byte", count: .vmEntryMSRLoadCount,
      address: .vmEntryMSRLoadAddress),
  ]

  /// An MSR area whose last byte Bochs computes with a product of 32 bits.
  private static func lastByte(
    _ name: String, omitted: String, count: VMCSField<UInt32, ReadWrite>, address: VMCSField<PhysicalAddress, ReadWrite>
  ) -> BochsDeviation {
    BochsDeviation(
      statement: """
        VM-Exit (VM-Entry) Control Fields: the last byte of the \(name) area is at address + 16 × count - 1, within the \
        physical-address width. Bochs drops the upper bits of 16 × count above 31.
        """,
      omitted: [omitted],
      condition: { $0.fields[count] >= 1 << 28 })
  }
}

extension ProbedState {
  /// Whether one of the secondary controls in `controls` is 1 and in effect.
  fileprivate func hasSecondary(_ controls: UInt64) -> Bool {
    fields[.primaryProcessorBasedVMExecutionControls] >> 31 == 1
      && fields[.secondaryProcessorBasedVMExecutionControls] & controls != 0
  }

  /// Whether CS is a code segment, outside virtual-8086 mode, whose DPL is not its RPL, or above it if it is conforming.
  fileprivate var hasCSPrivilegeOfItsOwn: Bool {
    if fields[.guestRFLAGS] & 1 << 17 != 0 { return false }
    let accessRights = fields[.guestCSAccessRights]
    let (dpl, rpl) = (accessRights >> 5 & 3, fields[.guestCSSelector] & 3)
    return switch accessRights & 15 {
    case 9, 11: dpl != rpl
    case 13, 15: dpl > rpl
    default: false
    }
  }

  /// Whether the guest's SSP is loaded, and canonical but for bit 47 (no model has linear addresses of 57 bits).
  fileprivate var loadsGuestSSPOfWhichBit47Differs: Bool {
    let ssp = fields[.guestSSP]
    return fields[.vmEntryControls] >> 20 & 1 == 1 && (ssp >> 47 == 1 || ssp >> 47 == 0x1_FFFE)
  }

  /// Whether SS is null, in 64-bit mode.
  fileprivate var hasNullSSIn64BitMode: Bool {
    fields[.guestSSSelector] & 0xFFFC == 0 && fields[.vmEntryControls] >> 9 & 1 == 1
      && fields[.guestCSAccessRights] >> 13 & 1 == 1 && fields[.guestRFLAGS] & 1 << 17 == 0
  }
}
