import VMCS

/// What the encoding of an INS or OUTS says beside the exit qualification.
@frozen
public struct StringIOInstruction: Equatable, Sendable {
  /// The segment of the memory operand; ES for every INS.
  public var segment: GuestSegment
  /// The address size in bytes: 2, 4 or 8.
  public var addressSize: Int

  /// Makes it.
  @inlinable
  public init(segment: GuestSegment, addressSize: Int) {
    self.segment = segment
    self.addressSize = addressSize
  }

  /// The part of a register that the address size uses: CX or RCX and so on.
  public func part(of register: UInt64) -> UInt64 { register & mask }

  /// `register` with `value` in the part that the address size uses.
  ///
  /// A doubleword clears the upper half; a word leaves the rest.
  public func register(_ register: UInt64, with value: UInt64) -> UInt64 {
    value & mask | (addressSize == 2 ? register & ~mask : 0)
  }

  private var mask: UInt64 { addressSize == 8 ? ~0 : 1 << UInt64(8 * addressSize) - 1 }
}

extension StringIOInstruction {
  /// Reads "VM-Exit Instruction Information as Used for INS and OUTS"; nil for values that it does not define.
  init?(_ information: INSOUTSInstructionInformation, isINS: Bool) {
    let size = information.addressSize.rawValue
    guard size <= 2, let segment = isINS ? .es : GuestSegment(encoding: information.segmentRegister.rawValue) else {
      return nil
    }
    self.init(segment: segment, addressSize: 2 << Int(size))
  }

  /// Decodes the instruction's bytes, prefixes first (SDM, "Instruction Format"); nil if they are not INS or OUTS.
  init?(decoding bytes: InstructionBytes, _ attributes: SizeAttributes) {
    let prefixes = InstructionPrefixes(of: bytes, is64Bit: attributes.is64Bit)
    let addressSize = prefixes.addressSize(attributes)
    switch bytes[prefixes.count] {
    case 0x6C, 0x6D: self.init(segment: .es, addressSize: addressSize)
    case 0x6E, 0x6F: self.init(segment: prefixes.segment ?? .ds, addressSize: addressSize)
    default: return nil
    }
  }
}

extension GuestSegment {
  /// The segment register that instructions encode as 0 to 5; nil for others.
  init?(encoding: UInt8) {
    guard encoding <= 5 else { return nil }
    self.init(rawValue: Int32(encoding))
  }
}

extension LoadedVCPU {
  /// Finds out what the INS or OUTS of the exit is: from the VM-exit instruction information where the processor gives
  /// it (IA32_VMX_BASIC, bit 54), else from the guest's memory.
  public func stringIOInstruction<Memory: GuestPhysicalMemory>(
    isINS: Bool, _ translation: LinearAddressTranslation, in memory: Memory
  ) throws(MemoryFault) -> StringIOInstruction {
    let hasInformation = state.settings.capabilities.basic.reportsINSAndOUTSInformation
    let instruction =
      hasInformation
      ? StringIOInstruction(
        INSOUTSInstructionInformation(rawValue: vmcs[.vmExitInstructionInformation]), isINS: isINS)
      : try decodeStringIO(translation, in: memory)
    // Not what has exited: the guest, or a device of its, has changed the code in between.
    guard let instruction else { throw .changed }
    return instruction
  }

  private func decodeStringIO<Memory: GuestPhysicalMemory>(
    _ translation: LinearAddressTranslation, in memory: Memory
  ) throws(MemoryFault) -> StringIOInstruction? {
    let bytes = try fetchInstruction(translation, in: memory)
    let count = Int(min(vmcs[.vmExitInstructionLength], UInt32(InstructionBytes.limit)))
    if bytes.count < count { throw fetchFault(ofByte: bytes.count, translation, in: memory) }
    return StringIOInstruction(decoding: bytes.prefix(count), sizeAttributes)
  }
}
