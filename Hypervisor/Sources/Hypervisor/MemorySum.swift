import Boot
import Host

/// A sum over all memory below 4 GiB that nobody is to change while the guest runs: the image's text and constants, the
/// modules and the boot information, the guard on both sides of the guest's memory, and all that is free.
///
/// Left out are the first page, the image's data, the pages of tables, and the guest's own memory.
struct MemorySum {
  private let multiboot: Multiboot2
  private let changing: InlineArray<2, Range<UInt64>>
  private let start: UInt64

  /// Takes the sum; the memory in `changing` is left out.
  init(_ multiboot: Multiboot2, changing: InlineArray<2, Range<UInt64>>) {
    self.multiboot = multiboot
    self.changing = changing
    start = Self.sum(multiboot, changing)
  }

  /// Whether the sum is still the same.
  var isUnchanged: Bool { Self.sum(multiboot, changing) == start }

  private static func sum(_ multiboot: Multiboot2, _ changing: InlineArray<2, Range<UInt64>>) -> UInt64 {
    var sum: UInt64 = 0xCBF2_9CE4_8422_2325
    let data = address_of_constants_end()..<address_of_image_end()
    multiboot.forEachAvailableRange { range in
      var page = max((range.lowerBound + 0xFFF) & ~0xFFF, 0x1000)
      let end = min(range.upperBound, HostMemory.limit)
      while page + 0x1000 <= end {
        if !data.contains(page) && !changing[0].contains(page) && !changing[1].contains(page) {
          add(page: pointer(to: page), to: &sum)
        }
        page += 0x1000
      }
    }
    return sum
  }

  /// FNV-1a, by words of 64 bits.
  private static func add(page: UnsafeMutableRawPointer, to sum: inout UInt64) {
    let words = page.assumingMemoryBound(to: UInt64.self)
    for index in 0..<512 { sum = (sum ^ words[index]) &* 0x100_0000_01B3 }
  }
}
