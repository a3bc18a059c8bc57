import VMCS

/// What INIT and SIPI do to a processor (SDM, "Processor State After Power-up, Reset, or INIT"; "The INIT-SIPI-SIPI
/// Sequence").
extension LoadedVCPU {
  /// Gives the registers the values of after an INIT, and drops every event that waits.
  ///
  /// What INIT leaves alone stays: CD and NW of CR0, the time-stamp counter, XCR0, the floating-point and vector registers,
  /// and the MSRs but IA32_EFER and IA32_DEBUGCTL. The local APIC has an INIT of its own. Whether the processor waits for
  /// a SIPI then is the caller's to know: it does not enter a vCPU that waits.
  public mutating func applyINIT() {
    let cr0 = register(.cr0)
    state.registers.initialize(to: GuestRegisters())
    state.registers.pointee.rdx = UInt64(state.processor.cpuid(1, 0).eax)
    state.clearProcessorRegisters()
    state.loadProcessorRegisters()
    state.cr4 = CR4(rawValue: 0)
    state.events = PendingEvents()
    vmcs[.vmEntryInterruptionInformation] = VMEntryInterruptionInformation(rawValue: 0)
    setWindows(interrupt: false, nmi: false, nextInstruction: false)
    setEFER(IA32EFER(rawValue: 0))
    GuestResetState.writeRegisters(to: vmcs, settings: state.settings, cr0: cr0 & GuestResetState.kept | 1 << 4)
    GuestResetState.writeNonRegisterState(to: vmcs)
    state.needsVPIDFlush = true
  }

  /// Begins at physical address `vector` × 1000H in real-address mode, as after an INIT and this SIPI.
  public func applySIPI(vector: UInt8) {
    vmcs[.guestCSSelector] = SegmentSelector(rawValue: UInt16(vector) << 8)
    vmcs[.guestCSBase] = UInt64(vector) << 12
    vmcs[.guestRIP] = 0
  }
}
