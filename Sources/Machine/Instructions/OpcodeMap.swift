/// How an instruction encodes its operands: the "Op/En" column of the SDM's instruction reference.
enum OperandEncoding {
  /// Memory or register, then register.
  case mr
  /// Register, then memory or register.
  case rm
  /// Memory or register, then an immediate of the operand size, of 4 bytes at most.
  case mi
  /// Memory or register, then an immediate byte.
  case mi8
  /// Memory or register, then 1.
  case m1
  /// Memory or register, then CL.
  case mc
  /// Memory or register, then register, then an immediate byte.
  case mri8
  /// Memory or register, then register, then CL.
  case mrc
  /// Register, then memory or register, then an immediate of the operand size, of 4 bytes at most.
  case rmi
  /// Register, then memory or register, then an immediate byte.
  case rmi8
  /// Memory or register alone.
  case m
  /// rAX, then an offset in memory.
  case fd
  /// An offset in memory, then rAX.
  case td
  /// Operands that the opcode implies: those of string instructions.
  case zo
}

/// The size of a memory operand.
enum OperandWidth {
  /// 1 byte.
  case byte
  /// 2 bytes.
  case word
  /// 4 bytes, or 2 with an operand size of 2.
  case doubleword
  /// 4 bytes, whatever the operand size: that of MOVSS, MOVD and MOVDIRI.
  case singlePrecision
  /// 8 bytes.
  case quadword
  /// 16 bytes.
  case doubleQuadword
  /// The operand size: 2, 4, or 8 with REX.W.
  case full
  /// The operand size of PUSH and POP: 2 or 4, in 64-bit mode 2 or 8.
  case stack
}

/// An opcode's row in the opcode map.
struct Opcode {
  var operation: Operation
  var encoding: OperandEncoding
  var width: OperandWidth
  var condition: UInt8 = 0

  init(_ operation: Operation, _ encoding: OperandEncoding, _ width: OperandWidth, condition: UInt8 = 0) {
    self.operation = operation
    self.encoding = encoding
    self.width = width
    self.condition = condition
  }
}

/// What the opcode maps (SDM, "Opcode Map") say of an opcode.
enum OpcodeEntry {
  /// An instruction that Skep decodes.
  case opcode(Opcode)
  /// No instruction.
  case undefined
  /// An instruction that Skep does not decode.
  case unsupported(UnsupportedInstruction)

  static func row(
    _ operation: Operation, _ encoding: OperandEncoding, _ width: OperandWidth, condition: UInt8 = 0
  ) -> Self {
    .opcode(Opcode(operation, encoding, width, condition: condition))
  }

  /// The width by bit 0 of an opcode.
  private static func width(_ opcode: UInt8) -> OperandWidth { opcode & 1 == 0 ? .byte : .full }

  /// ADD, OR, ADC, SBB, AND, SUB, XOR or CMP.
  private static func arithmetic(_ number: UInt8) -> Operation { Operation(rawValue: number & 7) ?? .add }

  /// Eight operations that follow each other from `first` on, by a number in an opcode or a ModR/M byte.
  private static func operation(_ first: Operation, _ number: UInt8) -> Operation {
    Operation(rawValue: first.rawValue + number) ?? first
  }

  /// "One-byte Opcode Map"; `number` is the ModR/M byte's bits 5:3, which count in groups.
  static func oneByte(_ opcode: UInt8, extension number: UInt8, is64Bit: Bool) -> Self {
    let width = width(opcode)
    switch opcode {
    case 0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x60, 0x61: return is64Bit ? .undefined : .unsupported(.stack)
    case 0x27, 0x2F, 0x37, 0x3F, 0xCE, 0xD4, 0xD5, 0xD6: return is64Bit ? .undefined : .unsupported(.withoutOperand)
    case 0x9A, 0xEA: return is64Bit ? .undefined : .unsupported(.control)
    case 0x00...0x3F where opcode & 7 < 2: return row(arithmetic(opcode >> 3), .mr, width)
    case 0x00...0x3F where opcode & 7 < 4: return row(arithmetic(opcode >> 3), .rm, width)
    // EVEX, or BOUND.
    case 0x62: return .unsupported(is64Bit ? .registersInProcessor : .descriptor)
    case 0x63: return is64Bit ? row(.movsx, .rm, .doubleword) : .unsupported(.descriptor)
    case 0x69: return row(.imulRegister, .rmi, .full)
    case 0x6B: return row(.imulRegister, .rmi8, .full)
    case 0x80, 0x81: return row(arithmetic(number), .mi, width)
    case 0x82: return is64Bit ? .undefined : row(arithmetic(number), .mi, .byte)
    case 0x83: return row(arithmetic(number), .mi8, .full)
    case 0x84, 0x85: return row(.test, .mr, width)
    case 0x86, 0x87: return row(.xchg, .mr, width)
    case 0x88, 0x89: return row(.mov, .mr, width)
    case 0x8A, 0x8B: return row(.mov, .rm, width)
    case 0x8C: return number < 6 ? row(.movFromSegment, .mr, .word) : .undefined
    // CS is not loaded so.
    case 0x8E: return number < 6 && number != 1 ? row(.movToSegment, .rm, .word) : .undefined
    case 0x8F: return number == 0 ? row(.pop, .m, .stack) : .undefined
    case 0xA0, 0xA1: return row(.mov, .fd, width)
    case 0xA2, 0xA3: return row(.mov, .td, width)
    case 0xA4, 0xA5: return row(.movs, .zo, width)
    case 0xA6, 0xA7: return row(.cmps, .zo, width)
    case 0xAA, 0xAB: return row(.stos, .zo, width)
    case 0xAC, 0xAD: return row(.lods, .zo, width)
    case 0xAE, 0xAF: return row(.scas, .zo, width)
    case 0xD7: return row(.xlat, .zo, .byte)
    case 0xC0, 0xC1: return row(operation(.rol, number), .mi8, width)
    case 0xC6, 0xC7: return number == 0 ? row(.mov, .mi, width) : .undefined
    case 0xD0, 0xD1: return row(operation(.rol, number), .m1, width)
    case 0xD2, 0xD3: return row(operation(.rol, number), .mc, width)
    case 0xF6, 0xF7, 0xFE, 0xFF: return unary(opcode, number)
    default: return .unsupported(.oneByte(opcode))
    }
  }

  /// Groups 3, 4 and 5.
  private static func unary(_ opcode: UInt8, _ number: UInt8) -> Self {
    let width = width(opcode)
    switch (opcode & 0xFE, number) {
    // The second is not in the map, but processors have it.
    case (0xF6, 0), (0xF6, 1): return row(.test, .mi, width)
    case (0xF6, 2): return row(.not, .m, width)
    case (0xF6, 3): return row(.neg, .m, width)
    case (0xF6, _): return row(operation(.mul, number - 4), .m, width)
    case (0xFE, 0): return row(.inc, .m, width)
    case (0xFE, 1): return row(.dec, .m, width)
    case (0xFE, 6) where opcode == 0xFF: return row(.push, .m, .stack)
    case (0xFE, 7): return .undefined
    case (0xFE, _) where opcode == 0xFE: return .undefined
    default: return .unsupported(.control)
    }
  }

  /// "Two-byte Opcode Map": opcodes that begin with 0FH.
  static func twoByte(_ opcode: UInt8, extension number: UInt8, isWide: Bool) -> Self {
    switch opcode {
    case 0x04, 0x0A, 0x0B, 0x0C, 0x24...0x27, 0x36, 0x39, 0x3B...0x3F, 0xA6, 0xA7, 0xB9, 0xFF: return .undefined
    case 0x40...0x4F: return row(.cmovcc, .rm, .full, condition: opcode & 15)
    case 0x90...0x9F: return row(.setcc, .m, .byte, condition: opcode & 15)
    case 0xA3: return row(.bt, .mr, .full)
    case 0xA4: return row(.shld, .mri8, .full)
    case 0xA5: return row(.shld, .mrc, .full)
    case 0xAB: return row(.bts, .mr, .full)
    case 0xAC: return row(.shrd, .mri8, .full)
    case 0xAD: return row(.shrd, .mrc, .full)
    case 0xAF: return row(.imulRegister, .rm, .full)
    case 0xB3: return row(.btr, .mr, .full)
    case 0xBB: return row(.btc, .mr, .full)
    case 0xB0, 0xB1: return row(.cmpxchg, .mr, width(opcode))
    case 0xB6: return row(.movzx, .rm, .byte)
    case 0xB7: return row(.movzx, .rm, .word)
    case 0xB8: return .undefined
    case 0xBC: return row(.bsf, .rm, .full)
    case 0xBD: return row(.bsr, .rm, .full)
    case 0xBE: return row(.movsx, .rm, .byte)
    case 0xBF: return row(.movsx, .rm, .word)
    case 0xBA:
      guard number >= 4 else { return .undefined }
      return row(operation(.bt, number - 4), .mi8, .full)
    case 0xC0, 0xC1: return row(.xadd, .mr, width(opcode))
    case 0xC3: return row(.mov, .mr, .full)
    case 0xC7:
      if number == 1 { return isWide ? row(.cmpxchg16b, .m, .doubleQuadword) : row(.cmpxchg8b, .m, .quadword) }
      return number == 0 || number == 2 ? .undefined : .unsupported(.registersInProcessor)
    default: return .unsupported(.twoByte(opcode))
    }
  }

  /// Two-byte opcodes to which F3H belongs.
  static func repeated(_ opcode: UInt8) -> Self {
    switch opcode {
    case 0xB8: row(.popcnt, .rm, .full)
    case 0xBC: row(.tzcnt, .rm, .full)
    case 0xBD: row(.lzcnt, .rm, .full)
    default: .unsupported(.twoByte(opcode))
    }
  }

  /// Group 15 of operands in memory.
  static func group15(_ number: UInt8, hasOperandSizeOverride: Bool) -> Self {
    number == 7 || number == 6 && hasOperandSizeOverride
      ? row(.clflush, .m, .byte) : .unsupported(.registersInProcessor)
  }

  /// "Three-byte Opcode Map: First Two Bytes are 0F 38H".
  ///
  /// - Parameters:
  ///   - prefix: the mandatory prefix, 66H, F3H or F2H; 0 if there is none.
  ///   - isWide: whether REX.W is 1.
  static func threeByte(_ opcode: UInt8, prefix: UInt8, isWide: Bool) -> Self {
    let width: OperandWidth = isWide ? .quadword : .singlePrecision
    switch (opcode, prefix) {
    // MOVNTDQA.
    case (0x2A, 0x66): return row(.movaps, .rm, .doubleQuadword)
    case (0xF0, 0), (0xF0, 0x66): return row(.movbe, .rm, .full)
    case (0xF1, 0), (0xF1, 0x66): return row(.movbe, .mr, .full)
    case (0xF0, 0xF2): return row(.crc32, .rm, .byte)
    case (0xF1, 0xF2): return row(.crc32, .rm, .full)
    case (0xF6, 0x66): return row(.adcx, .rm, width)
    case (0xF6, 0xF3): return row(.adox, .rm, width)
    // MOVDIRI.
    case (0xF9, 0): return row(.mov, .mr, width)
    case (0xF9, _): return .undefined
    // WRSS, WRUSS, INVPCID, moves of 64 bytes, and Key Locker.
    case (0xF0...0xFF, _), (0x80...0x82, _), (_, 0xF2), (_, 0xF3): return .unsupported(.laterExtension)
    default: return .unsupported(.registersInProcessor)
    }
  }

  /// Whether the ModR/M byte is a part of a one-byte opcode.
  static func isOneByteGroup(_ opcode: UInt8) -> Bool {
    switch opcode {
    case 0x80...0x83, 0x8C, 0x8E, 0x8F, 0xC6, 0xC7, 0xF6, 0xF7, 0xFE, 0xFF: true
    default: false
    }
  }
}
