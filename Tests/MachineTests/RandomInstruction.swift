import Testing
import VMCS

/// A form of an instruction of 64-bit code, and what of its result is defined.
struct InstructionForm: Sendable, CustomTestStringConvertible {
  var name: String
  var opcode: [UInt8]
  /// ModR/M bits 5:3, if they are a part of the opcode.
  var group: UInt8?
  /// How many bytes the immediate has; -1 for those of the operand size, 4 at most.
  var immediate = 0
  /// Whether the operands are of one byte.
  var isByte = false
  /// Whether a LOCK prefix is allowed.
  var isLockable = false
  /// The status flags that the instruction leaves undefined.
  var undefinedFlags: UInt64 = 0
  /// The operand in memory is somewhere in a string of bits.
  var isBitString = false
  /// It uses RSI and RDI.
  var isString = false
  /// It accesses an absolute address.
  var isOffset = false
  /// An operand size of 2 is not possible.
  var isNever16 = false
  /// The operand has 8 bytes at most.
  var operandBytes = 8
  var usesStack = false
  /// A prefix that belongs to the opcode.
  var prefix: UInt8?
  /// The operand has 16 bytes and is aligned: there is REX.W.
  var isDoubleQuadword = false
  /// The operand is aligned to 16 bytes.
  var isAligned = false
  /// A division, of which most should have a quotient.
  var isDivision = false

  var testDescription: String { name }

  private static let auxiliary: UInt64 = 0x10

  static let all: [Self] = arithmetic + moves + unary + bits + strings + shifts + multiplications + segments + xmm

  private static let arithmeticNumbers: [(String, Int)] = [
    ("ADD", 0), ("OR", 1), ("ADC", 2), ("SBB", 3), ("AND", 4), ("SUB", 5), ("XOR", 6), ("CMP", 7),
  ]
  private static let arithmetic: [Self] = arithmeticNumbers.flatMap { (name, number) -> [Self] in
    let undefined = [1, 4, 6].contains(number) ? auxiliary : 0
    let opcode = UInt8(number) << 3
    let isLockable = number != 7
    return [
      Self(name: "\(name) m8, r8", opcode: [opcode], isByte: true, isLockable: isLockable, undefinedFlags: undefined),
      Self(name: "\(name) m, r", opcode: [opcode + 1], isLockable: isLockable, undefinedFlags: undefined),
      Self(name: "\(name) r8, m8", opcode: [opcode + 2], isByte: true, undefinedFlags: undefined),
      Self(name: "\(name) r, m", opcode: [opcode + 3], undefinedFlags: undefined),
      Self(
        name: "\(name) m8, imm8", opcode: [0x80], group: UInt8(number), immediate: 1, isByte: true,
        isLockable: isLockable, undefinedFlags: undefined),
      Self(
        name: "\(name) m, imm", opcode: [0x81], group: UInt8(number), immediate: -1, isLockable: isLockable,
        undefinedFlags: undefined),
      Self(
        name: "\(name) m, imm8", opcode: [0x83], group: UInt8(number), immediate: 1, isLockable: isLockable,
        undefinedFlags: undefined),
    ]
  }

  private static let moves: [Self] =
    plainMoves
    + (0..<16 as Range<UInt8>).flatMap { condition -> [Self] in
      [
        Self(name: "CMOVcc \(condition)", opcode: [0x0F, 0x40 | condition]),
        Self(name: "SETcc \(condition)", opcode: [0x0F, 0x90 | condition], isByte: true),
      ]
    }

  private static let plainMoves: [Self] = [
    Self(name: "MOV m8, r8", opcode: [0x88], isByte: true), Self(name: "MOV m, r", opcode: [0x89]),
    Self(name: "MOV r8, m8", opcode: [0x8A], isByte: true), Self(name: "MOV r, m", opcode: [0x8B]),
    Self(name: "MOV m8, imm8", opcode: [0xC6], group: 0, immediate: 1, isByte: true),
    Self(name: "MOV m, imm", opcode: [0xC7], group: 0, immediate: -1),
    Self(name: "MOV AL, moffs8", opcode: [0xA0], isByte: true, isOffset: true),
    Self(name: "MOV rAX, moffs", opcode: [0xA1], isOffset: true),
    Self(name: "MOV moffs8, AL", opcode: [0xA2], isByte: true, isOffset: true),
    Self(name: "MOV moffs, rAX", opcode: [0xA3], isOffset: true),
    Self(name: "MOVZX r, m8", opcode: [0x0F, 0xB6]), Self(name: "MOVZX r, m16", opcode: [0x0F, 0xB7]),
    Self(name: "MOVSX r, m8", opcode: [0x0F, 0xBE]), Self(name: "MOVSX r, m16", opcode: [0x0F, 0xBF]),
    Self(name: "MOVSXD r, m", opcode: [0x63]), Self(name: "MOVNTI m, r", opcode: [0x0F, 0xC3], isNever16: true),
    Self(name: "MOVBE r, m", opcode: [0x0F, 0x38, 0xF0]), Self(name: "MOVBE m, r", opcode: [0x0F, 0x38, 0xF1]),
    Self(name: "XCHG m8, r8", opcode: [0x86], isByte: true, isLockable: true),
    Self(name: "XCHG m, r", opcode: [0x87], isLockable: true),
    Self(name: "PUSH m", opcode: [0xFF], group: 6, usesStack: true),
    Self(name: "POP m", opcode: [0x8F], group: 0, usesStack: true),
  ]

  private static let unary: [Self] = [
    Self(name: "TEST m8, r8", opcode: [0x84], isByte: true, undefinedFlags: auxiliary),
    Self(name: "TEST m, r", opcode: [0x85], undefinedFlags: auxiliary),
    Self(
      name: "TEST m8, imm8", opcode: [0xF6], group: 0, immediate: 1, isByte: true, undefinedFlags: auxiliary),
    Self(name: "TEST m, imm", opcode: [0xF7], group: 0, immediate: -1, undefinedFlags: auxiliary),
    Self(name: "TEST m, imm (/1)", opcode: [0xF7], group: 1, immediate: -1, undefinedFlags: auxiliary),
    Self(name: "NOT m8", opcode: [0xF6], group: 2, isByte: true, isLockable: true),
    Self(name: "NOT m", opcode: [0xF7], group: 2, isLockable: true),
    Self(name: "NEG m8", opcode: [0xF6], group: 3, isByte: true, isLockable: true),
    Self(name: "NEG m", opcode: [0xF7], group: 3, isLockable: true),
    Self(name: "INC m8", opcode: [0xFE], group: 0, isByte: true, isLockable: true),
    Self(name: "INC m", opcode: [0xFF], group: 0, isLockable: true),
    Self(name: "DEC m8", opcode: [0xFE], group: 1, isByte: true, isLockable: true),
    Self(name: "DEC m", opcode: [0xFF], group: 1, isLockable: true),
    Self(name: "XADD m8, r8", opcode: [0x0F, 0xC0], isByte: true, isLockable: true),
    Self(name: "XADD m, r", opcode: [0x0F, 0xC1], isLockable: true),
    Self(name: "CMPXCHG m8, r8", opcode: [0x0F, 0xB0], isByte: true, isLockable: true),
    Self(name: "CMPXCHG m, r", opcode: [0x0F, 0xB1], isLockable: true),
    Self(name: "CMPXCHG8B m64", opcode: [0x0F, 0xC7], group: 1, isLockable: true, operandBytes: 4),
  ]

  private static let bitTests: [(String, UInt8)] = [("BT", 4), ("BTS", 5), ("BTR", 6), ("BTC", 7)]
  private static let bits: [Self] = bitTests.flatMap { (name, number) -> [Self] in
    // OF, SF, AF and PF.
    let undefined: UInt64 = 0x894
    let opcode = 0x83 | number << 3
    return [
      Self(
        name: "\(name) m, r", opcode: [0x0F, opcode], isLockable: number != 4, undefinedFlags: undefined,
        isBitString: true),
      Self(
        name: "\(name) m, imm8", opcode: [0x0F, 0xBA], group: number, immediate: 1, isLockable: number != 4,
        undefinedFlags: undefined),
    ]
  }

  private static let shiftNumbers: [(String, UInt8)] = [
    ("ROL", 0), ("ROR", 1), ("RCL", 2), ("RCR", 3), ("SHL", 4), ("SHR", 5), ("SAL", 6), ("SAR", 7),
  ]
  private static let shifts: [Self] =
    shiftNumbers.flatMap { (name, number) -> [Self] in
      let auxiliary = number >= 4 ? auxiliary : 0
      let overflow: UInt64 = 0x800
      // CF, if the count can be more than the operand has bits.
      let carry: UInt64 = 4...6 ~= number ? 1 : 0
      let undefined = auxiliary | overflow
      return [
        Self(name: "\(name) m8, 1", opcode: [0xD0], group: number, isByte: true, undefinedFlags: auxiliary),
        Self(name: "\(name) m, 1", opcode: [0xD1], group: number, undefinedFlags: auxiliary),
        Self(name: "\(name) m8, CL", opcode: [0xD2], group: number, isByte: true, undefinedFlags: undefined | carry),
        Self(name: "\(name) m, CL", opcode: [0xD3], group: number, undefinedFlags: undefined | carry),
        Self(name: "\(name) m32, CL", opcode: [0xD3], group: number, undefinedFlags: undefined, isNever16: true),
        Self(
          name: "\(name) m8, imm8", opcode: [0xC0], group: number, immediate: 1, isByte: true,
          undefinedFlags: undefined | carry),
        Self(
          name: "\(name) m, imm8", opcode: [0xC1], group: number, immediate: 1, undefinedFlags: undefined | carry),
        Self(
          name: "\(name) m32, imm8", opcode: [0xC1], group: number, immediate: 1, undefinedFlags: undefined,
          isNever16: true),
      ]
    }
    // Of 16 bits the result is undefined if the count is more.
    + ([("SHLD", 0xA4), ("SHRD", 0xAC)] as [(String, UInt8)]).flatMap { (name, opcode) -> [Self] in
      [
        Self(
          name: "\(name) m, r, imm8", opcode: [0x0F, opcode], immediate: 1, undefinedFlags: 0x810, isNever16: true),
        Self(name: "\(name) m, r, CL", opcode: [0x0F, opcode + 1], undefinedFlags: 0x810, isNever16: true),
      ]
    }

  /// All but CF and OF.
  private static let afterProduct: UInt64 = 0xD4
  private static let multiplications: [Self] =
    ([("MUL", 4), ("IMUL", 5)] as [(String, UInt8)]).flatMap { (name, number) -> [Self] in
      [
        Self(name: "\(name) m8", opcode: [0xF6], group: number, isByte: true, undefinedFlags: afterProduct),
        Self(name: "\(name) m", opcode: [0xF7], group: number, undefinedFlags: afterProduct),
      ]
    }
    + ([("DIV", 6), ("IDIV", 7)] as [(String, UInt8)]).flatMap { (name, number) -> [Self] in
      [
        Self(
          name: "\(name) m8", opcode: [0xF6], group: number, isByte: true, undefinedFlags: 0x8D5, isDivision: true),
        Self(name: "\(name) m", opcode: [0xF7], group: number, undefinedFlags: 0x8D5, isDivision: true),
      ]
    }
    + [
      Self(name: "IMUL r, m", opcode: [0x0F, 0xAF], undefinedFlags: afterProduct),
      Self(name: "IMUL r, m, imm", opcode: [0x69], immediate: -1, undefinedFlags: afterProduct),
      Self(name: "IMUL r, m, imm8", opcode: [0x6B], immediate: 1, undefinedFlags: afterProduct),
      // All but ZF.
      Self(name: "BSF r, m", opcode: [0x0F, 0xBC], undefinedFlags: 0x895),
      Self(name: "BSR r, m", opcode: [0x0F, 0xBD], undefinedFlags: 0x895),
      Self(name: "POPCNT r, m", opcode: [0x0F, 0xB8], prefix: 0xF3),
      // All but CF and ZF.
      Self(name: "TZCNT r, m", opcode: [0x0F, 0xBC], undefinedFlags: 0x894, prefix: 0xF3),
      Self(name: "LZCNT r, m", opcode: [0x0F, 0xBD], undefinedFlags: 0x894, prefix: 0xF3),
      Self(name: "CRC32 r, m8", opcode: [0x0F, 0x38, 0xF0], prefix: 0xF2),
      Self(name: "CRC32 r, m", opcode: [0x0F, 0x38, 0xF1], prefix: 0xF2),
      Self(name: "ADCX r, m", opcode: [0x0F, 0x38, 0xF6], isNever16: true, prefix: 0x66),
      Self(name: "ADOX r, m", opcode: [0x0F, 0x38, 0xF6], isNever16: true, prefix: 0xF3),
      Self(name: "CMPXCHG16B m128", opcode: [0x0F, 0xC7], group: 1, isLockable: true, isDoubleQuadword: true),
    ]

  private static let segments: [Self] =
    (0..<6 as Range<UInt8>).map { Self(name: "MOV m16, Sreg \($0)", opcode: [0x8C], group: $0) }
    + [Self(name: "CLFLUSH m8", opcode: [0x0F, 0xAE], group: 7, isNever16: true)]

  /// Loads, and stores, by their mandatory prefixes and opcodes.
  private static let xmm: [Self] =
    ([
      ("MOVUPS", nil, 0x10, 0x11), ("MOVUPD", 0x66, 0x10, 0x11), ("MOVSS", 0xF3, 0x10, 0x11),
      ("MOVSD", 0xF2, 0x10, 0x11), ("MOVLPS", nil, 0x12, 0x13), ("MOVLPD", 0x66, 0x12, 0x13),
      ("MOVHPS", nil, 0x16, 0x17), ("MOVHPD", 0x66, 0x16, 0x17), ("MOVD or MOVQ", 0x66, 0x6E, 0x7E),
      ("MOVDQU", 0xF3, 0x6F, 0x7F),
    ] as [(String, UInt8?, UInt8, UInt8)]).flatMap { (name, prefix, load, store) -> [Self] in
      [
        Self(name: "\(name) xmm, m", opcode: [0x0F, load], isNever16: true, prefix: prefix),
        Self(name: "\(name) m, xmm", opcode: [0x0F, store], isNever16: true, prefix: prefix),
      ]
    }
    + ([
      ("MOVAPS xmm, m128", nil, [0x28]), ("MOVAPS m128, xmm", nil, [0x29]), ("MOVAPD xmm, m128", 0x66, [0x28]),
      ("MOVAPD m128, xmm", 0x66, [0x29]), ("MOVNTPS m128, xmm", nil, [0x2B]), ("MOVNTPD m128, xmm", 0x66, [0x2B]),
      ("MOVDQA xmm, m128", 0x66, [0x6F]), ("MOVDQA m128, xmm", 0x66, [0x7F]), ("MOVNTDQ m128, xmm", 0x66, [0xE7]),
      ("MOVNTDQA xmm, m128", 0x66, [0x38, 0x2A]),
    ] as [(String, UInt8?, [UInt8])]).map { (name, prefix, opcode) in
      Self(name: name, opcode: [0x0F] + opcode, isNever16: true, prefix: prefix, isAligned: true)
    }
    + [
      Self(name: "MOVQ xmm, m64", opcode: [0x0F, 0x7E], isNever16: true, prefix: 0xF3),
      Self(name: "MOVQ m64, xmm", opcode: [0x0F, 0xD6], isNever16: true, prefix: 0x66),
      Self(name: "LDDQU xmm, m128", opcode: [0x0F, 0xF0], isNever16: true, prefix: 0xF2),
    ]

  private static let stringOpcodes: [(String, UInt8)] = [
    ("MOVS", 0xA4), ("CMPS", 0xA6), ("STOS", 0xAA), ("LODS", 0xAC), ("SCAS", 0xAE),
  ]
  private static let strings: [Self] = stringOpcodes.flatMap { (name, opcode) -> [Self] in
    [
      Self(name: "\(name)B", opcode: [opcode], isByte: true, isString: true),
      Self(name: name, opcode: [opcode + 1], isString: true),
    ]
  }
}

/// An instruction with all prefixes and forms of addressing that its form allows, and registers that make it access
/// the middle of `target`.
struct RandomInstruction {
  var bytes: [UInt8] = []
  var registers: [UInt64]
  var flags: UInt64
  var xmm: [XMMRegister]

  /// - Parameters:
  ///   - target: where the instruction may access 4,096 bytes; below 2 GiB.
  ///   - code: where it is executed; below 2 GiB.
  init(_ form: InstructionForm, target: UInt64, code: UInt64, fsBase: UInt64, using random: inout RandomNumbers) {
    registers = (0..<16).map { _ in Self.interesting(&random) }
    xmm = (0..<16).map { _ in XMMRegister(low: random.next(), high: random.next()) }
    // The status flags and DF; IF and the reserved bit are 1.
    flags = random.next() & (form.isString ? 0xCD5 : 0x8D5) | 0x202
    let rexBits = random.chance(50) ? UInt8(random.next() & 0xF) : 0
    var rex: UInt8 = random.chance(60) ? 0x40 | rexBits : 0
    if form.operandBytes < 8 { rex &= ~8 }
    if form.isDoubleQuadword { rex |= 0x48 }
    let isLocked = form.isLockable && random.chance(30)
    let usesFS = random.chance(15) && !form.isOffset && !form.isString
    let hasAddressSize = !usesFS && random.chance(15)
    let hasOperandSize = !form.isNever16 && !form.isByte && !form.isDoubleQuadword && random.chance(30)
    if let prefix = form.prefix { bytes.append(prefix) }
    if isLocked { bytes.append(0xF0) }
    if hasOperandSize { bytes.append(0x66) }
    if random.chance(20) { bytes.append([0x26, 0x2E, 0x36, 0x3E][Int(random.next() % 4)]) }
    if usesFS { bytes.append(0x64) }
    if hasAddressSize { bytes.append(0x67) }
    if form.isString && random.chance(60) { bytes.append(random.chance(50) ? 0xF3 : 0xF2) }
    // One that does not count.
    if random.chance(5), !form.isNever16, !form.isDoubleQuadword {
      bytes.insert(form.operandBytes < 8 ? 0x40 : 0x48, at: Int(random.next() % UInt64(bytes.count + 1)))
    }
    if let last = bytes.last, last & 0xF0 == 0x40 { rex = last }
    if rex != 0 && bytes.last != rex { bytes.append(rex) }
    bytes += form.opcode

    let operandSize = form.isByte ? 1 : rex & 8 != 0 ? 8 : hasOperandSize ? 2 : 4
    let middle = (target + 2048 + random.next() % 64) & (form.isDoubleQuadword || form.isAligned ? ~15 : ~0)
    if form.isDoubleQuadword && random.chance(50) {
      // What memory has if it is the same everywhere.
      registers[0] = 0x0101_0101_0101_0101 &* (registers[0] & 0xFF)
      registers[2] = registers[0]
    }
    if form.isDivision {
      // A small dividend, negative now and then.
      let isNegative = random.chance(30)
      registers[0] = operandSize == 1 ? random.next() & 0x7F : random.next() >> 1
      registers[2] = isNegative ? ~0 : 0
      if operandSize == 1 && isNegative { registers[0] |= 0xFF80 }
    }
    if form.isString {
      registers[6] = middle
      registers[7] = middle &+ (random.next() % 128 &- 64)
      // Up to 16 repetitions; with the address size 4, the upper half does not count.
      registers[1] = random.next() % 16 | (hasAddressSize ? random.next() << 32 : 0)
      if registers[1] == 0 { registers[1] = 1 }
      if hasAddressSize {
        registers[6] |= random.next() << 32
        registers[7] |= random.next() << 32
      }
      return
    }
    if form.isOffset {
      append(middle, hasAddressSize ? 4 : 8)
      return
    }
    if form.usesStack { registers[4] = target + 1024 + 8 * (random.next() % 32) }
    let number = form.group ?? UInt8(random.next() & 7)
    var wanted = usesFS ? middle &- fsBase : middle
    if form.isBitString {
      let register = Int(number | rex << 1 & 8)
      // Up to 8,000 bits to either side.
      let offset = Int64(random.next() % 16000) - 8000
      let bits: UInt64 = operandSize == 8 ? ~0 : 1 << UInt64(8 * operandSize) - 1
      registers[register] = random.next() & ~bits | UInt64(bitPattern: offset) & bits
    }
    let immediateSize = form.immediate < 0 ? min(4, operandSize) : form.immediate
    appendAddress(
      number, rex, &wanted, isFar: usesFS, is32Bit: hasAddressSize, code: code, immediateSize: immediateSize,
      keeping: form.isBitString ? Int(number | rex << 1 & 8) : form.usesStack ? 4 : nil,
      popSize: form.name == "POP m" ? (operandSize == 2 ? 2 : 8) : 0,
      &random)
    append(random.next(), immediateSize)
  }

  private mutating func append(_ value: UInt64, _ count: Int) {
    for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }

  /// ModR/M, SIB and displacement, for the address `wanted`, and the values of base and index.
  private mutating func appendAddress(
    _ number: UInt8, _ rex: UInt8, _ wanted: inout UInt64, isFar: Bool, is32Bit: Bool, code: UInt64,
    immediateSize: Int, keeping kept: Int?, popSize: UInt64, _ random: inout RandomNumbers
  ) {
    while true {
      let mod = UInt8(random.next() % 3)
      let rm = UInt8(random.next() % 8)
      let sib = UInt8(truncatingIfNeeded: random.next())
      let modRM = mod << 6 | number << 3 | rm
      let low = rm == 4 ? sib & 7 : rm
      let base = mod == 0 && low == 5 ? nil : Int(low | rex << 3 & 8)
      let encodedIndex = Int(sib >> 3 & 7 | rex << 2 & 8)
      let index = rm == 4 && encodedIndex != 4 ? encodedIndex : nil
      let scale = UInt64(sib >> 6)
      // What is not to be changed is not to be solved for, nor are two that are the same.
      if base != nil && base == index
        || kept != nil && (base == kept || index == kept) && !(popSize != 0 && base == 4 && index == nil)
      {
        continue
      }
      if base == nil && (isFar || index != nil && is32Bit && random.chance(50)) { continue }
      bytes.append(modRM)
      if rm == 4 { bytes.append(sib) }
      let displacementSize = mod == 1 ? 1 : mod == 2 || base == nil ? 4 : 0
      var displacement = random.next() & 0xFFFF_FFFF
      if displacementSize == 1 { displacement = UInt64(bitPattern: Int64(Int8(truncatingIfNeeded: displacement))) }
      if displacementSize == 4 { displacement = UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: displacement))) }
      if displacementSize == 0 { displacement = 0 }
      if let index { registers[index] = random.next() & 0xFFF }
      let scaled = index.map { registers[$0] << scale } ?? 0
      if let base, base == 4, popSize != 0 {
        // POP [RSP + …]: only the displacement is free.
        displacement =
          displacementSize == 4 ? wanted &- registers[4] &- popSize : UInt64(displacementSize == 1 ? 64 : 0)
      } else if let base {
        registers[base] = wanted &- displacement &- scaled
        if is32Bit { registers[base] = registers[base] & 0xFFFF_FFFF | random.next() << 32 }
      } else if rm == 5 {
        displacement = wanted &- code &- UInt64(bytes.count + 4 + immediateSize)
      } else {
        displacement = wanted &- scaled
      }
      append(displacement, displacementSize)
      return
    }
  }

  /// Values near the limits more often than others.
  private static func interesting(_ random: inout RandomNumbers) -> UInt64 {
    switch random.next() % 6 {
    case 0: 0
    case 1: ~0
    case 2: 1 << (random.next() % 64)
    case 3: ~(1 << (random.next() % 64))
    default: random.next()
    }
  }
}
