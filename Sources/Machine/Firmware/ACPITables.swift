/// The ACPI tables that let an operating system turn the machine off and reset it (ACPI Specification, "ACPI Software
/// Programming Model").
///
/// There is no MADT, as the processor has no local APIC. The RSDP and the FACS are in the range of the ROM, where an
/// operating system searches for the one and may write to the other; the rest is in ``E820Map/acpiTables``.
public enum ACPITables {
  /// The guest-physical address of the RSDP, on a paragraph of the range that is searched for it.
  public static var rsdpAddress: UInt64 { E820Map.firmware.lowerBound }
  /// The guest-physical address of the FACS, a multiple of 64.
  public static var facsAddress: UInt64 { E820Map.firmware.lowerBound + 0x40 }
  /// The guest-physical address of the XSDT.
  public static var xsdtAddress: UInt64 { E820Map.acpiTables.lowerBound }
  /// The guest-physical address of the FADT.
  public static var fadtAddress: UInt64 { E820Map.acpiTables.lowerBound + 0x100 }
  /// The guest-physical address of the DSDT.
  public static var dsdtAddress: UInt64 { E820Map.acpiTables.lowerBound + 0x400 }

  /// Writes all tables.
  ///
  /// - Returns: Whether they were written: false, with nothing changed, if the guest has less than 1 MiB of RAM.
  public static func write(to memory: GuestMemory) -> Bool {
    guard let tables = memory.bytes(at: 0, count: E820Map.extendedMemoryStart) else { return false }
    writeRSDP(to: part(of: tables, at: rsdpAddress, upTo: facsAddress))
    writeFACS(to: part(of: tables, at: facsAddress, upTo: E820Map.firmware.upperBound))
    writeTable("XSDT", revision: 1, to: part(of: tables, at: xsdtAddress, upTo: fadtAddress)) {
      $0.append(fadtAddress)
    }
    writeTable("FACP", revision: 3, to: part(of: tables, at: fadtAddress, upTo: dsdtAddress), fillFADT)
    writeTable(
      "DSDT", revision: 2, to: part(of: tables, at: dsdtAddress, upTo: E820Map.acpiTables.upperBound), fillDSDT)
    return true
  }

  private static func part(
    of memory: UnsafeMutableRawBufferPointer, at start: UInt64, upTo end: UInt64
  ) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: memory[Int(start)..<Int(end)])
  }

  /// Writes a table with the header that all but the RSDP and the FACS have, and with what `body` appends to it.
  private static func writeTable(
    _ signature: StaticString, revision: UInt8, to bytes: UnsafeMutableRawBufferPointer,
    _ body: (inout ByteWriter) -> Void
  ) {
    var table = ByteWriter(bytes)
    table.append(signature)
    table.append(0 as UInt32)  // Length, below
    table.append(revision)
    table.append(0 as UInt8)  // Checksum, below
    table.append("SKEP  ")  // OEMID
    table.append("SKEPVM  ")  // OEM Table ID
    table.append(1 as UInt32)  // OEM Revision
    table.append("SKEP")  // Creator ID
    table.append(1 as UInt32)  // Creator Revision
    body(&table)
    table.replace(at: 4, with: UInt32(table.count))
    table.setChecksum(at: 9, of: 0..<table.count)
  }

  /// ACPI Specification, "Root System Description Pointer (RSDP)", revision 2: with an XSDT alone.
  private static func writeRSDP(to bytes: UnsafeMutableRawBufferPointer) {
    var rsdp = ByteWriter(bytes)
    rsdp.append("RSD PTR ")
    rsdp.append(0 as UInt8)  // Checksum of the first 20 bytes, below
    rsdp.append("SKEP  ")  // OEMID
    rsdp.append(2 as UInt8)  // Revision
    rsdp.append(0 as UInt32)  // RsdtAddress
    rsdp.append(36 as UInt32)  // Length
    rsdp.append(xsdtAddress)
    rsdp.append(0 as UInt32)  // Extended Checksum, below; reserved
    rsdp.setChecksum(at: 8, of: 0..<20)
    rsdp.setChecksum(at: 32, of: 0..<36)
  }

  /// ACPI Specification, "Firmware ACPI Control Structure (FACS)", version 1.
  private static func writeFACS(to bytes: UnsafeMutableRawBufferPointer) {
    var facs = ByteWriter(bytes)
    facs.append("FACS")
    facs.append(64 as UInt32)  // Length
    facs.pad(to: 32)
    facs.append(1 as UInt8)  // Version
    facs.pad(to: 64)
  }

  /// ACPI Specification, "Root System Description Table" and its devices: what Linux asks a PC's DSDT for.
  private static func fillDSDT(_ dsdt: inout ByteWriter) {
    dsdt.amlName("_S5_", package: [ACPIPowerManagement.softOff, ACPIPowerManagement.softOff, 0, 0])
    dsdt.amlScope("\\_SB_") { bus in
      bus.amlDevice("PIC_", "PNP0000") {
        $0.ioPorts(0x20, count: 2)
        $0.ioPorts(0xA0, count: 2)
        $0.ioPorts(0x4D0, count: 2)
        $0.irq(2)
      }
      bus.amlDevice("TMR_", "PNP0100") {
        $0.ioPorts(0x40, count: 4)
        $0.irq(0)
      }
      bus.amlDevice("RTC_", "PNP0B00") {
        $0.ioPorts(0x70, count: 2)
        $0.irq(8)
      }
      bus.amlDevice("COM1", "PNP0501") {
        $0.ioPorts(0x3F8, count: 8)
        $0.irq(4)
      }
    }
  }
}
