import Testing
import VMCS

@testable import VMX

/// An operand, and what becomes of an access to it.
struct OperandRow: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var operand: MemoryOperand
  var offset: UInt64
  var byteCount: Int
  var access: LinearAccess
  var result: Result<UInt64, MemoryFault>

  static let gp = MemoryFault.exception(.exception(.generalProtection, errorCode: 0))
  static let ss = MemoryFault.exception(.exception(.stackSegmentFault, errorCode: 0))

  init(
    _ name: String, _ segment: GuestSegment, base: UInt64 = 0x1_0000, limit: UInt32 = 0xFFFF, rights: UInt32 = 0x4093,
    is64Bit: Bool = false, at offset: UInt64, _ byteCount: Int, _ access: LinearAccess,
    _ result: Result<UInt64, MemoryFault>
  ) {
    testDescription = name
    operand = MemoryOperand(
      segment: segment,
      descriptor: GuestDescriptor(base: base, limit: limit, accessRights: SegmentAccessRights(rawValue: rights)),
      is64Bit: is64Bit, isAlignmentChecked: false, translation: PagingMode.none.state)
    self.offset = offset
    self.byteCount = byteCount
    self.access = access
    self.result = result
  }

  static let all: [OperandRow] = [
    .init("first byte", .ds, at: 0, 1, .read, .success(0x1_0000)),
    .init("last byte", .ds, at: 0xFFFF, 1, .read, .success(0x1_FFFF)),
    .init("last word", .ds, at: 0xFFFE, 2, .write, .success(0x1_FFFE)),
    .init("word across the limit", .ds, at: 0xFFFF, 2, .read, .failure(gp)),
    .init("doubleword across the limit", .es, at: 0xFFFD, 4, .write, .failure(gp)),
    .init("beyond the limit", .es, at: 0x1_0000, 1, .write, .failure(gp)),
    .init("stack segment beyond the limit", .ss, at: 0x1_0000, 1, .read, .failure(ss)),
    .init("4 GiB: the last byte", .ds, base: 0, limit: ~0, at: 0xFFFF_FFFF, 1, .read, .success(0xFFFF_FFFF)),
    .init("4 GiB: a word does not wrap", .ds, base: 0, limit: ~0, at: 0xFFFF_FFFF, 2, .read, .failure(gp)),
    .init("the base and the offset wrap at 4 GiB", .ds, base: 0xFFFF_FFF0, at: 0x20, 1, .read, .success(0x10)),
    .init("null", .es, rights: 0x1_0000, at: 0, 1, .read, .failure(gp)),
    .init("null stack segment", .ss, rights: 0x1_0000, at: 0, 1, .read, .failure(ss)),
    .init("read of read-only data", .ds, rights: 0x4091, at: 0, 1, .read, .success(0x1_0000)),
    .init("write of read-only data", .es, rights: 0x4091, at: 0, 1, .write, .failure(gp)),
    .init("read of execute-only code", .cs, rights: 0x4099, at: 0, 1, .read, .failure(gp)),
    .init("read of readable code", .cs, rights: 0x409B, at: 0, 1, .read, .success(0x1_0000)),
    .init("write of readable code", .cs, rights: 0x409B, at: 0, 1, .write, .failure(gp)),
    .init("fetch of execute-only code", .cs, rights: 0x4099, at: 0, 1, .fetch, .success(0x1_0000)),
    // In virtual-8086 and real-address mode CS may be a data segment.
    .init("fetch of data", .cs, rights: 0xF3, at: 0xFFFF, 1, .fetch, .success(0x1_FFFF)),
    .init("fetch beyond the limit", .cs, rights: 0xF3, at: 0x1_0000, 1, .fetch, .failure(gp)),
    .init("expand-down at the limit", .ds, rights: 0x4097, at: 0xFFFF, 1, .read, .failure(gp)),
    .init("expand-down above the limit", .ds, rights: 0x4097, at: 0x1_0000, 4, .write, .success(0x2_0000)),
    .init("16-bit expand-down, last byte", .ds, limit: 0xFFF, rights: 0x97, at: 0xFFFF, 1, .read, .success(0x1_FFFF)),
    .init("16-bit expand-down, across the end", .ds, limit: 0xFFF, rights: 0x97, at: 0xFFFF, 2, .read, .failure(gp)),
    .init("a limit is no limit for conforming code", .cs, rights: 0x409F, at: 0x1_0000, 1, .read, .failure(gp)),
    .init(
      "64-bit: no base, limit or type", .ds, rights: 0x1_0000, is64Bit: true, at: 0x1234_5678, 8, .write,
      .success(0x1234_5678)),
    .init("64-bit: FS has a base", .fs, is64Bit: true, at: 0x10, 8, .read, .success(0x1_0010)),
    .init("64-bit: GS has a base", .gs, base: ~0xF, is64Bit: true, at: 0x20, 8, .read, .success(0x10)),
    .init(
      "64-bit: the last canonical byte", .ds, is64Bit: true, at: 0x7FFF_FFFF_FFFF, 1, .read, .success(0x7FFF_FFFF_FFFF)),
    .init("64-bit: across the last canonical byte", .ds, is64Bit: true, at: 0x7FFF_FFFF_FFFF, 2, .read, .failure(gp)),
    .init("64-bit: not canonical", .es, is64Bit: true, at: 0x8000_0000_0000, 1, .write, .failure(gp)),
    .init("64-bit: stack segment, not canonical", .ss, is64Bit: true, at: 1 << 63, 1, .write, .failure(ss)),
    .init(
      "64-bit: the upper half", .es, is64Bit: true, at: 0xFFFF_8000_0000_0000, 1, .write,
      .success(0xFFFF_8000_0000_0000)),
    .init(
      "64-bit: not canonical by FS's base", .fs, base: 0x7FFF_FFFF_F000, is64Bit: true, at: 0x1000, 1, .read,
      .failure(gp)),
  ]
}

/// The bytes of an instruction, and what they are.
struct StringIORow: Sendable, CustomTestStringConvertible {
  var bytes: [UInt8]
  var addressSize: Int
  var instruction: StringIOInstruction?
  var testDescription: String {
    bytes.map { String($0, radix: 16) }.joined(separator: " ") + " in \(8 * addressSize)-bit"
  }

  init(_ bytes: [UInt8], _ addressSize: Int, _ segment: GuestSegment? = nil, _ size: Int = 0) {
    self.bytes = bytes
    self.addressSize = addressSize
    instruction = segment.map { StringIOInstruction(segment: $0, addressSize: size) }
  }

  static let all: [StringIORow] = [
    .init([0x6C], 2, .es, 2), .init([0x6D], 4, .es, 4), .init([0x6E], 8, .ds, 8), .init([0x6F], 2, .ds, 2),
    .init([0x67, 0x6C], 2, .es, 4), .init([0x67, 0x6D], 4, .es, 2), .init([0x67, 0x6E], 8, .ds, 4),
    .init([0x67, 0x67, 0x6E], 4, .ds, 2),
    .init([0xF3, 0x6E], 4, .ds, 4), .init([0xF2, 0x66, 0x6F], 4, .ds, 4), .init([0x26, 0x6E], 4, .es, 4),
    .init([0x2E, 0x6E], 4, .cs, 4), .init([0x36, 0x6E], 4, .ss, 4), .init([0x3E, 0x6E], 4, .ds, 4),
    .init([0x64, 0x6E], 4, .fs, 4), .init([0x65, 0x6E], 4, .gs, 4), .init([0x64, 0x26, 0x6E], 4, .es, 4),
    .init([0x64, 0x6C], 4, .es, 4), .init([0x36, 0x6E], 8, .ds, 8), .init([0x64, 0x2E, 0x6E], 8, .fs, 8),
    .init([0x65, 0xF3, 0x48, 0x6F], 8, .gs, 8), .init([0x48, 0x6F], 4), .init([0x90], 8), .init([], 8),
    .init([0x67], 8), .init([UInt8](repeating: 0x66, count: 15), 8), .init([0x0F, 0x6E], 8),
  ]
}

@Suite struct MemoryOperandTests {
  @Test("Segments: base, limit, type, canonical addresses", arguments: OperandRow.all)
  func segments(_ row: OperandRow) {
    let result = Result { () throws(MemoryFault) in
      try row.operand.linearAddress(of: row.offset, byteCount: row.byteCount, for: row.access)
    }
    #expect(result == row.result)
  }

  @Test("An operand in one page, across two, and where a part of it has no memory")
  func pages() throws {
    let memory = FlatMemory(byteCount: 0x6000)
    // Linear 0xFFF is at 0x5FFF, 0x1000 at 0x3000, 0x2000 without memory, 0x3000 not present.
    for (page, entry) in [(0, 0x5007), (1, 0x3007), (2, 0x7007), (3, 0)] as [(UInt64, UInt64)] {
      #expect(memory.store(entry, at: 0x4000 + page * 8))
    }
    for (address, entry) in [(0x1000, 0x2007), (0x2000, 0x2007)] as [(UInt64, UInt64)] {
      #expect(memory.store(entry, at: address))
    }
    #expect(memory.store(UInt64(0x1007), at: 0x0))
    #expect(memory.store(UInt64(0x4007), at: 0x2000))
    var operand = OperandRow.all[0].operand
    operand.is64Bit = true
    operand.translation = PagingMode.fourLevel.state
    operand.translation.cr3 = 0
    // 0 refers to 0x1000, that to 0x2000, that to 0x4000, which is the page table.
    func locate(_ offset: UInt64, _ count: Int, _ access: LinearAccess) -> Result<OperandLocation, MemoryFault> {
      Result { () throws(MemoryFault) in try operand.locate(offset, byteCount: count, for: access, in: memory) }
    }
    #expect(locate(0xFFC, 4, .read) == .success(OperandLocation(first: 0x5FFC, firstCount: 4, second: 0)))
    let across = try locate(0xFFE, 4, .write).get()
    #expect((0..<4).map(across.address) == [0x5FFE, 0x5FFF, 0x3000, 0x3001])
    #expect(locate(0x1FFF, 2, .write) == .failure(.missingMemory(guestPhysicalAddress: 0x7000, isWrite: true)))
    #expect(locate(0x2004, 1, .read) == .failure(.missingMemory(guestPhysicalAddress: 0x7004, isWrite: false)))
    #expect(locate(0x3000, 1, .write) == .failure(.pageFault(linearAddress: 0x3000, PageFaultErrorCode(rawValue: 2))))
    #expect(locate(0x2FFF, 2, .read) == .failure(.pageFault(linearAddress: 0x3000, PageFaultErrorCode(rawValue: 0))))
  }

  @Test(
    "Alignment checks",
    arguments: [
      (0x1000, 1, true), (0x1001, 1, true), (0x1001, 2, false), (0x1002, 2, true), (0x1002, 4, false),
      (0x1004, 4, true),
    ]
      as [(UInt64, Int, Bool)])
  func alignment(offset: UInt64, count: Int, isAllowed: Bool) {
    var operand = OperandRow.all[0].operand
    let memory = FlatMemory(byteCount: 0x3_0000)
    operand.isAlignmentChecked = true
    func locate() -> Result<OperandLocation, MemoryFault> {
      Result { () throws(MemoryFault) in try operand.locate(offset, byteCount: count, for: .read, in: memory) }
    }
    let result = locate()
    let fault = MemoryFault.exception(.exception(.alignmentCheck, errorCode: 0))
    #expect(
      result
        == (isAllowed
          ? .success(OperandLocation(first: 0x1_0000 + offset, firstCount: count, second: 0)) : .failure(fault)))
  }

  @Test("INS and OUTS, decoded from their bytes", arguments: StringIORow.all)
  func decoding(_ row: StringIORow) {
    // What follows the instruction does not matter.
    let bytes = InstructionBytes(row.bytes + [UInt8](repeating: 0x6C, count: 16), count: row.bytes.count)
    let attributes = SizeAttributes(code: row.addressSize, stack: row.addressSize)
    #expect(StringIOInstruction(decoding: bytes, attributes) == row.instruction)
  }

  @Test("F15 the address size in the VM-exit instruction information: 0, 1 and 2 are 2, 4 and 8 bytes; the segment")
  func information() {
    let segments: [GuestSegment?] = [.es, .cs, .ss, .ds, .fs, .gs, nil, nil]
    for size in 0..<8 as Range<UInt32> {
      for segment in 0..<8 as Range<UInt32> {
        // Undefined bits do not matter.
        let word = INSOUTSInstructionInformation(rawValue: size << 7 | segment << 15 | 0xFFFC_7C7F)
        let outs =
          size > 2
          ? nil : segments[Int(segment)].map { StringIOInstruction(segment: $0, addressSize: [2, 4, 8][Int(size)]) }
        #expect(StringIOInstruction(word, isINS: false) == outs)
        let ins = size > 2 ? nil : StringIOInstruction(segment: .es, addressSize: [2, 4, 8][Int(size)])
        #expect(StringIOInstruction(word, isINS: true) == ins)
      }
    }
  }
}
