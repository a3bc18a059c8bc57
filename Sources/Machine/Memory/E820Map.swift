/// What a range of guest-physical addresses is, in the numbers of the ACPI Specification, "Address Range Types".
@frozen
public enum E820Type: UInt32, Sendable {
  /// AddressRangeMemory: RAM that the operating system may use.
  case memory = 1
  /// AddressRangeReserved: not for the operating system.
  case reserved = 2
  /// AddressRangeACPI: RAM that may be used once the ACPI tables have been read.
  case acpi = 3
}

/// One range of an E820 map.
@frozen
public struct E820Entry: Equatable, Sendable {
  /// The length in bytes of an entry in memory: address, length and type, without padding.
  public static var size: Int { 20 }

  /// The guest-physical address where the range starts.
  public var address: UInt64
  /// The range's length in bytes.
  public var byteCount: UInt64
  /// What the range is.
  public var type: E820Type

  /// Makes an entry.
  @inlinable
  public init(address: UInt64, byteCount: UInt64, type: E820Type) {
    self.address = address
    self.byteCount = byteCount
    self.type = type
  }
}

/// The memory map that the guest's firmware reports: ranges in ascending order, none overlapping another.
///
/// Every entry follows from the layout; nothing is stored but the layout.
@frozen
public struct E820Map: RandomAccessCollection, Sendable {
  /// The end of the RAM below the extended BIOS data area, in bytes: 639 KiB.
  public static var conventionalMemoryEnd: UInt64 { 0x9FC00 }
  /// The end of the extended BIOS data area, where the range of the display adapter starts.
  public static var extendedBIOSDataAreaEnd: UInt64 { 0xA0000 }
  /// Where the ACPI tables are that the operating system only reads.
  public static var acpiTables: Range<UInt64> { 0xE0000..<0xF0000 }
  /// The range of a PC's ROM: what firmware keeps for itself, and where it is searched for its RSDP.
  public static var firmware: Range<UInt64> { 0xF0000..<0x100000 }
  /// The start of the RAM above the range of the ROM: 1 MiB.
  public static var extendedMemoryStart: UInt64 { 0x100000 }

  /// Where the guest's RAM is.
  public let layout: GuestMemoryLayout

  /// Makes the map of a layout.
  public init(_ layout: GuestMemoryLayout) { self.layout = layout }

  /// The index of the first entry: 0.
  public var startIndex: Int { 0 }

  /// The number of entries: 4, and one more for each of RAM above 1 MiB and RAM above 4 GiB.
  public var endIndex: Int {
    4 + (layout.lowByteCount > Self.extendedMemoryStart ? 1 : 0) + (layout.highByteCount > 0 ? 1 : 0)
  }

  /// The entry at `position`, which must be a valid index.
  public subscript(position: Int) -> E820Entry {
    switch position {
    case 0: Self.entry(0, Swift.min(layout.lowByteCount, Self.conventionalMemoryEnd), .memory)
    case 1: Self.entry(Self.conventionalMemoryEnd, Self.extendedBIOSDataAreaEnd, .reserved)
    case 2: Self.entry(Self.acpiTables.lowerBound, Self.acpiTables.upperBound, .acpi)
    case 3: Self.entry(Self.firmware.lowerBound, Self.firmware.upperBound, .reserved)
    case 4: Self.entry(Self.extendedMemoryStart, layout.lowByteCount, .memory)
    default: E820Entry(address: GuestMemoryLayout.holeEnd, byteCount: layout.highByteCount, type: .memory)
    }
  }

  private static func entry(_ start: UInt64, _ end: UInt64, _ type: E820Type) -> E820Entry {
    E820Entry(address: start, byteCount: end - start, type: type)
  }
}
