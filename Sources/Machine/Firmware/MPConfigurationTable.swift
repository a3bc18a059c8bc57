/// The MP floating pointer structure and the MP configuration table, for an operating system that finds processors and
/// interrupts without ACPI (MultiProcessor Specification 1.4, "MP Configuration Table").
public enum MPConfigurationTable {
  /// The guest-physical address of the MP floating pointer structure, on a paragraph of the range that is searched.
  public static var floatingPointerAddress: UInt64 { E820Map.firmware.lowerBound + 0x80 }
  /// The guest-physical address of the MP configuration table.
  public static var address: UInt64 { E820Map.firmware.lowerBound + 0x1000 }
  private static var end: UInt64 { SMBIOSTables.structuresAddress }

  /// The bus ID of ISA.
  private static var isa: UInt8 { 0 }
  private static var everyLocalAPIC: UInt8 { 0xFF }

  /// Writes both structures.
  ///
  /// - Returns: Whether they were written: false, with nothing changed, if the guest has less than 1 MiB of RAM.
  public static func write(_ platform: GuestPlatform, to memory: GuestMemory) -> Bool {
    guard let pointer = memory.bytes(at: floatingPointerAddress, count: 16),
      let place = memory.bytes(at: address, count: end - address)
    else { return false }
    writeFloatingPointer(to: pointer)
    var table = ByteWriter(place)
    table.append("PCMP")
    table.append(0 as UInt16)  // BASE TABLE LENGTH, below
    table.append([4, 0])  // SPEC_REV 1.4; CHECKSUM, below
    table.append("SKEP    ")  // OEM ID
    table.append("SKEP VM     ")  // PRODUCT ID
    table.append(0 as UInt32)  // OEM TABLE POINTER
    table.append(0 as UInt16)  // OEM TABLE SIZE
    table.append(0 as UInt16)  // ENTRY COUNT, below
    table.append(GuestPlatform.localAPICAddress)
    table.append(0 as UInt32)  // EXTENDED TABLE LENGTH and CHECKSUM
    let count = appendEntries(to: &table, platform)
    table.replace(at: 4, with: UInt16(table.count))
    table.replace(at: 34, with: count)
    table.setChecksum(at: 7, of: 0..<table.count)
    return true
  }

  private static func writeFloatingPointer(to bytes: UnsafeMutableRawBufferPointer) {
    var pointer = ByteWriter(bytes)
    pointer.append("_MP_")
    pointer.append(UInt32(truncatingIfNeeded: address))
    // Length in paragraphs; SPEC_REV 1.4; CHECKSUM, below; no default configuration; virtual wire mode
    pointer.append([1, 4, 0, 0, 0, 0, 0, 0])
    pointer.setChecksum(at: 10, of: 0..<16)
  }

  /// Appends the entries, and gives their number.
  private static func appendEntries(to table: inout ByteWriter, _ platform: GuestPlatform) -> UInt16 {
    for processor in 0..<platform.processorCount {
      // Processor: local APIC ID and version, enabled, and the first is the bootstrap processor
      table.append([0, UInt8(processor), 0x14, processor == 0 ? 0b11 : 0b01])
      table.append(platform.processorSignature)
      table.append(platform.processorFeatures)
      table.append(0 as UInt64)
    }
    table.append([1, isa])
    table.append("ISA   ")
    table.append([2, platform.ioAPICIdentifier, IOAPIC.version, 1])  // I/O APIC: version, enabled
    table.append(GuestPlatform.ioAPICAddress)
    // Input 2 is the PIT's, as the second 8259A has no interrupt of its own.
    for irq in 0..<16 as Range<UInt8> where irq != 2 {
      let flags: UInt8 = irq == GuestPlatform.systemControlInterrupt ? 0b1101 : 0
      let input = irq == 0 ? GuestPlatform.timerInput : irq
      // I/O interrupt: vectored, flags of 2 bytes, source, destination
      table.append([3, 0, flags, 0, isa, irq, platform.ioAPICIdentifier, input])
    }
    // Local interrupts: ExtINT at LINT0, NMI at LINT1
    table.append([4, 3, 0, 0, isa, 0, everyLocalAPIC, 0])
    table.append([4, 1, 0, 0, isa, 0, everyLocalAPIC, 1])
    return UInt16(platform.processorCount) + 19
  }
}
