/// Builds the SMBIOS structures, one behind the other, and counts them.
struct SMBIOSWriter {
  private(set) var writer: ByteWriter
  /// The number of structures.
  private(set) var count = 0
  /// The length of the largest structure with its texts, in bytes.
  private(set) var largest = 0

  private static var biosHandle: UInt16 { 0x0000 }
  private static var systemHandle: UInt16 { 0x0100 }
  private static var chassisHandle: UInt16 { 0x0300 }
  private static var firstProcessorHandle: UInt16 { 0x0400 }
  private static var memoryArrayHandle: UInt16 { 0x1000 }
  private static var memoryDeviceHandle: UInt16 { 0x1100 }
  private static var firstMappedAddressHandle: UInt16 { 0x1300 }
  private static var bootHandle: UInt16 { 0x2000 }
  private static var endHandle: UInt16 { 0x7F00 }
  private static var none: UInt16 { 0xFFFE }

  init(_ writer: ByteWriter) { self.writer = writer }

  /// Appends a structure: its header, what `body` appends, and its texts, which fields name by their number from 1 on.
  private mutating func append(
    _ type: UInt8, _ handle: UInt16, texts first: StaticString = "", _ second: StaticString = "",
    body: (inout ByteWriter) -> Void
  ) {
    let start = writer.count
    writer.append([type, 0])
    writer.append(handle)
    body(&writer)
    writer.replace(at: start + 1, with: UInt8(writer.count - start))
    appendText(first)
    appendText(second)
    writer.append(0 as UInt8)
    if first.utf8CodeUnitCount == 0 { writer.append(0 as UInt8) }
    count += 1
    largest = max(largest, writer.count - start)
  }

  private mutating func appendText(_ text: StaticString) {
    if text.utf8CodeUnitCount == 0 { return }
    writer.append(text)
    writer.append(0 as UInt8)
  }

  /// Appends "BIOS Information", "System Information" and "System Enclosure or Chassis".
  mutating func appendSystem() {
    append(0, Self.biosHandle, texts: "Skep", "1") {
      $0.append([1, 2])  // Vendor, BIOS Version
      $0.append(0xF000 as UInt16)  // BIOS Starting Address Segment
      $0.append([0, 0])  // no release date, 64 KiB
      $0.append(1 << 3 as UInt64)  // BIOS Characteristics are not supported
      $0.append([0x01, 0x10])  // ACPI; virtual machine
      $0.append([0xFF, 0xFF, 0xFF, 0xFF])  // no releases
    }
    append(1, Self.systemHandle, texts: "Skep", "Skep virtual machine") {
      $0.append([1, 2, 0, 0])  // Manufacturer, Product Name, Version, Serial Number
      $0.pad(to: $0.count + 16)  // UUID: none
      $0.append([6, 0, 0])  // Wake-up Type: power switch
    }
    append(3, Self.chassisHandle, texts: "Skep") {
      $0.append([1, 1, 0, 0, 0])  // Manufacturer; type: other
      $0.append([3, 3, 3, 2])  // States: safe; security: unknown
      $0.append(0 as UInt32)
      $0.append([0, 0, 0, 0])  // Height, power cords, contained elements
      $0.append(0 as UInt8)  // SKU Number
    }
  }

  /// Appends "Processor Information".
  mutating func appendProcessor(_ number: Int, _ platform: GuestPlatform) {
    append(4, Self.firstProcessorHandle + UInt16(number), texts: "CPU", "GenuineIntel") {
      $0.append([1, 3, 2, 2])  // Socket Designation; type: central processor; family: unknown; Manufacturer
      $0.append(platform.processorSignature)
      $0.append(platform.processorFeatures)
      $0.append([0, 0])  // Version, Voltage
      $0.append(0 as UInt16)  // External Clock, Max Speed and Current Speed are unknown
      $0.append(0 as UInt16)
      $0.append(0 as UInt16)
      $0.append([0x41, 2])  // Status: populated, enabled; Upgrade: unknown
      for _ in 0..<3 { $0.append(0xFFFF as UInt16) }  // no caches
      $0.append([0, 0, 0, 1, 1, 1])  // Serial Number, Asset Tag, Part Number; one core, enabled, one thread
      $0.append(1 << 2 as UInt16)  // Processor Characteristics: 64-bit capable
      $0.append(2 as UInt16)  // Processor Family 2: unknown
    }
  }

  /// Appends "Physical Memory Array", "Memory Device", and a "Memory Array Mapped Address" for each range of RAM.
  mutating func appendMemory(_ layout: GuestMemoryLayout) {
    let kibibytes = layout.byteCount >> 10
    append(16, Self.memoryArrayHandle) {
      $0.append([1, 3, 3])  // Location: other; use: system memory; error correction: none
      let isLarge = kibibytes >= 0x8000_0000
      $0.append(isLarge ? 0x8000_0000 : UInt32(truncatingIfNeeded: kibibytes))  // Maximum Capacity
      $0.append(Self.none)
      $0.append(1 as UInt16)  // Number of Memory Devices
      $0.append(isLarge ? layout.byteCount : 0)
    }
    append(17, Self.memoryDeviceHandle, texts: "DIMM 0") {
      $0.append(Self.memoryArrayHandle)
      $0.append(Self.none)
      $0.append(0xFFFF as UInt16)  // Total Width and Data Width are unknown
      $0.append(0xFFFF as UInt16)
      let mebibytes = layout.byteCount >> 20
      let isLarge = mebibytes >= 0x7FFF
      $0.append(isLarge ? 0x7FFF : UInt16(truncatingIfNeeded: mebibytes))
      $0.append([9, 0, 1, 0, 7])  // DIMM; no set; Device Locator; Bank Locator; type: RAM
      $0.append(1 << 1 as UInt16)  // Type Detail: other
      $0.append(0 as UInt16)  // Speed
      $0.append([0, 0, 0, 0, 0])  // Manufacturer, Serial Number, Asset Tag, Part Number, Attributes
      $0.append(isLarge ? UInt32(truncatingIfNeeded: mebibytes) & 0x7FFF_FFFF : 0)
      $0.append(0 as UInt16)  // Configured Memory Speed
      for _ in 0..<3 { $0.append(0 as UInt16) }  // Voltages
    }
    appendMappedAddress(0, 0..<layout.lowByteCount)
    if layout.highByteCount > 0 {
      appendMappedAddress(1, GuestMemoryLayout.holeEnd..<GuestMemoryLayout.holeEnd + layout.highByteCount)
    }
  }

  private mutating func appendMappedAddress(_ number: UInt16, _ range: Range<UInt64>) {
    append(19, Self.firstMappedAddressHandle + number) {
      // Starting and Ending Address in KiB, or in bytes further down if one is too large.
      let isLarge = range.upperBound > 1 << 42
      $0.append(isLarge ? ~0 : UInt32(truncatingIfNeeded: range.lowerBound >> 10))
      $0.append(isLarge ? ~0 : UInt32(truncatingIfNeeded: (range.upperBound - 1) >> 10))
      $0.append(Self.memoryArrayHandle)
      $0.append(1 as UInt8)  // Partition Width
      $0.append(isLarge ? range.lowerBound : 0)
      $0.append(isLarge ? range.upperBound - 1 : 0)
    }
  }

  /// Appends "System Boot Information" and "End-of-Table".
  mutating func appendEnd() {
    append(32, Self.bootHandle) { $0.append([0, 0, 0, 0, 0, 0, 0]) }  // reserved; status: no errors
    append(127, Self.endHandle) { _ in }
  }
}
