import Testing
import VMCS
import VMX

@testable import Machine

/// Bytes, and what they are in code of a certain size.
struct DecodingRow: Sendable, CustomTestStringConvertible {
  var bytes: [UInt8]
  /// The default address sizes, 2, 4 and 8, for which it holds.
  var sizes: [Int]
  var decoding: InstructionDecoding

  var testDescription: String {
    bytes.map { String($0, radix: 16) }.joined(separator: " ") + " in code of \(sizes.map { 8 * $0 }) bits"
  }

  init(_ bytes: [UInt8], _ sizes: [Int] = [2, 4, 8], _ decoding: InstructionDecoding) {
    self.bytes = bytes
    self.sizes = sizes
    self.decoding = decoding
  }

  /// MOV between CX, ECX or CL and `memory`, which is the whole instruction.
  static func mov(
    _ bytes: [UInt8], in code: Int, size: Int, _ memory: MemoryReference, isStore: Bool = false
  ) -> Self {
    var instruction = Instruction(
      operation: .mov, memory: memory, memorySize: size, registerSize: size, isDestinationMemory: isStore,
      stackAddressSize: code, length: bytes.count)
    instruction.source = .register
    instruction.register = RegisterOperand(1)
    return Self(bytes, [code], .instruction(instruction))
  }

  /// Every form of addressing of 16-bit code, and those of 32-bit code that 64-bit code does not have.
  static let addressing: [Self] = [
    mov([0x8B, 0x08], in: 2, size: 2, MemoryReference(base: 3, index: 6, addressSize: 2)),
    mov([0x8B, 0x09], in: 2, size: 2, MemoryReference(base: 3, index: 7, addressSize: 2)),
    mov([0x8B, 0x0A], in: 2, size: 2, MemoryReference(segment: .ss, base: 5, index: 6, addressSize: 2)),
    mov([0x8B, 0x0B], in: 2, size: 2, MemoryReference(segment: .ss, base: 5, index: 7, addressSize: 2)),
    mov([0x8B, 0x0C], in: 2, size: 2, MemoryReference(base: 6, addressSize: 2)),
    mov([0x8B, 0x0D], in: 2, size: 2, MemoryReference(base: 7, addressSize: 2)),
    mov([0x8B, 0x0E, 0x34, 0x92], in: 2, size: 2, MemoryReference(displacement: signed(-0x6DCC), addressSize: 2)),
    mov([0x8B, 0x0F], in: 2, size: 2, MemoryReference(base: 3, addressSize: 2)),
    mov(
      [0x8B, 0x4E, 0xFE], in: 2, size: 2,
      MemoryReference(segment: .ss, base: 5, displacement: signed(-2), addressSize: 2)),
    mov(
      [0x8B, 0x8E, 0x34, 0x12], in: 2, size: 2,
      MemoryReference(segment: .ss, base: 5, displacement: 0x1234, addressSize: 2)),
    mov(
      [0x26, 0x8B, 0x4E, 0x7F], in: 2, size: 2,
      MemoryReference(segment: .es, base: 5, displacement: 0x7F, addressSize: 2)),
    mov([0x66, 0x8B, 0x0C], in: 2, size: 4, MemoryReference(base: 6, addressSize: 2)),
    mov([0x67, 0x8B, 0x0B], in: 2, size: 2, MemoryReference(base: 3, addressSize: 4)),
    mov(
      [0x67, 0x66, 0x88, 0x0D, 4, 3, 2, 1], in: 2, size: 1, MemoryReference(displacement: 0x0102_0304, addressSize: 4),
      isStore: true),
    mov(
      [0x67, 0x8B, 0x4C, 0x8C, 0x10], in: 2, size: 2,
      MemoryReference(segment: .ss, base: 4, index: 1, scale: 2, displacement: 0x10, addressSize: 4)),
    mov([0x8B, 0x08], in: 4, size: 4, MemoryReference(base: 0, addressSize: 4)),
    mov(
      [0x8B, 0x0D, 0xFC, 0xFF, 0xFF, 0xFF], in: 4, size: 4, MemoryReference(displacement: signed(-4), addressSize: 4)),
    mov([0x8B, 0x0C, 0x24], in: 4, size: 4, MemoryReference(segment: .ss, base: 4, addressSize: 4)),
    mov([0x8B, 0x0C, 0xE5, 1, 0, 0, 0], in: 4, size: 4, MemoryReference(displacement: 1, addressSize: 4)),
    mov(
      [0x8B, 0x0C, 0xED, 1, 0, 0, 0], in: 4, size: 4,
      MemoryReference(index: 5, scale: 3, displacement: 1, addressSize: 4)),
    mov(
      [0x8B, 0x4C, 0x45, 0x80], in: 4, size: 4,
      MemoryReference(segment: .ss, base: 5, index: 0, scale: 1, displacement: signed(-0x80), addressSize: 4)),
    mov([0x66, 0x8B, 0x08], in: 4, size: 2, MemoryReference(base: 0, addressSize: 4)),
    mov([0x67, 0x8B, 0x08], in: 4, size: 4, MemoryReference(base: 3, index: 6, addressSize: 2)),
    mov([0x36, 0x8B, 0x08], in: 4, size: 4, MemoryReference(segment: .ss, base: 0, addressSize: 4)),
    mov([0x36, 0x8B, 0x08], in: 8, size: 4, MemoryReference(base: 0, addressSize: 8)),
    mov(
      [0x8B, 0x0D, 1, 0, 0, 0], in: 8, size: 4, MemoryReference(displacement: 1, isRIPRelative: true, addressSize: 8)),
    mov(
      [0x67, 0x8B, 0x0D, 1, 0, 0, 0], in: 8, size: 4,
      MemoryReference(displacement: 1, isRIPRelative: true, addressSize: 4)),
    mov(
      [0x48, 0x8B, 0x0C, 0x25, 0, 0, 0, 0x80], in: 8, size: 8,
      MemoryReference(displacement: signed(-0x8000_0000), addressSize: 8)),
    mov([0x43, 0x8B, 0x0C, 0x24], in: 8, size: 4, MemoryReference(base: 12, index: 12, addressSize: 8)),
    mov([0x41, 0x8B, 0x4D, 0], in: 8, size: 4, MemoryReference(base: 13, addressSize: 8)),
    mov([0x65, 0x66, 0x8B, 0x08], in: 8, size: 2, MemoryReference(segment: .gs, base: 0, addressSize: 8)),
    // MOVDIRI.
    mov([0x0F, 0x38, 0xF9, 0x0C], in: 2, size: 4, MemoryReference(base: 6, addressSize: 2), isStore: true),
    mov([0x0F, 0x38, 0xF9, 0x08], in: 4, size: 4, MemoryReference(base: 0, addressSize: 4), isStore: true),
    mov([0x0F, 0x38, 0xF9, 0x08], in: 8, size: 4, MemoryReference(base: 0, addressSize: 8), isStore: true),
    mov([0x48, 0x0F, 0x38, 0xF9, 0x08], in: 8, size: 8, MemoryReference(base: 0, addressSize: 8), isStore: true),
  ]

  private static func signed(_ value: Int64) -> UInt64 { UInt64(bitPattern: value) }

  /// What is no instruction, one without memory, or one that is not decoded.
  static let refused: [Self] = [
    // LOCK where it is not allowed: MOV, a register as destination, TEST, CMP, BT, MOVS, PUSH, SETcc, LEA.
    .init([0xF0, 0x89, 0x08], .undefined), .init([0xF0, 0x03, 0x08], .undefined),
    .init([0xF0, 0x85, 0x08], .undefined),
    .init([0xF0, 0x39, 0x08], .undefined), .init([0xF0, 0x0F, 0xA3, 0x08], .undefined),
    .init([0xF0, 0xA4], .undefined),
    .init([0xF0, 0xFF, 0x30], .undefined), .init([0xF0, 0x0F, 0x90, 0x00], .undefined),
    .init([0xF0, 0x8D, 0x00], .undefined), .init([0xF0, 0x01, 0xC8], .undefined),
    .init([0xF0, 0x81, 0x38, 0, 0, 0, 0], .undefined),
    // Reserved groups.
    .init([0x8F, 0x08], .undefined), .init([0xC6, 0x08], .undefined), .init([0xC7, 0x38], .undefined),
    .init([0xFE, 0x10], .undefined), .init([0xFE, 0x38], .undefined), .init([0xFF, 0x38], .undefined),
    .init([0x0F, 0xBA, 0x00], .undefined), .init([0x0F, 0xBA, 0x18], .undefined),
    .init([0x0F, 0xC7, 0x00], .undefined),
    .init([0x0F, 0x0B], .undefined), .init([0x0F, 0xFF], .undefined),
    // No registers.
    .init([0x0F, 0x38, 0xF0, 0xC1], .undefined), .init([0x0F, 0xC3, 0xC1], .undefined),
    .init([0x0F, 0xC7, 0xC9], .undefined),
    // Not in 64-bit mode.
    .init([0x82, 0x00, 0x00], [8], .undefined), .init([0x06], [8], .undefined), .init([0xEA], [8], .undefined),
    .init([0x8B, 0xC1], .withoutMemory), .init([0x00, 0xC0], .withoutMemory), .init([0xF7, 0xD8], .withoutMemory),
    .init([0x0F, 0x4F, 0xC0], .withoutMemory), .init([0x0F, 0xBA, 0xE0, 1], .withoutMemory),
    .init([0xD3, 0xE0], .withoutMemory), .init([0x0F, 0xA4, 0xC0, 1], .withoutMemory),
    .init([0xF7, 0xE0], .withoutMemory), .init([0x6B, 0xC0, 1], .withoutMemory),
    // A descriptor or the stack, and no other operand in memory.
    .init([0x8E, 0xC3], .segmentLoad(number: 0, register: 3, length: 2)),
    .init([0x41, 0x8E, 0xDB], [8], .segmentLoad(number: 3, register: 11, length: 3)),
    .init([0xF0, 0x8E, 0xDB], .undefined), .init([0x8E, 0xCB], .undefined),
    .init([0xFF, 0xF0], .unsupported(.stack)), .init([0x8F, 0xC0], .unsupported(.stack)),
    .init([0xF0, 0xFF, 0xF0], .undefined), .init([0xF0, 0x8F, 0xC0], .undefined),
    .init([0x48, 0x0F, 0xC7, 0xC8], [8], .undefined),
    // LOCK where it is not allowed, segment registers that there are not, or that are not loaded so; MOVNTI with prefixes.
    .init([0xF0, 0xD1, 0x00], .undefined), .init([0xF0, 0xF7, 0x20], .undefined),
    .init([0xF0, 0x0F, 0xAF, 0x00], .undefined), .init([0xF0, 0x0F, 0xA4, 0x00, 1], .undefined),
    .init([0x8C, 0x30], .undefined), .init([0x8E, 0x38], .undefined), .init([0x8E, 0x08], .undefined),
    .init([0x66, 0x0F, 0xC3, 0x08], .undefined), .init([0x0F, 0xB8, 0x00], .undefined),
    // x87, ADDPS, MOVDDUP, MMX's MOVQ, MOVD and MOVNTQ, MASKMOVDQU, VEX, EVEX, FXSAVE, XSAVEOPT.
    .init([0xD9, 0x00], .unsupported(.registersInProcessor)),
    .init([0x0F, 0x58, 0x00], .unsupported(.registersInProcessor)),
    .init([0xF2, 0x0F, 0x12, 0x00], .unsupported(.registersInProcessor)),
    .init([0x0F, 0x6F, 0x00], .unsupported(.registersInProcessor)),
    .init([0x0F, 0x7E, 0x00], .unsupported(.registersInProcessor)),
    .init([0x0F, 0xE7, 0x00], .unsupported(.registersInProcessor)),
    .init([0x66, 0x0F, 0xF7, 0x00], .unsupported(.registersInProcessor)),
    // Prefixes that make no instruction of what would be a move; LOCK.
    .init([0xF3, 0x0F, 0x28, 0x00], .unsupported(.registersInProcessor)),
    .init([0xF2, 0x0F, 0x16, 0x00], .unsupported(.registersInProcessor)),
    .init([0x66, 0xF2, 0x0F, 0x6F, 0x00], .unsupported(.registersInProcessor)),
    .init([0xF0, 0x0F, 0x10, 0x00], .undefined), .init([0xF0, 0x0F, 0x58, 0x00], .undefined),
    .init([0x0F, 0x10, 0xC1], .withoutMemory),
    .init([0xC5, 0xF8, 0x10, 0x00], .unsupported(.registersInProcessor)),
    .init([0x62, 0x00], [8], .unsupported(.registersInProcessor)),
    .init([0x62, 0x00], [2, 4], .unsupported(.descriptor)),
    .init([0x0F, 0xAE, 0x00], .unsupported(.registersInProcessor)),
    .init([0x0F, 0xAE, 0x30], .unsupported(.registersInProcessor)),
    .init([0xF3, 0x0F, 0xAE, 0x38], .unsupported(.registersInProcessor)),
    // LGDT, LSS, LES.
    .init([0x0F, 0x01, 0x10], .unsupported(.farPointer)), .init([0x0F, 0xB2, 0x00], .unsupported(.farPointer)),
    // ARPL, SLDT, LAR.
    .init([0x63, 0x00], [2, 4], .unsupported(.descriptor)), .init([0x0F, 0x00, 0x00], .unsupported(.descriptor)),
    .init([0x0F, 0x02, 0x00], .unsupported(.descriptor)),
    // PUSH, POPF, ENTER, PUSH FS; calls, jumps and returns.
    .init([0x06], [2, 4], .unsupported(.stack)), .init([0x50], .unsupported(.stack)),
    .init([0x9D], .unsupported(.stack)), .init([0xC8, 0, 0, 0], .unsupported(.stack)),
    .init([0x0F, 0xA0], .unsupported(.stack)), .init([0xFF, 0x10], .unsupported(.control)),
    .init([0xFF, 0x28], .unsupported(.control)), .init([0xC3], .unsupported(.control)),
    .init([0xCF], .unsupported(.control)),
    // WRSS, MOVDIR64B, ENQCMD, INVPCID, AESENC128KL.
    .init([0x0F, 0x38, 0xF6, 0x00], .unsupported(.laterExtension)),
    .init([0x66, 0x0F, 0x38, 0xF8, 0x00], .unsupported(.laterExtension)),
    .init([0xF2, 0x0F, 0x38, 0xF8, 0x00], .unsupported(.laterExtension)),
    .init([0x66, 0x0F, 0x38, 0x82, 0x00], .unsupported(.laterExtension)),
    .init([0xF3, 0x0F, 0x38, 0xDC, 0x00], .unsupported(.laterExtension)),
    // MOVDIRI with prefixes, with LOCK, and to a register; LOCK with XLAT, TZCNT, CRC32 and ADCX.
    .init([0x66, 0x0F, 0x38, 0xF9, 0x08], .undefined), .init([0xF2, 0x0F, 0x38, 0xF9, 0x08], .undefined),
    .init([0xF3, 0x0F, 0x38, 0xF9, 0x08], .undefined), .init([0xF0, 0x0F, 0x38, 0xF9, 0x08], .undefined),
    .init([0x0F, 0x38, 0xF9, 0xC8], .undefined), .init([0xF0, 0xD7], .undefined),
    .init([0xF0, 0xF3, 0x0F, 0xBC, 0x00], .undefined), .init([0xF0, 0xF2, 0x0F, 0x38, 0xF0, 0x00], .undefined),
    .init([0xF0, 0x66, 0x0F, 0x38, 0xF6, 0x00], .undefined),
    .init([0xF3, 0x0F, 0xBC, 0xC0], .withoutMemory), .init([0xF2, 0x0F, 0x38, 0xF1, 0xC0], .withoutMemory),
    .init([0xF3, 0x0F, 0x38, 0xF6, 0xC0], .withoutMemory),
    .init([0x90], .unsupported(.withoutOperand)),
  ]

  init(_ bytes: [UInt8], _ decoding: InstructionDecoding) { self.init(bytes, [2, 4, 8], decoding) }
}

@Suite struct InstructionDecoderTests {
  @Test(
    "Addressing, registers and sizes by the size of the code", arguments: DecodingRow.addressing + DecodingRow.refused)
  func decoding(_ row: DecodingRow) {
    for size in row.sizes {
      let attributes = SizeAttributes(code: size, stack: size)
      #expect(Instruction.decode(InstructionBytes(row.bytes), attributes) == row.decoding)
    }
  }

  @Test("An instruction of which bytes are missing is incomplete, whatever they are", arguments: DecodingRow.addressing)
  func incomplete(_ row: DecodingRow) {
    for size in row.sizes {
      for count in 0..<row.bytes.count {
        let bytes = InstructionBytes(row.bytes).prefix(count)
        #expect(Instruction.decode(bytes, SizeAttributes(code: size, stack: size)) == .incomplete)
      }
    }
  }

  @Test("The same for every opcode", arguments: [[], [0x66], [0xF3], [0x48]] as [[UInt8]])
  func incomplete(after prefixes: [UInt8]) {
    for map in [[], [0x0F], [0x0F, 0x38]] as [[UInt8]] {
      for opcode in 0...0xFF as ClosedRange<UInt8> {
        for number in 0..<8 as Range<UInt8> {
          let bytes = InstructionBytes(prefixes + map + [opcode, number << 3 | 1] + Array(repeating: 0x11, count: 10))
          guard case .instruction(let instruction) = Instruction.decode(bytes, .long) else { continue }
          for count in 0..<instruction.length {
            let decoding = Instruction.decode(bytes.prefix(count), .long)
            #expect(decoding == .incomplete, "\(map) \(opcode) \(number) \(count)")
          }
        }
      }
    }
  }

  @Test("15 bytes are an instruction, and 16 are too long")
  func length() throws {
    for count in 0..<20 {
      let bytes = [UInt8](repeating: 0x66, count: count) + [0x81, 0x00, 0x34, 0x12]
      let decoding = Instruction.decode(InstructionBytes(bytes), .long)
      if count > 15 - 4 {
        #expect(decoding == .tooLong, "\(count) prefixes")
      } else {
        let length = try #require(Instruction(bytes)).length
        // The operand size is 4 without a prefix.
        #expect(length == bytes.count + (count == 0 ? 2 : 0), "\(count) prefixes")
      }
    }
  }

  @Test("A REX prefix counts only before the opcode, and there AH becomes SPL")
  func rex() throws {
    #expect(try #require(Instruction([0x88, 0x20])).register == RegisterOperand(0, isHighByte: true))
    #expect(try #require(Instruction([0x40, 0x88, 0x20])).register == RegisterOperand(4))
    #expect(try #require(Instruction([0x44, 0x88, 0x20])).register == RegisterOperand(12))
    #expect(try #require(Instruction([0x44, 0x66, 0x88, 0x20])).register == RegisterOperand(0, isHighByte: true))
    #expect(try #require(Instruction([0x48, 0x66, 0x89, 0x20])).memorySize == 2)
    #expect(try #require(Instruction([0x66, 0x48, 0x89, 0x20])).memorySize == 8)
    #expect(try #require(Instruction([0x48, 0x41, 0x89, 0x20])).memorySize == 4)
  }

  @Test("A plain move is the same instruction to the whole decoder", arguments: 0..<8 as Range<UInt64>)
  func plainMove(seed: UInt64) throws {
    var random = RandomNumbers(seed: seed)
    var file = GuestRegisters()
    var count = 0
    for _ in 0..<2000 {
      var bytes = (0..<16).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let start = random.chance(30) ? 1 : 0
      if start == 1 { bytes[0] = 0x40 | bytes[0] & 0xF }
      bytes[start] = [0x8B, 0x89, 0xC7][Int(random.next() % 3)]
      if bytes[start] == 0xC7 { bytes[start + 1] &= 0xC7 }
      if random.chance(30) {
        // A SIB byte without an index: any base, or none.
        bytes[start + 1] = bytes[start + 1] & 0xF8 | 4
        bytes[start + 2] = bytes[start + 2] & 0xC7 | 0x20
      }
      let cut = InstructionBytes(bytes).prefix(Int(random.next() % 16))
      guard let move = PlainMove(cut) else { continue }
      count += 1
      let instruction = try #require(Instruction(bytes))
      let isSame =
        instruction.operation == .mov && instruction.memorySize == move.byteCount
        && instruction.isDestinationMemory == move.isStore && instruction.length == move.length
        && instruction.length <= cut.count && instruction.memory.segment != .fs
        && (move.immediate.map { $0 == instruction.immediate && instruction.source == .immediate }
          ?? (instruction.register == RegisterOperand(move.register)))
      #expect(isSame, "\(bytes)")
      withUnsafeMutablePointer(to: &file) { pointer in
        let registers = RegisterFile(pointer)
        for index in 0..<16 as Range<UInt8> { registers[index] = random.next() }
        #expect(move.effectiveAddress(registers) == instruction.effectiveAddress(registers, rip: 0), "\(bytes)")
      }
    }
    #expect(count > 300)
  }

  @Test(
    "What compilers make of an access to a device is a plain move",
    arguments: [
      [0x8B, 0x08], [0x89, 0x48, 0x04], [0xC7, 0x80, 0, 1, 0, 0, 4, 3, 2, 1], [0x89, 0x0C, 0x25, 0x30, 0, 0, 0x40],
      [0x8B, 0x04, 0x25, 0xF0, 0x80, 0x5F, 0xFF], [0x41, 0x8B, 0x04, 0x24], [0x48, 0x8B, 0x87, 0xF0, 0, 0, 0],
      [0x4C, 0x89, 0x6D, 0x00], [0x48, 0xC7, 0x03, 1, 0, 0, 0],
    ] as [[UInt8]])
  func plainMoves(bytes: [UInt8]) { #expect(PlainMove(InstructionBytes(bytes))?.length == bytes.count) }

  @Test("The stack and strings use the address sizes that they have", arguments: [2, 4, 8])
  func stack(size: Int) throws {
    var file = GuestRegisters()
    let push = try #require(Instruction([0xFF, 0x30], SizeAttributes(code: size == 8 ? 8 : 4, stack: size)))
    let width = UInt64(size == 8 ? 8 : 4)
    let pop = try #require(Instruction([0x8F, 0x04, 0x24], SizeAttributes(code: size == 8 ? 8 : 4, stack: size)))
    withUnsafeMutablePointer(to: &file) { pointer in
      let registers = RegisterFile(pointer)
      var flags = RFLAGS(rawValue: 2)
      registers[4] = 0x7777_7777_7777_0000
      let mask: UInt64 = size == 8 ? ~0 : size == 4 ? 0xFFFF_FFFF : 0xFFFF
      let top = (registers[4] &- width) & mask
      #expect(push.secondEffectiveAddress(registers) == top)
      #expect(push.execute(0x1234, registers, &flags) == 0x1234)
      #expect(registers[4] == (size == 2 ? 0x7777_7777_7777_0000 | top : top))
      #expect(pop.secondEffectiveAddress(registers) == top)
      // The destination is above what has been removed, and SP, which wraps, leaves the rest of ESP.
      #expect(pop.effectiveAddress(registers, rip: 0) == (size == 8 ? 0x7777_7777_7777_0000 : 0x7777_0000))
      #expect(pop.execute(0, second: 0x5678, registers, &flags) == 0x5678)
      #expect(registers[4] == (size == 8 ? 0x7777_7777_7777_0000 : size == 4 ? 0x7777_0000 : 0x7777_7777_7777_0000))
    }
  }

  @Test("16-bit addresses and string registers wrap at 64 KiB")
  func wrapping() throws {
    var file = GuestRegisters()
    let attributes = SizeAttributes(code: 2, stack: 2)
    let mov = try #require(Instruction([0x8B, 0x40, 0x7F], attributes))
    let stos = try #require(Instruction([0xF3, 0xAB], attributes))
    withUnsafeMutablePointer(to: &file) { pointer in
      let registers = RegisterFile(pointer)
      var flags = RFLAGS(rawValue: 2)
      (registers[3], registers[6]) = (0x1_FFFF, 0xFFF0)
      #expect(mov.effectiveAddress(registers, rip: 0) == 0x006E)
      (registers[7], registers[1], registers[0]) = (0x5_FFFE, 0x5_0001, 0xABCD_1234)
      #expect(!stos.isExhausted(registers))
      #expect(stos.effectiveAddress(registers, rip: 0) == 0xFFFE)
      #expect(stos.execute(0, registers, &flags) == 0x1234)
      #expect(stos.finishElement(registers, flags))
      #expect((registers[7], registers[1]) == (0x5_0000, 0x5_0000))
      #expect(stos.isExhausted(registers))
    }
  }
}
