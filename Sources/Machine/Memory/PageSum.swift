/// A sum over pages of memory, which tells whether they have changed.
///
/// A change within one quadword always changes the sum, since each step maps the sums before it one to one to the sums
/// after it. Changes of several quadwords leave it as it was only by accident, once in 2⁶⁴.
public struct PageSum: Equatable, Sendable {
  /// The sum so far.
  private var value: UInt64 = 0xCBF2_9CE4_8422_2325

  /// Makes the sum of no page.
  public init() {}

  /// Adds the pages that lie in `range` whole, but none that overlaps one of `excluded`.
  ///
  /// - Parameters:
  ///   - ignored: bits of each quadword that are taken as 0.
  ///   - pointer: gives the contents of the page at an address, which is a multiple of 4,096.
  public mutating func add(
    _ range: Range<UInt64>, without excluded: PageRanges = PageRanges(), ignoring ignored: UInt64 = 0,
    at pointer: (UInt64) -> UnsafeRawPointer
  ) {
    var page = (range.lowerBound + 0xFFF) & ~0xFFF
    while page + 0x1000 <= range.upperBound {
      if !excluded.overlap(page: page) { add(pointer(page), ignoring: ignored) }
      page += 0x1000
    }
  }

  private mutating func add(_ page: UnsafeRawPointer, ignoring ignored: UInt64) {
    for offset in stride(from: 0, to: 0x1000, by: 8) {
      add(page.load(fromByteOffset: offset, as: UInt64.self) & ~ignored)
    }
  }

  /// Adds a quadword.
  ///
  /// It is mixed into all bits above its own by the multiplication and into those below by the shift; a multiplication
  /// alone would let two changes of bit 63 cancel out.
  public mutating func add(_ quadword: UInt64) {
    value = (value ^ quadword) &* 0x9E37_79B9_7F4A_7C15
    value ^= value >> 32
  }
}

/// A few ranges of addresses.
public struct PageRanges: Sendable {
  private var ranges = InlineArray<16, Range<UInt64>>(repeating: 0..<0)
  private var count = 0

  /// Makes none.
  public init() {}

  /// Adds a range.
  ///
  /// There is room for 16; one more is Skep's own bug.
  public mutating func append(_ range: Range<UInt64>) {
    precondition(count < 16)
    ranges[count] = range
    count += 1
  }

  /// Whether the 4 KiB at `page` have a byte in one of the ranges.
  func overlap(page: UInt64) -> Bool {
    for index in 0..<count where ranges[index].lowerBound < page + 0x1000 && ranges[index].upperBound > page {
      if !ranges[index].isEmpty { return true }
    }
    return false
  }
}
