import VMCS

// The guest's XMM registers stay in the processor: no VM transition and no code of the host's changes them.
extension LoadedVCPU {
  /// XMM0 to XMM15, by number.
  public func xmmRegister(_ number: Int) -> XMMRegister { state.processor.xmmRegister(number) }

  /// Gives XMM0 to XMM15 a value.
  public mutating func setXMMRegister(_ number: Int, to value: XMMRegister) {
    state.processor.setXMMRegister(number, to: value)
  }

  /// The exception that any SSE instruction of the guest raises: #UD by CR0.EM or CR4.OSFXSR, #NM by CR0.TS (SDM,
  /// "Emulation of SSE", "SSE Exceptions").
  public var exceptionOfSSE: Event? {
    let cr0 = vmcs[.guestCR0]
    if cr0.em || !vmcs[.guestCR4].osfxsr { return .invalidOpcode }
    return cr0.ts ? .exception(.deviceNotAvailable) : nil
  }
}
