import Machine
import Testing
import VMX

/// Runs `body` on a local APIC after power-up.
func withLocalAPIC(
  id: UInt32 = 0, isBootstrapProcessor: Bool = true, hasX2APICMode: Bool = true,
  _ body: (inout LocalAPIC, UnsafeMutableRawPointer) throws -> Void
) rethrows {
  let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
  defer { page.deallocate() }
  var apic = LocalAPIC(
    page: page, id: id, isBootstrapProcessor: isBootstrapProcessor, physicalAddressWidth: 39,
    hasX2APICMode: hasX2APICMode)
  try body(&apic, page)
}

/// The IA32_APIC_BASE of a mode, at the usual address, of the bootstrap processor.
func apicBase(_ mode: LocalAPICMode) -> UInt64 {
  let bits: [LocalAPICMode: UInt64] = [.disabled: 0, .xAPIC: 2, .x2APIC: 3]
  return 0xFEE0_0100 | bits[mode]! << 10
}

extension LocalAPIC {
  /// Brings it to `mode` and enables it by software, with spurious vector FFH.
  mutating func enable(in mode: LocalAPICMode = .xAPIC) {
    if mode != .xAPIC { #expect(writeMSR(0x1B, apicBase(mode), at: 0) == .baseChanged) }
    _ = writeRegister(LocalAPICRegister.spuriousInterruptVector, 0x1FF)
  }

  /// Writes a register the way the mode has it.
  @discardableResult
  mutating func writeRegister(_ offset: Int, _ value: UInt64, at now: UInt64 = 0) -> LocalAPICEffect {
    mode == .x2APIC
      ? writeMSR(LocalAPICRegister.msr(at: offset), value, at: now)
      : write(offset: offset, UInt32(truncatingIfNeeded: value), at: now)
  }

  /// Reads a register the way the mode has it.
  mutating func readRegister(_ offset: Int, at now: UInt64 = 0) -> UInt64 {
    mode == .x2APIC
      ? readMSR(LocalAPICRegister.msr(at: offset), at: now) ?? .max
      : UInt64(read(offset: offset, at: now))
  }

  /// The vectors of the eight registers from `first` on.
  mutating func vectors(_ first: Int) -> Set<UInt8> {
    var result: Set<UInt8> = []
    for index in 0..<8 {
      let word = readRegister(first + index * 16)
      for bit in 0..<32 where word >> UInt64(bit) & 1 != 0 { result.insert(UInt8(index * 32 + bit)) }
    }
    return result
  }

  /// What ESR says after a write of 0 to it.
  mutating func takeErrors() -> UInt64 {
    writeRegister(LocalAPICRegister.errorStatus, 0)
    return readRegister(LocalAPICRegister.errorStatus)
  }
}
