import VMCS

/// Why the guest stopped running, with what the reason means.
///
/// Only the VMCS fields that a case carries have been read.
///
/// SDM, "VMX Basic Exit Reasons".
public enum VMExit: Sendable {
  /// An exception of the guest's that the exception bitmap names: `LoadedVCPU.reflect` delivers it.
  case exception(VMExitInterruptionInformation)
  /// An NMI of the host's, which has not been delivered; NMIs are blocked until the host executes IRET.
  case hostNMI
  /// A machine check of the host's.
  case hostMachineCheck
  /// An interrupt of the host's, which the exit has acknowledged.
  case externalInterrupt(vector: UInt8)
  /// The guest's processor shut down.
  case tripleFault
  /// An INIT signal reached the processor.
  case initSignal
  /// The guest can take an external interrupt now.
  case interruptWindow
  /// The guest can take an NMI now.
  case nmiWindow
  /// The guest has executed one instruction.
  case monitorTrapFlag
  /// The guest switched tasks.
  case taskSwitch(TaskSwitchQualification)
  /// CPUID.
  case cpuid
  /// HLT.
  case hlt
  /// INVD or WBINVD.
  case invalidateCaches
  /// An instruction that the guest's processor, as CPUID describes it, does not have: #UD.
  case undefinedInstruction
  /// An instruction that is not allowed as the guest's processor is set up: #GP(0).
  case forbiddenInstruction
  /// MOV to or from a control register, CLTS, LMSW.
  case controlRegisterAccess(ControlRegisterAccessQualification)
  /// IN, OUT, INS or OUTS.
  case io(IOInstructionQualification)
  /// RDMSR of the MSR in ECX.
  case rdmsr
  /// WRMSR of the MSR in ECX.
  case wrmsr
  /// XSETBV.
  case xsetbv
  /// The guest's task priority fell below the TPR threshold.
  case tprBelowThreshold
  /// An access to the APIC-access page that the processor does not virtualize.
  case apicAccess(APICAccessQualification)
  /// The guest's EOI of `vector`, which the processor has virtualized; RIP is past the instruction.
  case virtualizedEOI(vector: UInt8)
  /// A write to the virtual-APIC page at `offset`, which the processor has made; RIP is past the instruction.
  case apicWrite(offset: UInt16)
  /// The VMX-preemption timer counted down to 0.
  case preemptionTimerExpired
  /// An access that the extended page tables do not allow.
  case eptViolation(guestPhysicalAddress: UInt64, EPTViolationQualification)
  /// An entry of the extended page tables that no processor accepts: Skep's own bug.
  case eptMisconfiguration(guestPhysicalAddress: UInt64)
  /// The VM entry failed after the checks of controls and host state; bit 31 of the reason is 1.
  case entryFailure(ExitReason, qualification: UInt64)
  /// VMLAUNCH or VMRESUME failed: the VM-instruction error, nil for VMfailInvalid.
  case entryInstructionFailed(VMInstructionError?)
  /// A reason that nothing in Skep asked for.
  case unknown(ExitReason)
}

extension VMExit {
  /// Reads what the exit that has just happened, for `reason`, means.
  @inlinable @inline(__always)
  init<P: VMXProcessor>(_ reason: ExitReason, of vmcs: borrowing CurrentVMCS<P>) {
    // The whole field is compared: bit 31, or a bit that nothing enables, makes the reason another one.
    switch reason.rawValue {
    case 1: self = .externalInterrupt(vector: UInt8(truncatingIfNeeded: vmcs[.vmExitInterruptionInformation].rawValue))
    case 2: self = .tripleFault
    case 3: self = .initSignal
    case 7: self = .interruptWindow
    case 8: self = .nmiWindow
    case 9: self = .taskSwitch(TaskSwitchQualification(rawValue: vmcs[.exitQualification]))
    case 10: self = .cpuid
    case 12: self = .hlt
    case 13, 54: self = .invalidateCaches
    case 28: self = .controlRegisterAccess(ControlRegisterAccessQualification(rawValue: vmcs[.exitQualification]))
    case 30: self = .io(IOInstructionQualification(rawValue: vmcs[.exitQualification]))
    case 31: self = .rdmsr
    case 32: self = .wrmsr
    case 48:
      self = .eptViolation(
        guestPhysicalAddress: vmcs[.guestPhysicalAddress],
        EPTViolationQualification(rawValue: vmcs[.exitQualification]))
    case 49: self = .eptMisconfiguration(guestPhysicalAddress: vmcs[.guestPhysicalAddress])
    case 55: self = .xsetbv
    default: self = Self.rare(reason, vmcs)
    }
  }

  /// The reasons that no guest meets often: those that have a case of their own, then by the table.
  @inline(never) @usableFromInline
  static func rare<P: VMXProcessor>(_ reason: ExitReason, _ vmcs: borrowing CurrentVMCS<P>) -> VMExit {
    switch reason.rawValue {
    case 0: return exceptionOrNMI(vmcs[.vmExitInterruptionInformation])
    case 37: return .monitorTrapFlag
    case 43: return .tprBelowThreshold
    case 44: return .apicAccess(APICAccessQualification(rawValue: vmcs[.exitQualification]))
    case 45: return .virtualizedEOI(vector: UInt8(truncatingIfNeeded: vmcs[.exitQualification]))
    case 52: return .preemptionTimerExpired
    case 56: return .apicWrite(offset: UInt16(truncatingIfNeeded: vmcs[.exitQualification]) & 0xFFF)
    // A bit above the basic reason makes it another one.
    case 0x1_0000...: return .unknown(reason)
    default: break
    }
    return switch ExitReasonTreatment(of: reason.basicReason)?.treatment {
    case .invalidOpcode: .undefinedInstruction
    case .generalProtection: .forbiddenInstruction
    default: .unknown(reason)
    }
  }

  private static func exceptionOrNMI(_ information: VMExitInterruptionInformation) -> VMExit {
    if information.type == .nmi { return .hostNMI }
    return information.vector == ExceptionVector.machineCheck.rawValue ? .hostMachineCheck : .exception(information)
  }
}
