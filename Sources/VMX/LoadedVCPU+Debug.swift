import VMCS

/// What debugging in the guest asks of the emulation of its instructions (SDM, "Debug Exceptions").
///
/// Data breakpoints on descriptors and task-state segments, which segment loads and task switches access, are not among
/// it.
extension LoadedVCPU {
  /// What is rare at the end of an instruction: it ends blocking by STI and by MOV SS, and RFLAGS.RF; with RFLAGS.TF a
  /// single step is pending.
  @inline(never) @usableFromInline
  mutating func endInstruction(_ interruptibility: UInt32) {
    if interruptibility & 3 != 0 {
      vmcs[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: interruptibility & ~3)
    }
    clearResumeFlag()
    if isSingleStepping { addPendingDebugExceptions(Self.singleStep) }
  }

  /// Whether a debug exception follows each instruction: RFLAGS.TF is 1 and IA32_DEBUGCTL.BTF is 0.
  ///
  /// With BTF only branches trap, and no branch is emulated.
  public var isSingleStepping: Bool { vmcs[.guestRFLAGS].tf && !vmcs[.guestIA32DEBUGCTL].btf }

  /// Whether any breakpoint is enabled.
  @inlinable
  public var hasBreakpoints: Bool {
    @inline(__always) get { vmcs[.guestDR7].rawValue & 0xFF != 0 }
  }

  // MARK: I/O breakpoints

  /// `advance()` after IN or OUT of `byteCount` bytes at `port`: an I/O breakpoint there is pending then.
  ///
  /// One VMREAD more.
  @inlinable @inline(__always)
  public mutating func advance(pastAccessTo port: UInt16, byteCount: Int) {
    if hasBreakpoints { addIOBreakpoints(port, byteCount) }
    advance()
  }

  /// Ends one iteration of INS or OUTS that has accessed `byteCount` bytes at `port`, and after which the instruction goes
  /// on: whether a debug exception is pending that comes first.
  public mutating func endIteration(accessing port: UInt16, byteCount: Int) -> Bool {
    if hasBreakpoints { addIOBreakpoints(port, byteCount) }
    return endIteration()
  }

  /// Makes those I/O breakpoints pending that the access has met: enabled, with R/W 10B while CR4.DE is 1.
  @inline(never) @usableFromInline
  mutating func addIOBreakpoints(_ port: UInt16, _ byteCount: Int) {
    guard vmcs[.guestCR4].de else { return }
    addBreakpoints(breakpoints(metAt: UInt64(port), byteCount: byteCount, kinds: 1 << 0b10))
  }

  // MARK: Data breakpoints

  /// The numbers, as bits, of the data breakpoints that an access to memory meets: enabled, with R/W 11B, or 01B if the
  /// access is a write.
  ///
  /// - Parameter linear: the linear address of the operand.
  public func dataBreakpoints(metAt linear: UInt64, byteCount: Int, isWrite: Bool) -> UInt64 {
    breakpoints(metAt: linear, byteCount: byteCount, kinds: 1 << 0b11 | (isWrite ? 1 << 0b01 : 0))
  }

  /// Makes breakpoints pending that an access has met; none if `numbers` is 0.
  public mutating func addBreakpoints(_ numbers: UInt64) {
    if numbers != 0 { addPendingDebugExceptions(numbers | Self.enabledBreakpoint) }
  }

  // MARK: Repetition

  /// Ends one iteration of a repeated string instruction that goes on: whether a debug exception is pending that comes
  /// first.
  ///
  /// A breakpoint or a single step traps after each iteration (SDM, "REP/REPE/REPZ/REPNE/REPNZ—Repeat String Operation
  /// Prefix"); RIP stays at the instruction.
  public mutating func endIteration() -> Bool {
    if isSingleStepping { addPendingDebugExceptions(Self.singleStep) }
    return hasPendingDebugException
  }

  /// Ends an exit of a repeated string instruction that is to go on: blocking by STI and by MOV SS ends, and an
  /// instruction breakpoint that was there when it began is not met again (SDM, "Resume Flag").
  public mutating func pauseRepetition() {
    endInterruptShadow()
    if hasBreakpoints { vmcs[.guestRFLAGS].rf = true }
  }

  // MARK: What they share

  /// Whether a debug exception is pending, to be delivered before any interrupt.
  public var hasPendingDebugException: Bool {
    vmcs[.guestPendingDebugExceptions].rawValue & (Self.singleStep | Self.enabledBreakpoint) != 0
  }

  /// The numbers, as bits, of the enabled breakpoints that an access meets.
  ///
  /// - Parameter kinds: what their R/W may be: bits 0 to 3.
  private func breakpoints(metAt first: UInt64, byteCount: Int, kinds: UInt64) -> UInt64 {
    let dr7 = vmcs[.guestDR7].rawValue
    let last = first &+ UInt64(byteCount) &- 1
    var met: UInt64 = 0
    for number in 0..<4 {
      let control = dr7 >> UInt64(16 + 4 * number) & 0xF
      guard dr7 >> UInt64(2 * number) & 3 != 0, kinds >> (control & 3) & 1 != 0 else { continue }
      // Lengths are encoded as 1, 2, 8 and 4 bytes less 1; a breakpoint is aligned to its length.
      let extent: UInt64 = control >> 2 == 2 ? 7 : control >> 2
      let start = state.processor.debugRegister(number) & ~extent
      if start <= last && first <= start | extent { met |= 1 << UInt64(number) }
    }
    return met
  }

  private mutating func clearResumeFlag() {
    var flags = vmcs[.guestRFLAGS]
    guard flags.rf else { return }
    flags.rf = false
    vmcs[.guestRFLAGS] = flags
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
    debugControl.btf = false
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
