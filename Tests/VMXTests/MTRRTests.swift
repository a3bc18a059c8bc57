import Testing
import VMCS

@testable import VMX

@Suite struct MTRRTests {
  /// UC, WC, WT, WP, WB.
  static let memoryTypes: Set<UInt64> = [0, 1, 4, 5, 6]
  static let fixed: [UInt32] = [0x250, 0x258, 0x259] + Array(0x268...0x26F)
  static let bases: [UInt32] = (0..<8).map { 0x200 + 2 * $0 }

  private func accepts(_ msr: UInt32, _ value: UInt64, width: UInt8 = 46) -> Bool {
    var mtrrs = MTRRs(physicalAddressWidth: width)
    let before = mtrrs.read(MSR(rawValue: msr))
    let isAccepted = mtrrs.write(MSR(rawValue: msr), value)
    #expect(mtrrs.read(MSR(rawValue: msr)) == (isAccepted ? value : before))
    return isAccepted
  }

  @Test("IA32_MTRRCAP: eight variable ranges, fixed ranges, write combining, no SMRR; read-only")
  func capability() {
    var mtrrs = MTRRs(physicalAddressWidth: 46)
    #expect(mtrrs.read(.ia32MTRRCAP) == 0x508)
    for value in [0, 0x508, ~0] as [UInt64] { #expect(mtrrs.write(.ia32MTRRCAP, value) == false) }
    #expect(mtrrs.read(MSR(rawValue: 0x20F)) != nil && mtrrs.read(MSR(rawValue: 0x210)) == nil)
    #expect(mtrrs.read(.ia32SMRRPHYSBASE) == nil)
  }

  @Test("Registers are independent of each other")
  func independent() {
    var mtrrs = MTRRs(physicalAddressWidth: 46)
    var values: [(UInt32, UInt64)] = [(0x2FF, 0x801)]
    for (index, msr) in Self.fixed.enumerated() { values.append((msr, 1 << UInt64(8 * (index % 8)) | 4 << 56)) }
    for index in 0..<8 as Range<UInt32> {
      values.append((0x200 + 2 * index, UInt64(index + 1) << 12 | 6))
      values.append((0x201 + 2 * index, UInt64(index + 1) << 20 | 0x800))
    }
    for (msr, value) in values { #expect(mtrrs.write(MSR(rawValue: msr), value) == true) }
    for (msr, value) in values { #expect(mtrrs.read(MSR(rawValue: msr)) == value) }
  }

  @Test("IA32_MTRR_DEF_TYPE: a memory type, FE, E", arguments: 0...0xFFF as ClosedRange<UInt64>)
  func defaultType(value: UInt64) {
    let isLegal = Self.memoryTypes.contains(value & 0xFF) && value & 0x300 == 0
    #expect(accepts(0x2FF, value) == isLegal)
  }

  @Test("IA32_MTRR_DEF_TYPE: the rest is reserved", arguments: 12..<64 as Range<UInt64>)
  func defaultTypeReserved(bit: UInt64) { #expect(!accepts(0x2FF, 0xC06 | 1 << bit)) }

  @Test("A fixed range takes a memory type in each of its eight bytes", arguments: fixed)
  func fixedRange(msr: UInt32) {
    for byte in 0..<8 as Range<UInt64> {
      for type in 0...255 as ClosedRange<UInt64> {
        #expect(accepts(msr, type << (8 * byte)) == Self.memoryTypes.contains(type))
      }
    }
  }

  @Test("IA32_MTRR_PHYSBASEn: a memory type, an address of the processor's width", arguments: bases)
  func base(msr: UInt32) {
    for type in 0...255 as ClosedRange<UInt64> {
      #expect(accepts(msr, 0x1_0000_0000 | type) == Self.memoryTypes.contains(type))
    }
    for width in [36, 39, 46, 48] as [UInt8] {
      for bit in 8..<64 as Range<UInt64> {
        #expect(accepts(msr, 1 << bit | 6, width: width) == (12..<UInt64(width) ~= bit))
      }
    }
  }

  @Test("IA32_MTRR_PHYSMASKn: V, an address of the processor's width", arguments: bases.map { $0 + 1 })
  func mask(msr: UInt32) {
    for width in [36, 39, 46, 48] as [UInt8] {
      for bit in 0..<64 as Range<UInt64> {
        #expect(accepts(msr, 1 << bit, width: width) == (11..<UInt64(width) ~= bit))
      }
    }
  }

  @Test("Firmware leaves RAM write-back, and what holds devices uncacheable", arguments: [36, 46, 48] as [UInt8])
  func initial(width: UInt8) throws {
    let mtrrs = MTRRs(physicalAddressWidth: width)
    #expect(mtrrs.read(.ia32MTRRDEFTYPE) == 0xC06)
    let base = try #require(mtrrs.read(MSR(rawValue: 0x200)))
    let mask = try #require(mtrrs.read(MSR(rawValue: 0x201)))
    #expect(mask & 0x800 != 0 && base & 0xFF == 0)
    for (address, isCovered) in [
      (0xBFFF_F000, false), (0xC000_0000, true), (0xFEC0_0000, true), (0xFFFF_F000, true), (0x1_0000_0000, false),
      (0, false),
    ] as [(UInt64, Bool)] {
      #expect((address & mask & ~0xFFF == base & mask & ~0xFFF) == isCovered)
    }
    // All that firmware leaves could be written back.
    for msr in Self.fixed + Self.bases + Self.bases.map({ $0 + 1 }) + [0x2FF] {
      #expect(accepts(msr, try #require(mtrrs.read(MSR(rawValue: msr))), width: width))
    }
  }
}
