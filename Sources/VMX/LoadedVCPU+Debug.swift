import VMCS

/// What debugging in the guest asks of the emulation of its instructions (SDM, "Debug Exceptions").
///
/// Data breakpoints on what an emulated instruction accesses in memory are not among it.
extension LoadedVCPU {
  /// What is rare at the end of an instruction: it ends blocking by STI and by MOV SS, and a single step is pending.
  @inline(never) @usableFromInline
  mutating func endInstruction(_ interruptibility: UInt32) {
    if interruptibility & 3 != 0 {
      vmcs[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: interruptibility & ~3)
    }
    if isSingleStepping { addPendingDebugExceptions(Self.singleStep) }
  }

  /// Whether a debug exception follows each instruction: RFLAGS.TF is 1 and IA32_DEBUGCTL.BTF is 0.
  ///
  /// With BTF only branches trap, and no branch is emulated.
  public var isSingleStepping: Bool { vmcs[.guestRFLAGS].tf && !vmcs[.guestIA32DEBUGCTL].btf }

  /// `advance()` after IN or OUT of `byteCount` bytes at `port`: an I/O breakpoint there is pending then.
  ///
  /// One VMREAD more.
  @inlinable @inline(__always)
  public mutating func advance(pastAccessTo port: UInt16, byteCount: Int) {
    if vmcs[.guestDR7].rawValue & 0xFF != 0 { addIOBreakpoints(port, byteCount) }
    advance()
  }

  /// Ends one iteration of INS or OUTS that has accessed `byteCount` bytes at `port`, and after which the instruction goes
  /// on: whether a debug exception is pending that comes first.
  ///
  /// A breakpoint or a single step traps after each iteration (SDM, "REP/REPE/REPZ/REPNE/REPNZ—Repeat String Operation
  /// Prefix"); RIP stays at the instruction.
  public mutating func endIteration(accessing port: UInt16, byteCount: Int) -> Bool {
    if vmcs[.guestDR7].rawValue & 0xFF != 0 { addIOBreakpoints(port, byteCount) }
    if isSingleStepping { addPendingDebugExceptions(Self.singleStep) }
    return hasPendingDebugException
  }

  /// Whether a debug exception is pending, to be delivered before any interrupt.
  public var hasPendingDebugException: Bool {
    vmcs[.guestPendingDebugExceptions].rawValue & (Self.singleStep | Self.enabledBreakpoint) != 0
  }

  /// Makes those I/O breakpoints pending that the access has met: enabled, with R/W 10B while CR4.DE is 1.
  @inline(never) @usableFromInline
  mutating func addIOBreakpoints(_ port: UInt16, _ byteCount: Int) {
    guard vmcs[.guestCR4].de else { return }
    let dr7 = vmcs[.guestDR7].rawValue
    var met: UInt64 = 0
    for number in 0..<4 {
      let control = dr7 >> UInt64(16 + 4 * number) & 0xF
      guard dr7 >> UInt64(2 * number) & 3 != 0, control & 3 == 0b10 else { continue }
      // Lengths are encoded as 1, 2, 8 and 4 bytes less 1; a breakpoint is aligned to its length.
      let last: UInt64 = control >> 2 == 2 ? 7 : control >> 2
      let first = state.processor.debugRegister(number) & ~last
      if first <= UInt64(port) + UInt64(byteCount) - 1 && UInt64(port) <= first | last { met |= 1 << UInt64(number) }
    }
    if met != 0 { addPendingDebugExceptions(met | Self.enabledBreakpoint) }
  }

  func addPendingDebugExceptions(_ bits: UInt64) {
    let pending = vmcs[.guestPendingDebugExceptions].rawValue
    vmcs[.guestPendingDebugExceptions] = PendingDebugExceptions(rawValue: pending | bits)
  }

  /// Does what the delivery of a debug exception does to DR6, DR7 and IA32_DEBUGCTL and what a VM exit has left undone.
  ///
  /// - Parameter conditions: as the exit qualification has them, and BT where DR6 has it.
  mutating func applyDebugException(_ conditions: UInt64) {
    // BLD and RTM are 0 if so in DR6, and 1 if so in the qualification.
    let activeLow: UInt64 = 1 << 11 | 1 << 16
    let breakpoints: UInt64 = 0xF
    let known = conditions & (breakpoints | 1 << 13 | Self.singleStep | 1 << 15 | activeLow)
    let dr6 = state.processor.debugRegister(6) & ~breakpoints | activeLow
    state.processor.setDebugRegister(6, to: (dr6 | known) ^ known & activeLow)
    var dr7 = vmcs[.guestDR7]
    dr7.gd = false
    vmcs[.guestDR7] = dr7
    var debugControl = vmcs[.guestIA32DEBUGCTL]
    debugControl.lbr = false
    vmcs[.guestIA32DEBUGCTL] = debugControl
    // No VM entry takes blocking by STI or MOV SS with RFLAGS.TF unless a single step is pending ("Checks on Guest
    // Non-Register State").
    if vmcs[.guestInterruptibilityState].rawValue & 3 != 0 && isSingleStepping {
      addPendingDebugExceptions(Self.singleStep)
    }
  }

  private static var singleStep: UInt64 { 1 << 14 }
  private static var enabledBreakpoint: UInt64 { 1 << 12 }
}
