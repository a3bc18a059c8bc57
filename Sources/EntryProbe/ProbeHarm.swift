import VMCS
import VMEntryChecks

/// Which states would end the probe, since a VM exit loads the host state, and the VM-exit MSR areas, whatever they are.
struct ProbeHarm {
  private let physicalAddressWidth: UInt64
  private let hasPreemptionTimer: Bool
  private let hostCR3, hostCR4, hostRIP, hostRSP, hostSCET, hostPKRS, hostTRSelector: Int
  private let storeCount, loadCount, activityState, pin, timer, entryLoadCount, entryLoadAddress: Int
  private let linkPointer, guestCR0, guestCR3, event, entryControls: Int

  init(_ environment: ProbeEnvironment) {
    physicalAddressWidth = environment.capability(.cpuid80000008EAX) & 0xFF
    hostCR3 = VMCSField.hostCR3.index
    hostCR4 = VMCSField.hostCR4.index
    hostRIP = VMCSField.hostRIP.index
    hostRSP = VMCSField.hostRSP.index
    hostSCET = VMCSField.hostIA32SCET.index
    hostPKRS = VMCSField.hostIA32PKRS.index
    hostTRSelector = VMCSField.hostTRSelector.index
    storeCount = VMCSField.vmExitMSRStoreCount.index
    loadCount = VMCSField.vmExitMSRLoadCount.index
    activityState = VMCSField.guestActivityState.index
    pin = VMCSField.pinBasedVMExecutionControls.index
    timer = VMCSField.vmxPreemptionTimerValue.index
    entryLoadCount = VMCSField.vmEntryMSRLoadCount.index
    entryLoadAddress = VMCSField.vmEntryMSRLoadAddress.index
    hasPreemptionTimer = environment.hasPreemptionTimer
    guestCR0 = VMCSField.guestCR0.index
    entryControls = VMCSField.vmEntryControls.index
    linkPointer = VMCSField.vmcsLinkPointer.index
    guestCR3 = VMCSField.guestCR3.index
    event = VMCSField.vmEntryInterruptionInformation.index
  }

  /// Whether `state`, which does no harm since a check fails, could do some when it is changed further.
  func isPossible(from state: ProbeCase) -> Bool { !hasPreemptionTimer && state.value(of: activityState) != nil }

  /// Whether the probe could not go on after a VM entry with `value` in `field`.
  func isDone(by value: UInt64, of field: Int, insteadOf old: UInt64, in state: ProbeCase) -> Bool {
    // Loading millions of MSRs takes for ever.
    if field == entryLoadCount, value > 0xFFFF { return true }
    // What is in low memory only the firmware knows.
    if field == entryLoadAddress || field == linkPointer || field == guestCR3,
      value & 0xFFFF_FFFF < ProbeMemory.zeroed.lowerBound
    {
      return true
    }
    let changed = value ^ old
    if !state.base.isEnterable {
      // A TR that is not null would let the guest be entered.
      return field == hostTRSelector && value & 0xFFF8 != 0
    }
    switch field {
    case hostCR3: return changed & ~0xFFF & (1 << physicalAddressWidth &- 1) != 0
    case hostRIP: return changed & (1 << 47 &- 1) != 0 || changed >> 47 == 0x1_FFFF
    case hostRSP, storeCount, loadCount: return true
    // With CET or protection keys on, what they are about must be off.
    case hostCR4: return state.value(of: hostSCET) != nil || state.value(of: hostPKRS) != nil
    case hostSCET, hostPKRS: return state.value(of: hostCR4) != nil
    // A guest that does nothing leaves only by the timer, or not at all if it waits for a SIPI.
    case activityState:
      return value == 3 || !hasPreemptionTimer || state.value(of: pin) != nil || state.value(of: timer) != nil
    // Bochs 2.7 panics when it is to inject an event of type 7.
    case event: return value >> 31 == 1 && value >> 8 & 7 == 7
    // Bochs 2.7 panics in IA-32e mode without protection, which it lets in.
    case guestCR0: return value & 1 == 0 && (state.base.isInIA32eMode || state.value(of: entryControls) != nil)
    case entryControls:
      return value >> 9 & 1 == 1 && !state.base.isInIA32eMode
        && (state.base == .real || state.value(of: guestCR0) != nil)
    case pin, timer: return state.value(of: activityState) != nil || state.base == .halted
    default: return false
    }
  }
}
