import VMCS

extension LoadedVCPU {
  /// Emulates XSETBV: XCR0 itself is the guest's while it runs, and the host does not use it.
  @inline(never)
  public mutating func emulateXSETBV(_ policy: XCR0Policy) {
    let registers = state.registers
    let index = UInt32(truncatingIfNeeded: registers.pointee.rcx)
    let value = registers.pointee.rdx << 32 | registers.pointee.rax & 0xFFFF_FFFF
    // The processor has checked CR4.OSXSAVE before it exited. Not every one has checked CPL: Bochs has not.
    guard privilegeLevel == 0, policy.allows(index: index, value: value) else { return raise(.generalProtection) }
    state.processor.xcr0 = value
    state.xcr0 = value
    advance()
  }

  /// The guest's XCR0.
  @inlinable
  public var xcr0: UInt64 { state.xcr0 }

  /// CR4's OSXSAVE and PKE as the guest has set them, for the bits of CPUID that follow them; other bits may be stale.
  @inlinable
  public var watchedCR4: CR4 { state.cr4 }

  /// Gives the guest's time-stamp counter the value that its WRMSR wants, by the TSC offset.
  ///
  /// IA32_TSC_ADJUST moves with it (SDM, "IA32_TSC_ADJUST Register Support").
  public mutating func setTimestampCounter(to value: UInt64) {
    vmcs[.tscOffset] = value &- state.processor.timestampCounter
  }

  /// IA32_TSC_ADJUST: by how much the guest has moved its time-stamp counter from where all its vCPUs begin.
  public var timestampCounterAdjustment: UInt64 {
    get { vmcs[.tscOffset] &- state.settings.tscOffset }
    nonmutating set { vmcs[.tscOffset] = state.settings.tscOffset &+ newValue }
  }

  /// What is added to the host's time-stamp counter for the guest's.
  @inlinable
  public var timestampCounterOffset: UInt64 { vmcs[.tscOffset] }

  /// Ends an RDMSR that gives the guest `value`.
  @inlinable
  public mutating func completeRDMSR(_ value: UInt64) {
    state.registers.pointee.rax = value & 0xFFFF_FFFF
    state.registers.pointee.rdx = value >> 32
    advance()
  }

  /// The guest's IA32_DEBUGCTL.
  public var debugControl: IA32DEBUGCTL {
    get { vmcs[.guestIA32DEBUGCTL] }
    nonmutating set { vmcs[.guestIA32DEBUGCTL] = newValue }
  }

  /// The host's time-stamp counter.
  @inlinable
  public var timestampCounter: UInt64 { state.processor.timestampCounter }
}
