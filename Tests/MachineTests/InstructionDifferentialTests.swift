import Testing
import VMCS
import VMX

@testable import Machine

extension InstructionBytes {
  /// The bytes of an instruction and 0xCC after them.
  init(_ bytes: [UInt8]) {
    let all = Array((bytes + [UInt8](repeating: 0xCC, count: 16)).prefix(16))
    func quadword(_ start: Int) -> UInt64 { all[start..<start + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    self.init(low: quadword(0), high: quadword(8), count: 15)
  }
}

extension Instruction {
  /// The instruction that `bytes` are in 64-bit code; nil if they are none.
  init?(_ bytes: [UInt8], _ attributes: SizeAttributes = .long) {
    guard case .instruction(let instruction) = Self.decode(InstructionBytes(bytes), attributes) else { return nil }
    self = instruction
  }
}

/// What the decoder and its execution make of an instruction, on memory that is simply there.
struct EmulatedProcessor {
  var registers: [UInt64]
  var flags: UInt64
  /// XMM0 to XMM15.
  var xmm: [XMMRegister]
  /// The bytes from `start` on.
  var memory: [UInt8]
  var start: UInt64
  var fsBase: UInt64
  /// The selectors of ES, CS, SS, DS, FS and GS.
  var selectors: [UInt16] = []
  /// An access was not in `memory`.
  var hasMissed = false
  /// A division had no quotient.
  var hasDivideError = false

  /// Executes the instruction with all its repetitions.
  mutating func execute(_ instruction: Instruction, rip: UInt64) {
    var file = GuestRegisters()
    withUnsafeMutablePointer(to: &file) { pointer in
      let view = RegisterFile(pointer)
      for index in 0..<16 as Range<UInt8> { view[index] = registers[Int(index)] }
      var rflags = RFLAGS(rawValue: flags)
      if !instruction.isString {
        step(instruction, rip, view, &rflags)
      } else if !instruction.isExhausted(view) {
        repeat { step(instruction, rip, view, &rflags) } while !instruction.finishElement(view, rflags)
      }
      for index in 0..<16 as Range<UInt8> { registers[Int(index)] = view[index] }
      flags = rflags.rawValue
    }
  }

  private mutating func step(_ instruction: Instruction, _ rip: UInt64, _ file: RegisterFile, _ rflags: inout RFLAGS) {
    func base(_ segment: GuestSegment) -> UInt64 { segment == .fs ? fsBase : 0 }
    let size = instruction.memorySize
    let first = instruction.effectiveAddress(file, rip: rip) &+ base(instruction.memory.segment)
    let second = instruction.secondEffectiveAddress(file) &+ base(instruction.secondSegment)
    if instruction.isMoveOfXMM { return moveXMM(instruction, first) }
    if size == 16 {
      let result = instruction.compareAndExchange16(
        low: load(first, 8), high: load(first &+ 8, 8), file, &rflags)
      store(result.low, first, 8)
      return store(result.high, first &+ 8, 8)
    }
    if instruction.operation == .movFromSegment {
      return store(UInt64(selectors[Int(instruction.register.index)]), first, size)
    }
    if instruction.raisesDivideError(instruction.readsMemory ? load(first, size) : 0, file) {
      hasDivideError = true
      return
    }
    let readsSecond = instruction.secondOperand != .none && !instruction.writesSecondOperand
    let result = instruction.execute(
      instruction.readsMemory ? load(first, size) : 0, second: readsSecond ? load(second, size) : 0, file, &rflags)
    if instruction.writesMemory { store(result, first, size) }
    if instruction.writesSecondOperand { store(result, second, size) }
  }

  private mutating func moveXMM(_ instruction: Instruction, _ address: UInt64) {
    let (number, size) = (Int(instruction.register.index), instruction.memorySize)
    if instruction.isDestinationMemory {
      let value = instruction.stored(xmm[number])
      store(value.low, address, min(size, 8))
      if size == 16 { store(value.high, address &+ 8, 8) }
    } else {
      let value = XMMRegister(low: load(address, min(size, 8)), high: size == 16 ? load(address &+ 8, 8) : 0)
      xmm[number] = instruction.loaded(value, over: xmm[number])
    }
  }

  private mutating func index(_ address: UInt64, _ size: Int) -> Int? {
    let offset = address &- start
    if offset <= UInt64(memory.count - size) { return Int(offset) }
    hasMissed = true
    return nil
  }

  private mutating func load(_ address: UInt64, _ size: Int) -> UInt64 {
    guard let index = index(address, size) else { return 0 }
    return memory[index..<index + size].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private mutating func store(_ value: UInt64, _ address: UInt64, _ size: Int) {
    guard let index = index(address, size) else { return }
    for byte in 0..<size { memory[index + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
  }
}

@Suite("The decoder and its execution against the processor that the tests run on") struct InstructionDifferentialTests
{
  /// FS's base, which the C library keeps at its own address.
  private static func fsBase(_ host: HostProcessor) -> UInt64 {
    var registers = [UInt64](repeating: 0, count: 16)
    var flags: UInt64 = 0x202
    // MOV RAX, FS:[0]; RSP is not used.
    host.execute([0x64, 0x48, 0x8B, 0x04, 0x25, 0, 0, 0, 0], &registers, &flags)
    return registers[0]
  }

  /// The selectors that 64-bit programs have.
  private static func selectors(_ host: HostProcessor) -> [UInt16] {
    (0..<6 as Range<UInt8>).map { number in
      var registers = [UInt64](repeating: 0, count: 16)
      var flags: UInt64 = 0x202
      // MOV EAX, Sreg.
      host.execute([0x8C, 0xC0 | number << 3], &registers, &flags)
      return UInt16(truncatingIfNeeded: registers[0])
    }
  }

  @Test("Memory, registers and flags are what the processor leaves", arguments: InstructionForm.all)
  func differential(form: InstructionForm) throws {
    let host = try HostProcessor()
    let fsBase = Self.fsBase(host)
    var random = RandomNumbers(seed: form.name.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })
    let start = UInt64(UInt(bitPattern: host.data))
    let code = UInt64(UInt(bitPattern: host.code))
    // In a release build many more are as fast.
    #if DEBUG
      let count = 60
    #else
      let count = 3000
    #endif
    for _ in 0..<count {
      let random = RandomInstruction(form, target: start, code: code, fsBase: fsBase, using: &random)
      try compare(random, form, host, start: start, code: code, fsBase: fsBase)
    }
  }

  private func compare(
    _ random: RandomInstruction, _ form: InstructionForm, _ host: HostProcessor, start: UInt64, code: UInt64,
    fsBase: UInt64
  ) throws {
    let text = random.bytes.map { String($0, radix: 16) }.joined(separator: " ")
    if random.bytes.count > InstructionBytes.limit {
      #expect(Instruction.decode(InstructionBytes(random.bytes), .long) == .tooLong)
      return
    }
    let instruction = try #require(Instruction(random.bytes), "\(form.name): \(text)")
    #expect(instruction.length == random.bytes.count, "\(form.name): \(text)")
    let data = UnsafeMutableRawBufferPointer(start: host.data, count: HostProcessor.dataSize)
    // Few different bytes now and then, so that comparisons are equal.
    var numbers = RandomNumbers(seed: random.registers[0] ^ random.flags ^ UInt64(random.bytes.count))
    let uniform = numbers.chance(40) ? 0x0101_0101_0101_0101 &* (random.registers[0] & 0xFF) : nil
    for offset in stride(from: 0, to: data.count, by: 8) {
      data.storeBytes(of: uniform ?? numbers.next(), toByteOffset: offset, as: UInt64.self)
    }
    var emulated = EmulatedProcessor(
      registers: random.registers, flags: random.flags, xmm: random.xmm, memory: Array(data), start: start,
      fsBase: fsBase)
    if instruction.operation == .movFromSegment { emulated.selectors = Self.selectors(host) }
    emulated.execute(instruction, rip: code)
    if emulated.hasDivideError { return }
    // What is elsewhere would harm the tests.
    try #require(!emulated.hasMissed, "\(form.name): \(text)")
    var registers = random.registers
    var flags = random.flags
    host.xmm = random.xmm
    host.execute(random.bytes, &registers, &flags)
    #expect(emulated.registers == registers, "\(form.name): \(text)")
    #expect(emulated.xmm == host.xmm, "\(form.name): \(text)")
    let compared = ~form.undefinedFlags & ~0x200
    #expect(
      String(emulated.flags & compared, radix: 16) == String(flags & compared, radix: 16), "\(form.name): \(text)")
    #expect(emulated.memory.elementsEqual(data), "\(form.name): \(text)")
  }
}
