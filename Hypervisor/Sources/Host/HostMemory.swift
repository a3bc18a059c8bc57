import Boot
import VMCS

/// How the host's physical memory is divided: ranges that are free, less what the image and the loader occupy.
package struct HostMemory {
  private let multiboot: Multiboot2

  package init(_ multiboot: Multiboot2) { self.multiboot = multiboot }

  /// The end of what the boot code has mapped.
  package static var limit: UInt64 { 1 << 32 }

  /// The largest range that begins and ends on a 2 MiB border, lies below 4 GiB and has nothing in it.
  package func largestFreeRange() -> Range<UInt64> {
    var largest: Range<UInt64> = 0..<0
    multiboot.forEachAvailableRange { available in
      var start = available.lowerBound
      let end = min(available.upperBound, Self.limit)
      // Free space lies between what is occupied: from each end of an occupied range to the next start.
      while start < end {
        var next = end
        var resume = end
        forEachOccupiedRange { occupied in
          if occupied.upperBound > start && occupied.lowerBound < next {
            next = max(occupied.lowerBound, start)
            resume = occupied.upperBound
          }
        }
        let candidate = Self.alignedUp(start)..<max(Self.alignedUp(start), next & ~0x1F_FFFF)
        if candidate.count > largest.count { largest = candidate }
        start = max(resume, next)
      }
    }
    return largest
  }

  private static func alignedUp(_ address: UInt64) -> UInt64 { (address + 0x1F_FFFF) & ~0x1F_FFFF }

  private func forEachOccupiedRange(_ body: (Range<UInt64>) -> Void) {
    body(0..<0x100000)
    body(address_of_image_start()..<address_of_image_end())
    multiboot.forEachOccupiedRange(body)
  }
}
