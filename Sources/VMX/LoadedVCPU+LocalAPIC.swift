import VMCS

/// The processor's help with the guest's local APIC (SDM, "APIC Virtualization and Virtual Interrupts").
///
/// What a function needs of the optional controls it says; without them it does nothing.
extension LoadedVCPU {
  /// The optional controls that this vCPU uses.
  @inlinable
  public var options: OptionalControls { state.settings.options }

  /// The virtual-APIC page: the registers of the local APIC at the offsets of xAPIC mode.
  @inlinable
  public var virtualAPICPage: UnsafeMutableRawPointer { state.virtualAPIC }

  /// The task-priority register, in the virtual-APIC page: bits 7:4 are CR8.
  @inlinable
  public var taskPriority: UInt8 {
    get { state.virtualAPIC.load(fromByteOffset: 0x80, as: UInt8.self) }
    nonmutating set { state.virtualAPIC.storeBytes(of: newValue, toByteOffset: 0x80, as: UInt8.self) }
  }

  /// Makes the guest exit when bits 7:4 of its task priority fall below `priority`, 0 to 15; 0 is never.
  ///
  /// Needs "use TPR shadow", and has no meaning with "virtual-interrupt delivery". A priority above that of the task is
  /// cut down to it, because no VM entry takes one that is not reached ("Checks on VMX Controls"); so it is set again
  /// after software has changed the task priority.
  @inlinable
  public mutating func setTPRThreshold(_ priority: UInt8) {
    guard options.contains(.useTPRShadow), !options.contains(.virtualInterruptDelivery) else { return }
    let threshold = min(priority, taskPriority >> 4)
    if threshold == state.tprThreshold { return }
    state.tprThreshold = threshold
    vmcs[.tprThreshold] = TPRThreshold(rawValue: UInt32(threshold))
  }

  /// The highest vectors that are requested and in service: RVI and SVI.
  ///
  /// Needs "virtual-interrupt delivery"; 0 without it.
  @inlinable
  public var guestInterruptStatus: GuestInterruptStatus {
    options.contains(.virtualInterruptDelivery) ? vmcs[.guestInterruptStatus] : GuestInterruptStatus(rawValue: 0)
  }

  /// Says which vectors are the highest that are requested and in service, as IRR and ISR of the virtual-APIC page have
  /// them; 0 is none.
  ///
  /// Needs "virtual-interrupt delivery".
  @inlinable
  public func setGuestInterruptStatus(rvi: UInt8, svi: UInt8) {
    guard options.contains(.virtualInterruptDelivery) else { return }
    vmcs[.guestInterruptStatus] = GuestInterruptStatus(rawValue: UInt16(svi) << 8 | UInt16(rvi))
  }

  /// Says which vectors' EOIs exit: bit n of word m is vector 64m + n.
  ///
  /// Only words that change are written. Needs "virtual-interrupt delivery".
  public mutating func setEOIExitBitmap(_ bitmap: InlineArray<4, UInt64>) {
    guard options.contains(.virtualInterruptDelivery) else { return }
    if bitmap[0] != state.eoiExitBitmaps[0] { vmcs[.eoiExitBitmap0] = bitmap[0] }
    if bitmap[1] != state.eoiExitBitmaps[1] { vmcs[.eoiExitBitmap1] = bitmap[1] }
    if bitmap[2] != state.eoiExitBitmaps[2] { vmcs[.eoiExitBitmap2] = bitmap[2] }
    if bitmap[3] != state.eoiExitBitmaps[3] { vmcs[.eoiExitBitmap3] = bitmap[3] }
    state.eoiExitBitmaps = bitmap
  }

  /// Follows the guest's local APIC into `mode`: virtualizes accesses to its page or to its MSRs, or neither, and opens
  /// the MSRs that the processor then virtualizes.
  ///
  /// A vCPU begins in xAPIC mode.
  public mutating func setLocalAPICMode(_ mode: LocalAPICMode) {
    let modes: SecondaryProcessorBasedVMExecutionControls = [.virtualizeAPICAccesses, .virtualizeX2APICMode]
    let controls = state.secondaryControls.subtracting(modes).union(options.secondary(in: mode))
    if controls != state.secondaryControls {
      state.secondaryControls = controls
      vmcs[.secondaryProcessorBasedVMExecutionControls] = controls
      // Translations that were cached before the change may be used as if there had been none.
      state.eptGeneration = .max
    }
    state.msrBitmaps.setX2APICPassThrough(mode == .x2APIC ? options : [])
  }

  /// Makes the guest exit when the host's time-stamp counter reaches `deadline`, or at once if it has.
  ///
  /// Needs "activate VMX-preemption timer". The timer counts while the guest runs only, and each VM entry starts it with
  /// the same value, so it is set again before each entry; it may be early by what one of its counts takes. A deadline
  /// that is farther away than the timer counts exits before. An NMI of the host's that came before is not lost: the
  /// exit then comes at once.
  @inlinable @inline(never)
  public mutating func setPreemptionTimer(until deadline: UInt64) {
    // Inlined, it would make the run loop too large for the compiler to inline what every exit passes through.
    guard options.contains(.activateVMXPreemptionTimer) else { return }
    let now = state.processor.timestampCounter
    let rate = UInt64(state.settings.capabilities.misc.preemptionTimerRate)
    let ticks = max(deadline, now) &- now
    let counts = (ticks &>> rate) &+ (ticks & ((1 &<< rate) &- 1) == 0 ? 0 : 1)
    vmcs[.vmxPreemptionTimerValue] = UInt32(clamping: counts)
    if state.hostNMI.hasCome { vmcs[.vmxPreemptionTimerValue] = 0 }
  }

  /// What remembers the NMIs of the host's.
  public var hostNMI: HostNMIFlag { state.hostNMI }

  /// Forgets the host's NMIs that have come until now; what they were for is looked at after this.
  ///
  /// The VMX-preemption timer may be at 0 for one of them, so it has to be set before the next entry.
  @inlinable @inline(__always)
  public mutating func beginAfterHostNMI() { state.hostNMI.clear() }
}
