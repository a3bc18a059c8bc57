import VMCS

extension LoadedVCPU {
  /// The default sizes of operands and addresses of the code that the guest executes.
  public var sizeAttributes: SizeAttributes {
    if is64Bit { return .long }
    return SizeAttributes(
      code: vmcs[.guestCSAccessRights].db ? 4 : 2, stack: vmcs[.guestSSAccessRights].db ? 4 : 2)
  }

  /// RIP.
  @inlinable
  public var instructionPointer: UInt64 { vmcs[.guestRIP] }

  /// RSP.
  @inlinable
  public var stackPointer: UInt64 {
    get { vmcs[.guestRSP] }
    nonmutating set { vmcs[.guestRSP] = newValue }
  }

  /// RFLAGS.
  @inlinable
  public var flags: RFLAGS {
    get { vmcs[.guestRFLAGS] }
    nonmutating set { vmcs[.guestRFLAGS] = newValue }
  }

  /// Reads the bytes at RIP, 15 or as many as the guest can fetch.
  ///
  /// If there are fewer, and the instruction is longer, it causes `fetchFault`.
  ///
  /// - Throws: why the first byte cannot be fetched.
  public func fetchInstruction<Memory: GuestPhysicalMemory>(
    _ translation: LinearAddressTranslation, in memory: Memory
  ) throws(MemoryFault) -> InstructionBytes {
    // Nearly always; the rest is the same, for all cases.
    if let bytes = fetchQuickly(physicalAddressWidth: translation.physicalAddressWidth, in: memory) { return bytes }
    return try fetchSlowly(translation, in: memory)
  }

  @inline(never)
  private func fetchSlowly<Memory: GuestPhysicalMemory>(
    _ translation: LinearAddressTranslation, in memory: Memory
  ) throws(MemoryFault) -> InstructionBytes {
    let rip = vmcs[.guestRIP]
    let code = codeOperand(translation)
    let linear = try code.linearAddress(of: rip, byteCount: 1, for: .fetch)
    let address = try code.physicalAddress(of: linear, for: .fetch, in: memory)
    return fetchBytewise(code, at: rip, linear, address, in: memory)
  }

  /// Why byte `index`, which is not the first, of the instruction at RIP cannot be fetched.
  ///
  /// For an index that `fetchInstruction` has left out. `.changed` if the byte has come to be there since.
  public func fetchFault<Memory: GuestPhysicalMemory>(
    ofByte index: Int, _ translation: LinearAddressTranslation, in memory: Memory
  ) -> MemoryFault {
    do throws(MemoryFault) {
      _ = try codeOperand(translation).locate(
        vmcs[.guestRIP] &+ UInt64(truncatingIfNeeded: index), byteCount: 1, for: .fetch, in: memory)
      return .changed
    } catch { return error }
  }

  /// Near the end of a page, of the segment, or of memory.
  @inline(never)
  private func fetchBytewise<Memory: GuestPhysicalMemory>(
    _ code: MemoryOperand, at rip: UInt64, _ linear: UInt64, _ address: UInt64, in memory: Memory
  ) -> InstructionBytes {
    var quadwords: InlineArray<2, UInt64> = [0, 0]
    var page = address & ~0xFFF
    var count = 0
    while count < InstructionBytes.limit {
      do throws(MemoryFault) {
        let next = try code.linearAddress(of: rip &+ UInt64(count), byteCount: 1, for: .fetch)
        if count > 0 && next & 0xFFF == 0 {
          page = try code.physicalAddress(of: next, for: .fetch, in: memory) & ~0xFFF
        }
        guard let byte = memory.load(page | next & 0xFFF, as: UInt8.self) else { break }
        quadwords[count >> 3] |= UInt64(byte) << UInt64(8 * (count & 7))
        count += 1
      } catch { break }
    }
    return InstructionBytes(low: quadwords[0], high: quadwords[1], count: count)
  }

  private func codeOperand(_ translation: LinearAddressTranslation) -> MemoryOperand {
    var code = memoryOperand(in: .cs, translation)
    code.isAlignmentChecked = false
    return code
  }
}
