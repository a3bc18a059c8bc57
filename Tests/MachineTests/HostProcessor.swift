import Glibc
import VMCS

/// The processor that the tests run on, as an oracle: executes one instruction with given registers and flags.
///
/// Code and data are below 2 GiB, so that every form of addressing reaches them.
final class HostProcessor {
  struct NotAnX86: Error {}

  /// What the instruction may access: `data` to `data + dataSize`.
  let data: UnsafeMutableRawPointer
  static let dataSize = 4096
  /// Where the instruction is executed.
  let code: UnsafeMutableRawPointer
  private let page: UnsafeMutableRawPointer
  /// XMM0 to XMM15: what an instruction finds and leaves there.
  var xmm = [XMMRegister](repeating: XMMRegister(low: 0, high: 0), count: 16)

  // The page with the code has the registers at its end, where RIP-relative instructions save and load them.
  private static let registers = 0x800
  private static let flags = 0x880
  private static let savedStack = 0x888
  private static let xmm = 0x900
  private static let instruction = 0x200

  init() throws {
    #if arch(x86_64)
      let mapping = mmap(
        nil, 3 * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | Int32(MAP_32BIT), -1, 0)
      guard let mapping, mapping != MAP_FAILED else { throw NotAnX86() }
      page = mapping
      code = mapping + Self.instruction
      data = mapping + 4096
    #else
      throw NotAnX86()
    #endif
  }

  deinit { munmap(page, 3 * 4096) }

  /// Executes `instruction`; registers, with RSP, and RFLAGS are what it leaves.
  func execute(_ instruction: [UInt8], _ registers: inout [UInt64], _ flags: inout UInt64) {
    var position = 0
    func emit(_ bytes: [UInt8]) {
      for byte in bytes {
        page.storeBytes(of: byte, toByteOffset: position, as: UInt8.self)
        position += 1
      }
    }
    /// An instruction with a RIP-relative operand at `offset` of the page.
    func emit(_ bytes: [UInt8], at offset: Int) {
      emit(bytes)
      let displacement = UInt32(bitPattern: Int32(offset - position - 4))
      emit((0..<4).map { UInt8(truncatingIfNeeded: displacement >> (8 * $0)) })
    }
    func move(_ opcode: UInt8, _ register: Int) {
      emit(
        [register < 8 ? 0x48 : 0x4C, opcode, UInt8(register & 7) << 3 | 5], at: Self.registers + 8 * register)
    }
    /// MOVDQU.
    func moveXMM(_ opcode: UInt8, _ register: Int) {
      let rex: UInt8 = register < 8 ? 0x40 : 0x44
      emit([0xF3, rex, 0x0F, opcode, UInt8(register & 7) << 3 | 5], at: Self.xmm + 16 * register)
    }
    let (load, store): (UInt8, UInt8) = (0x8B, 0x89)
    let (loadXMM, storeXMM): (UInt8, UInt8) = (0x6F, 0x7F)
    // PUSH of the registers that belong to the caller, RSP to its place, PUSH and POPFQ of the flags.
    emit([0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57])
    emit([0x48, store, 0x25], at: Self.savedStack)
    emit([0xFF, 0x35], at: Self.flags)
    emit([0x9D])
    for register in 0..<16 { moveXMM(loadXMM, register) }
    for register in 0..<16 { move(load, register) }
    precondition(position <= Self.instruction)
    while position < Self.instruction { emit([0x90]) }
    emit(instruction)
    for register in 0..<16 { move(store, register) }
    for register in 0..<16 { moveXMM(storeXMM, register) }
    emit([0x48, load, 0x25], at: Self.savedStack)
    // PUSHFQ, POP; CLD; the registers; RET.
    emit([0x9C, 0x8F, 0x05], at: Self.flags)
    emit([0xFC, 0x41, 0x5F, 0x41, 0x5E, 0x41, 0x5D, 0x41, 0x5C, 0x5D, 0x5B, 0xC3])

    let file = page + Self.registers
    for register in 0..<16 { file.storeBytes(of: registers[register], toByteOffset: 8 * register, as: UInt64.self) }
    for register in 0..<16 {
      page.storeBytes(of: xmm[register], toByteOffset: Self.xmm + 16 * register, as: XMMRegister.self)
    }
    page.storeBytes(of: flags, toByteOffset: Self.flags, as: UInt64.self)
    unsafeBitCast(page, to: (@convention(c) () -> Void).self)()
    for register in 0..<16 { registers[register] = file.load(fromByteOffset: 8 * register, as: UInt64.self) }
    for register in 0..<16 {
      xmm[register] = page.load(fromByteOffset: Self.xmm + 16 * register, as: XMMRegister.self)
    }
    flags = page.load(fromByteOffset: Self.flags, as: UInt64.self)
  }
}
