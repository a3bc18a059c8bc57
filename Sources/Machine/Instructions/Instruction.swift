import VMCS
import VMX

/// What an instruction does: the mnemonics of the SDM, "Instruction Set Reference".
@frozen
public enum Operation: UInt8, CaseIterable, Sendable {
  /// The eight of opcodes 00H to 3FH and 80H to 83H, in their order.
  case add, or, adc, sbb, and, sub, xor, cmp
  /// Moves; MOVNTI and MOVDIRI are `mov` and MOVSXD is `movsx`.
  case mov, movzx, movsx, movbe, cmovcc, setcc, xchg
  /// Arithmetic and logic.
  case test, not, neg, inc, dec, xadd, cmpxchg, cmpxchg8b, cmpxchg16b
  /// Shifts and rotates, in the order of opcode D0H.
  case rol, ror, rcl, rcr, shl, shr, sal, sar
  /// Shifts of two operands.
  case shld, shrd
  /// Multiplications and divisions of rAX and rDX, in the order of opcode F6H.
  case mul, imul, div, idiv
  /// IMUL with a destination register.
  case imulRegister
  /// Searches for a bit, and numbers of bits; TZCNT and LZCNT are BSF and BSR to a processor that does not have them.
  case bsf, bsr, popcnt, tzcnt, lzcnt
  /// CRC32, of the low 4 bytes of `register` and the memory operand.
  case crc32
  /// Additions with CF, and with OF in its place.
  case adcx, adox
  /// XLAT: MOV to AL, with AL as an index.
  case xlat
  /// Bit tests, in the order of opcode 0FH BAH.
  case bt, bts, btr, btc
  /// String instructions.
  case movs, cmps, stos, lods, scas
  /// PUSH and POP of an operand in memory.
  case push, pop
  /// MOV from and to a segment register, whose number `register` has.
  case movFromSegment, movToSegment
  /// CLFLUSH, CLFLUSHOPT and CLWB, to which devices are nothing.
  case clflush
  /// Moves between memory and the low bytes of XMM register `register`, of which a load clears the others: MOVUPS, MOVDQU,
  /// MOVSS, MOVSD, MOVD and MOVQ; and MOVAPS, MOVDQA and the non-temporal ones, whose operand is aligned to 16 bytes.
  case movups, movaps
  /// MOVLPS and MOVLPD, MOVHPS and MOVHPD: moves of either half of XMM register `register`.
  case movlps, movhps
}

/// A memory operand as the instruction encodes it (SDM, "Instruction Format", "Addressing-Mode Encoding of ModR/M and
/// SIB Bytes").
@frozen
public struct MemoryReference: Equatable, Sendable {
  /// The segment register.
  public var segment: GuestSegment
  /// The base register, 0 to 15; nil if there is none.
  public var base: UInt8?
  /// The index register, 0 to 15; nil if there is none.
  public var index: UInt8?
  /// By how many bits the index is shifted, 0 to 3.
  public var scale: UInt8
  /// The displacement, sign-extended.
  public var displacement: UInt64
  /// Whether the address of the next instruction is added.
  public var isRIPRelative: Bool
  /// The address size in bytes: 2, 4 or 8.
  public var addressSize: Int

  /// Makes a reference; without base, index and displacement it is 0.
  @inlinable
  public init(
    segment: GuestSegment = .ds, base: UInt8? = nil, index: UInt8? = nil, scale: UInt8 = 0, displacement: UInt64 = 0,
    isRIPRelative: Bool = false, addressSize: Int
  ) {
    self.segment = segment
    self.base = base
    self.index = index
    self.scale = scale
    self.displacement = displacement
    self.isRIPRelative = isRIPRelative
    self.addressSize = addressSize
  }
}

/// A general-purpose register, or a part of one, as an operand.
@frozen
public struct RegisterOperand: Equatable, Sendable {
  /// The register, 0 to 15 as instructions encode it.
  public var index: UInt8
  /// Whether the operand is AH, CH, DH or BH: bits 15:8 of register 0 to 3.
  public var isHighByte: Bool

  /// Makes an operand.
  @inlinable
  public init(_ index: UInt8, isHighByte: Bool = false) {
    self.index = index
    self.isHighByte = isHighByte
  }
}

/// An instruction that accesses memory, decoded.
@frozen
public struct Instruction: Equatable, Sendable {
  /// Where the operand that is not in memory is.
  @frozen
  public enum Source: Sendable {
    /// There is none, or `operation` says it all.
    case none
    /// In `register`.
    case register
    /// In `immediate`.
    case immediate
  }

  /// The second operand in memory that some instructions have.
  @frozen
  public enum SecondOperand: Sendable {
    /// There is none.
    case none
    /// ES:rDI: of MOVS, which writes it, and CMPS, which reads it.
    case string
    /// The top of the stack: of PUSH, which writes it, and POP, which reads it.
    case stack
  }

  /// What it does.
  public var operation: Operation
  /// The memory operand; of a string instruction with two, that at rSI.
  public var memory: MemoryReference
  /// The size of the memory operand in bytes: 1, 2, 4, 8 or, of CMPXCHG16B and XMM registers, 16.
  public var memorySize: Int
  /// The size of the register operand in bytes: 1, 2, 4 or 8, or 16 as the memory operand; greater than `memorySize` for
  /// MOVZX and MOVSX, and 4 for CRC32, which clears the upper half of 8.
  public var registerSize: Int
  /// Whether the memory operand is the destination operand, or would be if the operation had a result.
  public var isDestinationMemory: Bool
  /// The other operand.
  public var source = Source.none
  /// The register operand, if there is one; SHLD, SHRD and IMUL have one beside an immediate.
  public var register = RegisterOperand(0)
  /// The immediate operand, sign-extended, if there is one; the count of a shift that is not in CL.
  public var immediate: UInt64 = 0
  /// Whether CL has the count of a shift.
  public var isCountInCL = false
  /// The condition of CMOVcc and SETcc, as the opcode's bits 3:0 encode it.
  public var condition: UInt8 = 0
  /// The repetition of a string instruction; `none` for the others.
  public var repetition = InstructionPrefixes.Repetition.none
  /// Whether it has a LOCK prefix.
  public var hasLock = false
  /// The stack address-size attribute in bytes: 2, 4 or 8.
  public var stackAddressSize: Int
  /// How many bytes the instruction has.
  public var length: Int
}

extension Instruction {
  /// Whether the memory operand is read.
  @inlinable
  public var readsMemory: Bool {
    switch operation {
    case .mov, .movbe, .movups, .movaps, .movlps, .movhps: !isDestinationMemory
    case .setcc, .stos, .pop, .movFromSegment, .clflush: false
    default: true
    }
  }

  /// Whether the memory operand is written.
  @inlinable
  public var writesMemory: Bool {
    switch operation {
    case .cmp, .test, .bt, .push, .movs, .cmps, .lods, .scas, .mul, .imul, .div, .idiv, .clflush: false
    default: isDestinationMemory
    }
  }

  /// The second operand in memory.
  @inlinable
  public var secondOperand: SecondOperand {
    switch operation {
    case .movs, .cmps: .string
    case .push, .pop: .stack
    default: .none
    }
  }

  /// Whether the second operand in memory is written, and not read.
  @inlinable
  public var writesSecondOperand: Bool { operation == .movs || operation == .push }

  /// Whether it is a string instruction.
  @inlinable
  public var isString: Bool {
    switch operation {
    case .movs, .cmps, .stos, .lods, .scas: true
    default: false
    }
  }

  /// Whether it reads or changes RFLAGS.
  @inlinable
  public var usesFlags: Bool {
    switch operation {
    case .mov, .movzx, .movsx, .movbe, .xchg, .not, .push, .pop, .movFromSegment, .movToSegment, .clflush: false
    case .crc32, .xlat: false
    case .movups, .movaps, .movlps, .movhps: false
    default: true
    }
  }

  /// Whether `register` is a general-purpose register that it reads or changes.
  @inlinable
  public var hasRegister: Bool {
    switch operation {
    case .movFromSegment, .movToSegment, .movups, .movaps, .movlps, .movhps: false
    case .imulRegister: true
    default: source == .register
    }
  }

  /// Whether it reads or changes RSP.
  @inlinable
  public var usesStackPointer: Bool {
    secondOperand == .stack || memory.base == 4 || hasRegister && register.index == 4 && !register.isHighByte
  }
}
