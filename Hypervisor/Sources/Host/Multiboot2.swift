import Boot
import VMCS

/// What the boot loader left: Multiboot2 Specification, "Boot information format".
package struct Multiboot2 {
  private let start: UnsafeRawPointer

  /// The value in EAX that says a multiboot2 loader was here.
  package static var magic: UInt32 { 0x36D7_6289 }

  /// Makes the information at the address that EBX holds; nil if no multiboot2 loader was here.
  package init?(magic: UInt32, information: UInt32) {
    guard magic == Self.magic, let start = UnsafeRawPointer(bitPattern: UInt(information)) else { return nil }
    self.start = start
  }

  /// The bytes that the information itself occupies.
  package var range: Range<UInt64> {
    let first = UInt64(UInt(bitPattern: start))
    return first..<first + UInt64(start.load(as: UInt32.self))
  }

  /// Calls `body` with the type and the bytes of each tag.
  private func forEachTag(_ body: (UInt32, UnsafeRawBufferPointer) -> Void) {
    let end = Int(start.load(as: UInt32.self))
    var offset = 8
    while offset + 8 <= end {
      let type = start.load(fromByteOffset: offset, as: UInt32.self)
      let size = Int(start.load(fromByteOffset: offset + 4, as: UInt32.self))
      if type == 0 || size < 8 { return }
      body(type, UnsafeRawBufferPointer(start: start + offset, count: size))
      offset += (size + 7) & ~7
    }
  }

  /// The command line without the terminating zero; empty if there is none.
  ///
  /// It is Skep's to change.
  package var commandLine: UnsafeMutableRawBufferPointer {
    var result = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    forEachTag { type, tag in
      guard type == 1, tag.count > 9 else { return }
      result = UnsafeMutableRawBufferPointer(mutating: UnsafeRawBufferPointer(rebasing: tag[8..<tag.count - 1]))
    }
    return result
  }

  /// The module whose string is `name`.
  package func module(named name: StaticString) -> UnsafeRawBufferPointer? {
    var result: UnsafeRawBufferPointer?
    forEachTag { type, tag in
      guard type == 3, tag.count >= 17 else { return }
      let text = UnsafeRawBufferPointer(rebasing: tag[16..<tag.count - 1])
      guard text.elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)) else {
        return
      }
      let first = UInt(tag.load(fromByteOffset: 8, as: UInt32.self))
      let last = UInt(tag.load(fromByteOffset: 12, as: UInt32.self))
      result = UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: first), count: Int(last - first))
    }
    return result
  }

  /// Calls `body` with the bytes of each module and its string, which is Skep's to change.
  package func forEachModule(_ body: (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) -> Void) {
    forEachTag { type, tag in
      guard type == 3, tag.count >= 17 else { return }
      let first = UInt(tag.load(fromByteOffset: 8, as: UInt32.self))
      let last = UInt(tag.load(fromByteOffset: 12, as: UInt32.self))
      let text = UnsafeRawBufferPointer(rebasing: tag[16..<tag.count - 1])
      body(
        UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: first), count: Int(last - first)),
        UnsafeMutableRawBufferPointer(mutating: text))
    }
  }

  /// Calls `body` with each range of physical memory that is RAM and free for use.
  package func forEachAvailableRange(_ body: (Range<UInt64>) -> Void) {
    forEachTag { type, tag in
      guard type == 6 else { return }
      let entrySize = Int(tag.load(fromByteOffset: 8, as: UInt32.self))
      var offset = 16
      while entrySize >= 24, offset + entrySize <= tag.count {
        let base = tag.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        let length = tag.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
        if tag.loadUnaligned(fromByteOffset: offset + 16, as: UInt32.self) == 1 { body(base..<base + length) }
        offset += entrySize
      }
    }
  }

  /// Calls `body` with each range that the loader has filled: the modules and the information itself.
  package func forEachOccupiedRange(_ body: (Range<UInt64>) -> Void) {
    body(range)
    forEachTag { type, tag in
      guard type == 3, tag.count >= 17 else { return }
      body(UInt64(tag.load(fromByteOffset: 8, as: UInt32.self))..<UInt64(tag.load(fromByteOffset: 12, as: UInt32.self)))
    }
  }

  /// The Root System Description Pointer of the firmware's ACPI tables, the newer kind if there are both.
  package var rsdp: UnsafeRawBufferPointer? {
    var result: UnsafeRawBufferPointer?
    var newest: UInt32 = 0
    forEachTag { type, tag in
      guard type == 14 || type == 15, type > newest, tag.count > 8 else { return }
      newest = type
      result = UnsafeRawBufferPointer(rebasing: tag[8...])
    }
    return result
  }

  /// The number of a page below 640 KiB that is RAM, and free; nil if there is none.
  package func freeLowPage() -> UInt8? {
    // The firmware's own data is in the first page.
    for page in UInt8(1)..<0xA0 {
      let range = UInt64(page) << 12..<(UInt64(page) + 1) << 12
      var isFree = false
      forEachAvailableRange {
        if $0.lowerBound <= range.lowerBound && $0.upperBound >= range.upperBound { isFree = true }
      }
      forEachOccupiedRange { if $0.overlaps(range) { isFree = false } }
      if isFree { return page }
    }
    return nil
  }
}
