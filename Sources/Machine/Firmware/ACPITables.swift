/// The ACPI tables that tell an operating system of the processors and devices, and how to turn the machine off and to
/// reset it (ACPI Specification, "ACPI Software Programming Model").
///
/// The RSDP and the FACS are in the range of the ROM, where an operating system searches for the one and may write to the
/// other; the rest is in ``E820Map/acpiTables``.
public enum ACPITables {
  /// The guest-physical address of the RSDP, on a paragraph of the range that is searched for it.
  public static var rsdpAddress: UInt64 { E820Map.firmware.lowerBound }
  /// The guest-physical address of the FACS, a multiple of 64.
  public static var facsAddress: UInt64 { E820Map.firmware.lowerBound + 0x40 }
  /// The guest-physical address of the XSDT.
  public static var xsdtAddress: UInt64 { E820Map.acpiTables.lowerBound }
  /// The guest-physical address of the RSDT, which has the same tables as the XSDT.
  public static var rsdtAddress: UInt64 { E820Map.acpiTables.lowerBound + 0x80 }
  /// The guest-physical address of the FADT.
  public static var fadtAddress: UInt64 { E820Map.acpiTables.lowerBound + 0x100 }
  /// The guest-physical address of the HPET table, if there is an HPET.
  public static var hpetAddress: UInt64 { E820Map.acpiTables.lowerBound + 0x200 }
  /// The guest-physical address of the MADT, if there are APICs.
  public static var madtAddress: UInt64 { E820Map.acpiTables.lowerBound + 0x400 }
  /// The guest-physical address of the DSDT.
  public static var dsdtAddress: UInt64 { E820Map.acpiTables.lowerBound + 0x1000 }

  /// Writes the tables of a machine.
  ///
  /// - Returns: Whether they were written: false, with nothing changed, if the guest has less than 1 MiB of RAM.
  public static func write(_ platform: GuestPlatform, to memory: GuestMemory) -> Bool {
    guard let tables = memory.bytes(at: 0, count: E820Map.extendedMemoryStart) else { return false }
    writeRSDP(to: part(of: tables, at: rsdpAddress, upTo: facsAddress))
    writeFACS(to: part(of: tables, at: facsAddress, upTo: E820Map.firmware.upperBound))
    writeTable("RSDT", revision: 1, to: part(of: tables, at: rsdtAddress, upTo: fadtAddress)) { rsdt in
      forEachTable(of: platform) { rsdt.append(UInt32(truncatingIfNeeded: $0)) }
    }
    writeTable("XSDT", revision: 1, to: part(of: tables, at: xsdtAddress, upTo: rsdtAddress)) { xsdt in
      forEachTable(of: platform) { xsdt.append($0) }
    }
    writeTable("FACP", revision: 3, to: part(of: tables, at: fadtAddress, upTo: hpetAddress)) {
      fillFADT(&$0, platform)
    }
    if platform.hasHPET {
      writeTable("HPET", revision: 1, to: part(of: tables, at: hpetAddress, upTo: madtAddress)) {
        fillHPET(&$0)
      }
    }
    if platform.hasAPICs {
      writeTable("APIC", revision: 3, to: part(of: tables, at: madtAddress, upTo: dsdtAddress)) {
        fillMADT(&$0, platform)
      }
    }
    writeTable("DSDT", revision: 2, to: part(of: tables, at: dsdtAddress, upTo: E820Map.acpiTables.upperBound)) {
      fillDSDT(&$0, platform)
    }
    return true
  }

  /// Calls `body` with the address of each table that the RSDT and the XSDT list.
  private static func forEachTable(of platform: GuestPlatform, _ body: (UInt64) -> Void) {
    body(fadtAddress)
    if platform.hasAPICs { body(madtAddress) }
    if platform.hasHPET { body(hpetAddress) }
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

  /// ACPI Specification, "Root System Description Pointer (RSDP)", revision 2.
  private static func writeRSDP(to bytes: UnsafeMutableRawBufferPointer) {
    var rsdp = ByteWriter(bytes)
    rsdp.append("RSD PTR ")
    rsdp.append(0 as UInt8)  // Checksum of the first 20 bytes, below
    rsdp.append("SKEP  ")  // OEMID
    rsdp.append(2 as UInt8)  // Revision
    rsdp.append(UInt32(truncatingIfNeeded: rsdtAddress))
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
}
