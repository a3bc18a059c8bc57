import VMCS
import VMX

/// What the bytes at RIP are.
@frozen
public enum InstructionDecoding: Equatable, Sendable {
  /// An instruction that accesses memory.
  case instruction(Instruction)
  /// No instruction: #UD.
  case undefined
  /// More than 15 bytes: #GP(0).
  case tooLong
  /// More bytes than there are.
  case incomplete
  /// An instruction that `Instruction` decodes, but with operands in registers only.
  case withoutMemory
  /// MOV to segment register `number` from general-purpose register `register`: `length` bytes that access a descriptor
  /// table.
  case segmentLoad(number: UInt8, register: UInt8, length: Int)
  /// An instruction that `Instruction` does not decode: x87, AVX and all others that are not an `Operation`.
  case unsupported(UnsupportedInstruction)
}

extension Instruction {
  /// Decodes the instruction that `bytes` begin with (SDM, "Instruction Format").
  public static func decode(_ bytes: InstructionBytes, _ attributes: SizeAttributes) -> InstructionDecoding {
    var decoder = InstructionDecoder(bytes, attributes)
    let decoding = decoder.decode()
    if decoder.position <= bytes.count { return decoding }
    return bytes.count < InstructionBytes.limit ? .incomplete : .tooLong
  }
}

/// Goes through the bytes of an instruction.
///
/// Bytes that are not there are read as 0: what has been decoded counts only if `position` is not beyond them.
struct InstructionDecoder {
  let bytes: InstructionBytes
  let attributes: SizeAttributes
  let prefixes: InstructionPrefixes
  let addressSize: Int
  /// Where the next part is: at the end, the instruction's length.
  var position: Int

  init(_ bytes: InstructionBytes, _ attributes: SizeAttributes) {
    self.bytes = bytes
    self.attributes = attributes
    prefixes = InstructionPrefixes(of: bytes, is64Bit: attributes.is64Bit)
    addressSize = prefixes.addressSize(attributes)
    position = prefixes.count
  }

  mutating func decode() -> InstructionDecoding {
    switch takeOpcode() {
    case .opcode(let opcode): decode(opcode)
    case .undefined: .undefined
    // What is not an `Operation` cannot be locked.
    case .unsupported(let instruction): prefixes.hasLock ? .undefined : .unsupported(instruction)
    }
  }

  private mutating func takeByte() -> UInt8 {
    let byte = bytes[position]
    position &+= 1
    return byte
  }

  private mutating func takeOpcode() -> OpcodeEntry {
    let first = takeByte()
    let next = bytes[position]
    if first != 0x0F {
      let entry = OpcodeEntry.oneByte(first, extension: next >> 3 & 7, is64Bit: attributes.is64Bit)
      if case .opcode = entry { return entry }
      if OpcodeEntry.isOneByteGroup(first) { position &+= 1 }
      return entry
    }
    position &+= 1
    switch next {
    case 0x38: return takeThreeByteOpcode()
    case 0xC3 where prefixes.hasOperandSizeOverride || prefixes.repetition != .none: return .undefined
    case 0xB8 where isRepeated, 0xBC where isRepeated, 0xBD where isRepeated: return .repeated(next)
    case 0xAE:
      let isInMemory = prefixes.repetition == .none && bytes[position] < 0xC0
      let entry =
        isInMemory
        ? OpcodeEntry.group15(bytes[position] >> 3 & 7, hasOperandSizeOverride: prefixes.hasOperandSizeOverride)
        : .unsupported(.twoByte(next))
      if case .opcode = entry { return entry }
      position &+= 1
      return entry
    case 0xBA, 0xC7:
      let entry = OpcodeEntry.twoByte(next, extension: bytes[position] >> 3 & 7, isWide: prefixes.rex & 8 != 0)
      if case .opcode = entry { return entry }
      position &+= 1
      return entry
    default:
      return OpcodeEntry.moveOfXMM(next, prefix: mandatoryPrefix, isWide: prefixes.rex & 8 != 0)
        ?? OpcodeEntry.twoByte(next, extension: 0, isWide: false)
    }
  }

  private var isRepeated: Bool { prefixes.repetition == .repe }

  /// The prefix that belongs to the opcode of an SSE instruction: 66H does so only without F3H and F2H.
  private var mandatoryPrefix: UInt8 {
    switch prefixes.repetition {
    case .repe: 0xF3
    case .repne: 0xF2
    case .none: prefixes.hasOperandSizeOverride ? 0x66 : 0
    }
  }

  private mutating func takeThreeByteOpcode() -> OpcodeEntry {
    .threeByte(takeByte(), prefix: mandatoryPrefix, isWide: prefixes.rex & 8 != 0)
  }

  private mutating func decode(_ opcode: Opcode) -> InstructionDecoding {
    var instruction = instruction(opcode)
    switch opcode.encoding {
    case .fd, .td:
      instruction.memory.segment = prefixes.segment ?? .ds
      instruction.memory.displacement = bytes.quadword(at: position) & mask(ofSize: addressSize)
      position &+= addressSize
    case .zo where opcode.operation == .xlat:
      let rbx: UInt8 = 3
      instruction.memory = MemoryReference(segment: prefixes.segment ?? .ds, base: rbx, addressSize: addressSize)
      instruction.source = .register
      instruction.isDestinationMemory = false
    case .zo:
      instruction.memory = stringOperand(opcode.operation)
      instruction.repetition = prefixes.repetition
    case .mr, .rm, .mi, .mi8, .m, .m1, .mc, .mri8, .mrc, .rmi, .rmi8:
      let modRM = takeByte()
      if modRM >= 0xC0 { return withoutMemory(opcode, modRM) }
      instruction.memory = takeMemoryReference(modRM)
      if instruction.hasRegister { instruction.register = register(modRM, instruction.registerSize) }
      if isSegmentMove(opcode.operation) { instruction.register = RegisterOperand(modRM >> 3 & 7) }
      if instruction.isMoveOfXMM { instruction.register = RegisterOperand(modRM >> 3 & 7 | prefixes.rex << 1 & 8) }
    }
    switch opcode.encoding {
    case .mi, .rmi: instruction.immediate = takeImmediate(min(instruction.memorySize, 4))
    case .mi8, .mri8, .rmi8: instruction.immediate = takeImmediate(1)
    case .m1: instruction.immediate = 1
    case .mc, .mrc: instruction.isCountInCL = true
    case .mr, .rm, .m, .fd, .td, .zo: break
    }
    instruction.length = position
    if prefixes.hasLock && !(isLockable(opcode.operation) && instruction.isDestinationMemory) { return .undefined }
    return .instruction(instruction)
  }

  /// What the opcode and the prefixes say.
  private func instruction(_ opcode: Opcode) -> Instruction {
    let operandSize = operandSize
    let memorySize = memorySize(opcode.width, operandSize)
    let isConversion = opcode.operation == .movzx || opcode.operation == .movsx
    var instruction = Instruction(
      operation: opcode.operation, memory: MemoryReference(addressSize: addressSize), memorySize: memorySize,
      registerSize: isConversion ? operandSize : opcode.operation == .crc32 ? 4 : memorySize,
      isDestinationMemory: true,
      condition: opcode.condition, hasLock: prefixes.hasLock, stackAddressSize: attributes.stack, length: 0)
    switch opcode.encoding {
    case .mr, .td, .mri8, .mrc: instruction.source = .register
    case .rm, .fd:
      instruction.source = .register
      instruction.isDestinationMemory = false
    case .mi, .mi8, .m1: instruction.source = .immediate
    case .rmi, .rmi8:
      instruction.source = .immediate
      instruction.isDestinationMemory = false
    case .m, .mc, .zo: break
    }
    return instruction
  }

  private var operandSize: Int {
    if prefixes.rex & 8 != 0 { return 8 }
    return (attributes.code == 2) != prefixes.hasOperandSizeOverride ? 2 : 4
  }

  private func memorySize(_ width: OperandWidth, _ operandSize: Int) -> Int {
    switch width {
    case .byte: 1
    case .word: 2
    case .doubleword: min(operandSize, 4)
    case .singlePrecision: 4
    case .quadword: 8
    case .doubleQuadword: 16
    case .full: operandSize
    case .stack: attributes.is64Bit && operandSize != 2 ? 8 : operandSize
    }
  }

  private func register(_ modRM: UInt8, _ size: Int) -> RegisterOperand {
    let index = modRM >> 3 & 7 | prefixes.rex << 1 & 8
    let isHighByte = size == 1 && prefixes.rex == 0 && index >= 4
    return RegisterOperand(isHighByte ? index &- 4 : index, isHighByte: isHighByte)
  }

  private func withoutMemory(_ opcode: Opcode, _ modRM: UInt8) -> InstructionDecoding {
    let needsMemory =
      opcode.operation == .movbe || opcode.operation == .cmpxchg8b || opcode.operation == .cmpxchg16b
      || bytes[prefixes.count] == 0x0F && (isMOVNTI || isMOVDIRI)
    if prefixes.hasLock || needsMemory { return .undefined }
    switch opcode.operation {
    case .movToSegment:
      return .segmentLoad(number: modRM >> 3 & 7, register: modRM & 7 | prefixes.rex << 3 & 8, length: position)
    case .push, .pop: return .unsupported(.stack)
    default: return .withoutMemory
    }
  }

  private var isMOVNTI: Bool { bytes[prefixes.count &+ 1] == 0xC3 }
  private var isMOVDIRI: Bool { bytes[prefixes.count &+ 1] == 0x38 && bytes[prefixes.count &+ 2] == 0xF9 }

  private func isSegmentMove(_ operation: Operation) -> Bool {
    operation == .movFromSegment || operation == .movToSegment
  }

  private func isLockable(_ operation: Operation) -> Bool {
    switch operation {
    case .add, .or, .adc, .sbb, .and, .sub, .xor, .not, .neg, .inc, .dec, .xchg, .xadd, .cmpxchg, .cmpxchg8b,
      .cmpxchg16b, .bts, .btr, .btc:
      true
    default: false
    }
  }

  private func stringOperand(_ operation: Operation) -> MemoryReference {
    let (rsi, rdi): (UInt8, UInt8) = (6, 7)
    // The destination is always in ES.
    return operation == .stos || operation == .scas
      ? MemoryReference(segment: .es, base: rdi, addressSize: addressSize)
      : MemoryReference(segment: prefixes.segment ?? .ds, base: rsi, addressSize: addressSize)
  }

  private mutating func takeImmediate(_ size: Int) -> UInt64 {
    let value = signExtended(bytes.quadword(at: position), fromSize: size)
    position &+= size
    return value
  }
}
