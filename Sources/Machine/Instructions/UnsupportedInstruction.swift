/// What of the instructions that access memory Skep does not execute in the guest's stead, and why.
///
/// A device has registers of 1 to 8 bytes. Of what accesses them so, all that only moves and calculates is executed; a
/// rest would need the emulation of stacks, descriptors or jumps for what no system does. There Skep stops the guest and
/// says so, since a processor has a result that it could not find. What accesses 10 bytes or more has no defined result
/// on a processor, either: no device takes it; moves of XMM registers alone are two accesses of 8. The others are #UD, so
/// that a program in the guest, which might be given a device's page, cannot stop the guest by it; and so are the few of
/// the same opcode maps, MOVQ of an MMX register among them, that access 4 or 8.
@frozen
public enum UnsupportedInstruction: UInt8, CaseIterable, Sendable {
  /// x87, MMX, AVX, AMX, FXSAVE, XSAVE, and VMX instructions: operands of up to some kilobytes, in registers that only the
  /// processor has. SSE that calculates, converts, compares or rearranges: MOVDDUP, MOVSLDUP, MOVSHDUP, PEXTRQ, PINSRQ
  /// and MASKMOVDQU are among it. Plain moves of XMM registers are emulated.
  case registersInProcessor
  /// LDS, LES, LSS, LFS, LGS, LGDT, LIDT, SGDT, SIDT: far pointers and pseudo-descriptors of up to 10 bytes; SMSW, which
  /// shares their opcode.
  case farPointer
  /// PUSH, POP, ENTER, LEAVE, PUSHF, POPF, PUSHA, POPA: the stack is in a device.
  case stack
  /// CALL, JMP, RET, IRET, INT: the stack, or the address of what comes next, is in a device.
  case control
  /// ARPL, BOUND, LAR, LSL, LLDT, LTR, SLDT, STR, VERR, VERW: system instructions with 2 to 8 bytes in memory.
  case descriptor
  /// WRSS, WRUSS, INVEPT, INVVPID, INVPCID, MOVDIR64B, ENQCMD, Key Locker: the rest of the three-byte opcode map, which
  /// has general-purpose registers and operands of 4 to 64 bytes.
  case laterExtension
  /// INS and OUTS, which make an exit of their own before, and instructions without an operand in memory.
  case withoutOperand

  /// Whether the guest gets #UD; otherwise it stops.
  public var isUndefined: Bool { self == .registersInProcessor || self == .farPointer }

  /// What an opcode of the one-byte map is that `OpcodeEntry` has no row for.
  static func oneByte(_ opcode: UInt8) -> Self {
    switch opcode {
    // In 64-bit mode, and with a register as the operand, the prefix VEX.
    case 0xC4, 0xC5: .registersInProcessor
    case 0x9B, 0xD8...0xDF: .registersInProcessor
    case 0x50...0x5F, 0x68, 0x6A, 0x9C, 0x9D, 0xC8, 0xC9: .stack
    case 0xC2, 0xC3, 0xCA...0xCD, 0xCF, 0xE8: .control
    default: .withoutOperand
    }
  }

  /// What an opcode of the two-byte map is that `OpcodeEntry` has no row for.
  static func twoByte(_ opcode: UInt8) -> Self {
    switch opcode {
    case 0x00, 0x02, 0x03: .descriptor
    case 0x01, 0xB2, 0xB4, 0xB5: .farPointer
    case 0xA0, 0xA1, 0xA8, 0xA9: .stack
    case 0x10...0x17, 0x28...0x2F, 0x50...0x7F, 0x0E, 0x0F, 0x3A, 0xAE, 0xC2...0xC6, 0xD0...0xFE: .registersInProcessor
    default: .withoutOperand
    }
  }
}
