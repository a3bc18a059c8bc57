import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite struct MSRBitmapTests {
  /// Every MSR that the bitmaps cover.
  static let covered = Array(0...0x1FFF) + Array(0xC000_0000...0xC000_1FFF) as [UInt32]

  private let memory = ModelMemory()

  private func bitmap() -> (MSRBitmap, [UInt8]) {
    let page = memory.allocatePages()
    let bitmap = MSRBitmap(in: PagePool.Page(pointer: page.pointer, address: page.address))
    return (bitmap, bytes(bitmap))
  }

  private func bytes(_ bitmap: MSRBitmap) -> [UInt8] {
    guard let pointer = memory.pointer(to: bitmap.address, byteCount: 4096) else { return [] }
    return Array(UnsafeRawBufferPointer(start: pointer, count: 4096))
  }

  @Test("At first every access exits")
  func allOnes() {
    let (bitmap, bytes) = bitmap()
    #expect(bytes == Array(repeating: 0xFF, count: 4096))
    for msr in Self.covered + [0x2000, 0xBFFF_FFFF, 0xC000_2000, 0x4000_0000, 0xFFFF_FFFF] {
      #expect(bitmap.exits(on: .read, of: MSR(rawValue: msr)) && bitmap.exits(on: .write, of: MSR(rawValue: msr)))
    }
  }

  @Test(
    "F8 an MSR's bit is where the SDM puts it",
    arguments: [
      (0x0, .read, 0, 0), (0x10, .read, 2, 0), (0x1FFF, .read, 1023, 7), (0xC000_0000, .read, 1024, 0),
      (0xC000_0102, .read, 1056, 2), (0xC000_1FFF, .read, 2047, 7), (0x0, .write, 2048, 0),
      (0x174, .write, 2048 + 46, 4), (0x1FFF, .write, 3071, 7), (0xC000_0000, .write, 3072, 0),
      (0xC000_0080, .write, 3088, 0), (0xC000_1FFF, .write, 4095, 7),
    ] as [(UInt32, MSRBitmap.Access, Int, UInt8)])
  func position(msr: UInt32, access: MSRBitmap.Access, byte: Int, bit: UInt8) {
    var (bitmap, expected) = bitmap()
    bitmap.allow(access, of: MSR(rawValue: msr))
    expected[byte] &= ~(1 << bit)
    #expect(bytes(bitmap) == expected)
  }

  @Test("F8 allowing an access clears one bit, its own", arguments: [MSRBitmap.Access.read, .write])
  func oneBit(_ access: MSRBitmap.Access) {
    let (bitmap, _) = bitmap()
    var ones = 4096 * 8
    for msr in Self.covered.shuffled() {
      #expect(bitmap.exits(on: access, of: MSR(rawValue: msr)))
      bitmap.allow(access, of: MSR(rawValue: msr))
      ones -= 1
      #expect(!bitmap.exits(on: access, of: MSR(rawValue: msr)))
    }
    #expect(bytes(bitmap).reduce(0) { $0 + $1.nonzeroBitCount } == ones)
    bitmap.allow(access, of: MSR(rawValue: 0x10))
    #expect(bytes(bitmap).reduce(0) { $0 + $1.nonzeroBitCount } == ones)
  }

  @Test("An MSR that the bitmaps do not cover cannot be allowed")
  func outside() async {
    await #expect(processExitsWith: .failure) {
      let page = ModelMemory().allocatePages()
      MSRBitmap(in: PagePool.Page(pointer: page.pointer, address: page.address))
        .allow(.read, of: MSR(rawValue: 0x2000))
    }
    await #expect(processExitsWith: .failure) {
      let page = ModelMemory().allocatePages()
      MSRBitmap(in: PagePool.Page(pointer: page.pointer, address: page.address))
        .allow(.write, of: MSR(rawValue: 0xC000_2000))
    }
  }

  @Test("F8 the guest has these MSRs for itself, and no other", arguments: [true, false], [true, false])
  func passThrough(pat: Bool, rdtscp: Bool) throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    if !pat { configuration.exit.remove(.saveIA32PAT) }
    if !rdtscp { configuration.secondary.remove(.enableRDTSCP) }
    let (bitmap, _) = bitmap()
    bitmap.allowPassThrough(with: try VMXSupport(of: ProcessorModel(configuration)).controls)

    // FS, GS and kernel GS base, EFER, STAR, LSTAR, CSTAR, FMASK, SYSENTER_CS, _ESP, _EIP.
    var expected: Set<UInt32> = [
      0xC000_0100, 0xC000_0101, 0xC000_0102, 0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0083, 0xC000_0084, 0x174,
      0x175, 0x176,
    ]
    if pat { expected.insert(0x277) }
    if rdtscp { expected.insert(0xC000_0103) }
    let writable = Self.covered.filter { !bitmap.exits(on: .write, of: MSR(rawValue: $0)) }
    let readable = Self.covered.filter { !bitmap.exits(on: .read, of: MSR(rawValue: $0)) }
    #expect(Set(writable) == expected)
    #expect(Set(readable) == expected.union([0x10]))
  }
}
