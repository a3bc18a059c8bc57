import VMCS
import VMX

extension VirtualProcessor {
  /// The exits that no guest meets often; what the host has to do.
  @inline(never) @usableFromInline
  mutating func handleRare<P: VMXProcessor>(_ exit: VMExit, _ vcpu: inout LoadedVCPU<P>) -> HostRequest? {
    switch exit {
    case .controlRegisterAccess(let access):
      vcpu.emulate(access, memory: machine.pointee.memory, physicalAddressWidth: cpuid.physicalAddressWidth)
      localAPIC.synchronizeTaskPriority()
    case .xsetbv: vcpu.emulateXSETBV(xcr0)
    case .invalidateCaches: vcpu.advance()
    case .undefinedInstruction: vcpu.raise(.invalidOpcode)
    case .forbiddenInstruction: vcpu.raise(.generalProtection)
    case .tripleFault: return .stopped(.tripleFault)
    case .entryFailure(let reason, let qualification):
      if reason.basicReason == .vmEntryFailureInvalidGuestState && vcpu.repairSegmentsWithoutType() { break }
      return .stopped(.entryFailure(reason, qualification: qualification))
    case .entryInstructionFailed(let error): return .stopped(.entryInstructionFailed(error))
    case .taskSwitch(let access): return emulateTaskSwitch(access, &vcpu)
    case .exception(let information):
      vcpu.reflect(information)
      // Its delivery may exit before the VMX-preemption timer does, and so on without end.
      if vcpu.hostNMI.hasCome { return .preemptionTimer }
    case .hostNMI: return .nmi
    case .hostMachineCheck: return .stopped(.unsupported("the host had a machine check while the guest ran"))
    case .initSignal: return .stopped(.unsupported("the host's processor got an INIT signal"))
    case .eptMisconfiguration(let address): return .stopped(.eptMisconfiguration(guestPhysicalAddress: address))
    // The interrupt that waits is looked at before the next entry.
    case .tprBelowThreshold: break
    case .apicAccess(let access): return handleAPICAccess(access, &vcpu)
    case .virtualizedEOI(let vector): return finish(localAPIC.virtualEOI(vector: vector), &vcpu)
    case .apicWrite(let offset):
      return finish(localAPIC.completeWrite(offset: Int(offset), at: vcpu.timestampCounter), &vcpu)
    case .unknown(let reason): return .stopped(.unknownExit(reason))
    case .cpuid, .io, .rdmsr, .wrmsr, .eptViolation, .externalInterrupt, .interruptWindow, .nmiWindow,
      .monitorTrapFlag, .hlt, .preemptionTimerExpired:
      break
    }
    return nil
  }

  private mutating func emulateTaskSwitch<P: VMXProcessor>(
    _ access: TaskSwitchQualification, _ vcpu: inout LoadedVCPU<P>
  ) -> HostRequest? {
    do throws(MemoryFault) {
      try vcpu.emulateTaskSwitch(
        access, memory: machine.pointee.memory, physicalAddressWidth: cpuid.physicalAddressWidth)
      return vcpu.hostNMI.hasCome ? .preemptionTimer : nil
    } catch {
      guard case .missingMemory(let address, let isWrite) = error else { return nil }
      return .stopped(.missingMemory(at: address, isWrite: isWrite))
    }
  }
}
