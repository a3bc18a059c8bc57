import VMCS
import VMX

extension Instruction {
  /// The effective address of the memory operand: its offset in the segment (SDM, "Memory Operands").
  ///
  /// - Parameter rip: the address of the instruction.
  public func effectiveAddress(_ registers: RegisterFile, rip: UInt64) -> UInt64 {
    var address = memory.displacement
    if let base = memory.base {
      address &+= operation == .pop && base == RegisterFile.rsp ? stackPointerAfterPop(registers) : registers[base]
    }
    if let index = memory.index { address &+= registers[index] &<< UInt64(memory.scale) }
    if memory.isRIPRelative { address &+= rip &+ UInt64(truncatingIfNeeded: length) }
    if operation == .xlat { address &+= registers[RegisterFile.rax] & 0xFF }
    if isBitString { address &+= bitStringOffset(registers) }
    return address & mask(ofSize: memory.addressSize)
  }

  /// RSP as POP leaves it: its operand in memory is found by it (SDM, "POP—Pop a Value From the Stack").
  private func stackPointerAfterPop(_ registers: RegisterFile) -> UInt64 {
    let rsp = registers[RegisterFile.rsp]
    let mask = mask(ofSize: stackAddressSize)
    return rsp & ~mask | (rsp &+ UInt64(truncatingIfNeeded: memorySize)) & mask
  }

  /// The offset of the second operand in memory in its segment.
  ///
  /// - Precondition: `secondOperand` is not `none`; otherwise it has no meaning.
  public func secondEffectiveAddress(_ registers: RegisterFile) -> UInt64 {
    switch secondOperand {
    case .stack:
      let size = operation == .push ? UInt64(truncatingIfNeeded: memorySize) : 0
      return (registers[RegisterFile.rsp] &- size) & mask(ofSize: stackAddressSize)
    default: return registers[RegisterFile.rdi] & mask(ofSize: memory.addressSize)
    }
  }

  /// The segment of the second operand in memory.
  public var secondSegment: GuestSegment { secondOperand == .stack ? .ss : .es }

  /// Whether a register selects a bit of a bit string, which reaches beyond the operand (SDM, "BT—Bit Test").
  private var isBitString: Bool { operation.rawValue &- Operation.bt.rawValue < 4 && source == .register }

  /// How far from its address the part of the bit string is that has the bit.
  private func bitStringOffset(_ registers: RegisterFile) -> UInt64 {
    let offset = Int64(
      bitPattern: signExtended(registers.read(register, size: registerSize), fromSize: registerSize))
    // Operands have 2, 4 or 8 bytes: 16, 32 or 64 bits.
    let bitCount = 8 &* Int64(memorySize)
    return UInt64(bitPattern: (offset & ~(bitCount &- 1)) >> 3)
  }
}

extension RegisterFile {
  static var rax: UInt8 { 0 }
  static var rcx: UInt8 { 1 }
  static var rdx: UInt8 { 2 }
  static var rbx: UInt8 { 3 }
  static var rsp: UInt8 { 4 }
  static var rsi: UInt8 { 6 }
  static var rdi: UInt8 { 7 }
}
