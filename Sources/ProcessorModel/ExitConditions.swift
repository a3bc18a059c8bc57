import VMCS

/// Whether a scripted exit is one that the processor could make, so that no test relies on an exit that cannot happen.
extension ProcessorModel {
  /// Faults if the controls of `vmcs` do not allow `exit`.
  func checkPossible(_ exit: ScriptedExit, _ vmcs: VMCSStorage) {
    let reason = exit.reason.basicReason
    if !canExit(reason, vmcs) {
      fault(.impossibleExit("\(reason.title ?? "an unknown reason"): the controls do not cause it"))
    }
    let isAcknowledged = exit.interruptionInformation?.valid ?? false
    let acknowledges = vmcs[.primaryVMExitControls].contains(.acknowledgeInterruptOnExit)
    if reason == .externalInterrupt, isAcknowledged != acknowledges {
      fault(.impossibleExit("external interrupt: its vector is valid exactly if it is acknowledged on exit"))
    }
  }

  private func canExit(_ reason: BasicExitReason, _ vmcs: VMCSStorage) -> Bool {
    let pin = vmcs[.pinBasedVMExecutionControls]
    let primary = vmcs[.primaryProcessorBasedVMExecutionControls]
    let secondary =
      primary.contains(.activateSecondaryControls) ? vmcs[.secondaryProcessorBasedVMExecutionControls] : []
    return switch reason {
    case .externalInterrupt: pin.contains(.externalInterruptExiting)
    case .vmxPreemptionTimerExpired: pin.contains(.activateVMXPreemptionTimer)
    case .interruptWindow: primary.contains(.interruptWindowExiting)
    case .nmiWindow: primary.contains(.nmiWindowExiting)
    case .hlt: primary.contains(.hltExiting)
    case .invlpg: primary.contains(.invlpgExiting)
    case .rdpmc: primary.contains(.rdpmcExiting)
    case .rdtsc: primary.contains(.rdtscExiting)
    case .rdtscp: primary.contains(.rdtscExiting) && secondary.contains(.enableRDTSCP)
    case .movDR: primary.contains(.movDRExiting)
    case .ioInstruction: !primary.isDisjoint(with: [.unconditionalIOExiting, .useIOBitmaps])
    case .mwait: primary.contains(.mwaitExiting)
    case .monitor: primary.contains(.monitorExiting)
    case .monitorTrapFlag: primary.contains(.monitorTrapFlag)
    case .pause: primary.contains(.pauseExiting) || secondary.contains(.pauseLoopExiting)
    case .tprBelowThreshold: primary.contains(.useTPRShadow)
    case .apicAccess: secondary.contains(.virtualizeAPICAccesses)
    case .apicWrite: secondary.contains(.apicRegisterVirtualization)
    case .virtualizedEOI: secondary.contains(.virtualInterruptDelivery)
    case .accessToGDTROrIDTR, .accessToLDTROrTR: secondary.contains(.descriptorTableExiting)
    case .eptViolation, .eptMisconfiguration: secondary.contains(.enableEPT)
    case .wbinvdOrWBNOINVD: secondary.contains(.wbinvdExiting)
    case .rdrand: secondary.contains(.rdrandExiting)
    case .rdseed: secondary.contains(.rdseedExiting)
    case .invpcid: secondary.contains(.enableINVPCID) && primary.contains(.invlpgExiting)
    case .vmfunc: secondary.contains(.enableVMFunctions)
    case .encls: secondary.contains(.enableENCLSExiting)
    case .enclv: secondary.contains(.enableENCLVExiting)
    case .pageModificationLogFull: secondary.contains(.enablePML)
    case .xsaves, .xrstors: secondary.contains(.enableXSAVESXRSTORS)
    case .umwait, .tpause: secondary.contains(.enableUserWaitAndPause) && primary.contains(.rdtscExiting)
    default: true
    }
  }
}
