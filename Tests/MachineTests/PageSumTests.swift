import Machine
import Testing

/// The sum over pages that tells whether memory has changed.
@Suite("Page sum")
struct PageSumTests {
  /// Four pages at address 0x10000, made of noise.
  private final class Pages {
    static let range: Range<UInt64> = 0x10000..<0x14000
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 0x4000, alignment: 4096)

    init() {
      var noise = RandomNumbers(seed: 1)
      for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: noise.next()) }
    }

    deinit { bytes.deallocate() }

    func sum(
      _ range: Range<UInt64> = range, without excluded: [Range<UInt64>] = [], ignoring ignored: UInt64 = 0
    ) -> PageSum {
      var sum = PageSum()
      var ranges = PageRanges()
      for range in excluded { ranges.append(range) }
      sum.add(range, without: ranges, ignoring: ignored) { address in
        UnsafeRawPointer(bytes.baseAddress! + Int(address - Self.range.lowerBound))
      }
      return sum
    }
  }

  @Test("Each bit of a page matters")
  func everyBit() {
    expectChanges(in: 0x10000..<0x11000, bits: stride(from: 0, to: 4096 * 8, by: 1))
  }

  @Test("A bit matters in whichever page it is")
  func everyPage() { expectChanges(in: Pages.range, bits: stride(from: 5, to: 4 * 4096 * 8, by: 97)) }

  private func expectChanges(in range: Range<UInt64>, bits: StrideTo<Int>) {
    let pages = Pages()
    let before = pages.sum(range)
    for bit in bits {
      pages.bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      if pages.sum(range) == before { Issue.record("bit \(bit) does not matter") }
      pages.bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
    #expect(pages.sum(range) == before)
  }

  @Test("The same bit of two quadwords does not cancel out", arguments: 0..<64)
  func twoBits(bit: Int) {
    let pages = Pages()
    let before = pages.sum()
    for (first, second) in [(0, 1), (0, 512), (511, 512), (7, 2047)] {
      for quadword in [first, second] { pages.bytes[8 * quadword + bit / 8] ^= 1 << UInt8(bit % 8) }
      #expect(pages.sum() != before, "quadwords \(first) and \(second)")
      for quadword in [first, second] { pages.bytes[8 * quadword + bit / 8] ^= 1 << UInt8(bit % 8) }
    }
  }

  @Test("Pages that have changed places change the sum")
  func order() {
    let pages = Pages()
    let before = pages.sum()
    for index in 0..<4096 { pages.bytes.swapAt(index, index + 4096) }
    #expect(pages.sum() != before)
  }

  /// A range, what is left out, and which of the four pages are in the sum.
  struct Coverage: Sendable {
    var range: Range<UInt64> = Pages.range
    var excluded: [Range<UInt64>] = []
    var pages: [Bool]

    init(_ range: Range<UInt64>, _ excluded: [Range<UInt64>] = [], _ pages: [Bool]) {
      (self.range, self.excluded, self.pages) = (range, excluded, pages)
    }
  }

  static let coverages: [Coverage] = [
    .init(0x10000..<0x14000, [], [true, true, true, true]),
    .init(0x10001..<0x14000, [], [false, true, true, true]),
    .init(0x10000..<0x13FFF, [], [true, true, true, false]),
    .init(0x11000..<0x11FFF, [], [false, false, false, false]),
    .init(0x11000..<0x11000, [], [false, false, false, false]),
    .init(0x10000..<0x14000, [0x11000..<0x12000], [true, false, true, true]),
    .init(0x10000..<0x14000, [0x11000..<0x12001], [true, false, false, true]),
    .init(0x10000..<0x14000, [0x10FFF..<0x12000], [false, false, true, true]),
    .init(0x10000..<0x14000, [0x11800..<0x11801], [true, false, true, true]),
    .init(0x10000..<0x14000, [0x11800..<0x11800], [true, true, true, true]),
    .init(0x10000..<0x14000, [0..<0x10000, 0x14000..<0x15000], [true, true, true, true]),
    .init(0x10000..<0x14000, [0x13000..<0x14000, 0x10000..<0x11000], [false, true, true, false]),
    .init(0x10000..<0x14000, [0..<0x20000], [false, false, false, false]),
    .init(
      0x10000..<0x14000, [Range<UInt64>](repeating: 0..<1, count: 15) + [0x12000..<0x13000], [true, true, false, true]),
  ]

  @Test(
    "Only whole pages of the range are in the sum, without those that overlap what is left out", arguments: coverages)
  func coverage(coverage: Coverage) {
    let pages = Pages()
    let before = pages.sum(coverage.range, without: coverage.excluded)
    for (page, isCovered) in coverage.pages.enumerated() {
      for offset in [0, 7, 2048, 4095] {
        pages.bytes[page << 12 + offset] ^= 0x10
        #expect(
          (pages.sum(coverage.range, without: coverage.excluded) != before) == isCovered, "page \(page), byte \(offset)"
        )
        pages.bytes[page << 12 + offset] ^= 0x10
      }
    }
  }

  @Test("Ignored bits do not matter, the others do", arguments: [0, 1 << 5 | 1 << 6, 1 << 63, ~0] as [UInt64])
  func ignoredBits(ignored: UInt64) {
    let pages = Pages()
    let before = pages.sum(ignoring: ignored)
    for bit in 0..<64 {
      pages.bytes[0x1008 + bit / 8] ^= 1 << UInt8(bit % 8)
      #expect((pages.sum(ignoring: ignored) == before) == (ignored >> UInt64(bit) & 1 == 1), "bit \(bit)")
      pages.bytes[0x1008 + bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }
}
