import VMCS

/// A virtual processor whose VMCS is the current one of this logical processor.
public struct LoadedVCPU<P: VMXProcessor>: ~Copyable {
  @usableFromInline let vmcs: CurrentVMCS<P>
  @usableFromInline var state: VCPUState<P>

  @usableFromInline
  init(_ vcpu: consuming VCPU<P>) {
    state = vcpu.state
    vmcs = vcpu.region.load()
    state.loadProcessorRegisters()
    // This processor may hold translations of an earlier stay.
    state.needsVPIDFlush = true
    state.eptGeneration = .max
  }

  /// Clears the VMCS.
  ///
  /// The next entry, wherever it is, is a VMLAUNCH.
  public consuming func unload() -> VCPU<P> {
    var state = state
    state.saveProcessorRegisters()
    state.isLaunched = false
    return VCPU(region: vmcs.clear(), state: state)
  }

  /// Runs the guest until its next VM exit.
  ///
  /// - Parameter eptGeneration: the number of the extended page tables' last change; INVEPT comes first if it is new.
  @inlinable @inline(__always)
  public mutating func run(eptGeneration: UInt64) -> VMExit {
    if eptGeneration != state.eptGeneration || state.needsVPIDFlush { invalidate(eptGeneration) }
    let wasLaunched = state.isLaunched
    state.owesEndOfShadow = false
    let outcome = state.processor.enter(state.registers, resume: wasLaunched)
    if outcome != .succeed { return entryInstructionFailed(outcome) }
    let reason = vmcs[.exitReason]
    // An entry that fails with an exit reason does not make a VMCS "launched".
    if reason.vmEntryFailure { return .entryFailure(reason, qualification: vmcs[.exitQualification]) }
    state.isLaunched = true
    return VMExit(reason, of: vmcs)
  }

  @inline(never) @usableFromInline
  func entryInstructionFailed(_ outcome: VMXOutcome) -> VMExit {
    .entryInstructionFailed(outcome == .failValid ? vmcs[.vmInstructionError] : nil)
  }

  /// Drops the translations that may be stale: those of the extended page tables, which include the linear ones, or
  /// those of the VPID alone.
  @inline(never) @usableFromInline
  mutating func invalidate(_ eptGeneration: UInt64) {
    let processor = state.processor
    if eptGeneration != state.eptGeneration {
      let singleContext: UInt64 = 1
      processor.requireSuccess(processor.invept(singleContext, state.settings.eptPointer.rawValue), of: "INVEPT")
      state.eptGeneration = eptGeneration
    }
    if state.settings.controls.secondary.contains(.enableVPID) {
      let singleContext: UInt64 = 1
      processor.requireSuccess(processor.invvpid(singleContext, state.settings.vpid, 0), of: "INVVPID")
    }
    state.needsVPIDFlush = false
  }

  /// Moves RIP past the instruction that exited, which has been emulated, and does what the end of an instruction does:
  /// blocking by STI and by MOV SS ends, and RFLAGS.RF; with RFLAGS.TF the debug exception of a single step is pending.
  ///
  /// Four VMREADs and one VMWRITE.
  @inlinable @inline(__always)
  public mutating func advance() { advance(by: vmcs[.vmExitInstructionLength]) }

  /// The same past an instruction of `length` bytes, where the exit does not say how many it has.
  @inlinable @inline(__always)
  public mutating func advance(by length: UInt32) {
    moveRIP(by: length)
    let interruptibility = vmcs[.guestInterruptibilityState].rawValue
    let (tf, rf): (UInt64, UInt64) = (1 << 8, 1 << 16)
    if UInt64(interruptibility) & 3 | vmcs[.guestRFLAGS].rawValue & (tf | rf) != 0 { endInstruction(interruptibility) }
  }

  /// `advance()` after CPUID, in three VMREADs: blocking by STI and by MOV SS ends when an event is to be delivered.
  ///
  /// With RFLAGS.TF or RF all is done at once. Else only these could tell: a data breakpoint that MOV SS has met, and a
  /// virtual interrupt that the processor delivers by itself, which come an instruction late.
  @inlinable @inline(__always)
  public mutating func advanceAfterCPUID() {
    moveRIP(by: vmcs[.vmExitInstructionLength])
    if vmcs[.guestRFLAGS].rawValue & (1 << 8 | 1 << 16) != 0 {
      endInstruction(vmcs[.guestInterruptibilityState].rawValue)
    } else {
      state.owesEndOfShadow = true
    }
  }

  @inlinable @inline(__always)
  func moveRIP(by length: UInt32) {
    let rip = vmcs[.guestRIP]
    let next = rip &+ UInt64(length)
    let crosses4GiB = UInt32(truncatingIfNeeded: rip).addingReportingOverflow(length).overflow
    vmcs[.guestRIP] = crosses4GiB ? wrapped(next) : next
  }

  /// RIP where it crosses 4 GiB: outside 64-bit mode it wraps.
  @inline(never) @usableFromInline
  func wrapped(_ rip: UInt64) -> UInt64 { is64Bit ? rip : rip & 0xFFFF_FFFF }

  /// Whether the guest executes 64-bit code.
  public var is64Bit: Bool { vmcs[.guestIA32EFER].lma && vmcs[.guestCSAccessRights].l }

  /// The guest's registers outside the VMCS.
  @inlinable
  public var registers: UnsafeMutablePointer<GuestRegisters> { state.registers }

  /// The general-purpose register with number `index`, 0 to 15, as instructions and exit qualifications encode it.
  @inlinable
  public func generalPurposeRegister(_ index: Int) -> UInt64 {
    index == 4 ? vmcs[.guestRSP] : state.registerFile[index & 15]
  }
}

extension VMXProcessor {
  /// Panics unless `outcome`, of an instruction that has no physical address for an operand, is `.succeed`.
  func requireSuccess(_ outcome: VMXOutcome, of instruction: StaticString) {
    if outcome == .succeed { return }
    stop(PanicReport("a VMX instruction failed", VMXInstructionFailure(of: instruction, on: self, outcome: outcome)))
  }
}
