extension ACPITables {
  /// Appends what is in the MADT behind its header (ACPI Specification, "Multiple APIC Description Table (MADT)").
  ///
  /// No processor has an ID of 255 or more, so there are no Processor Local x2APIC Structures: an operating system
  /// takes the same processors into x2APIC mode.
  static func fillMADT(_ madt: inout ByteWriter, _ platform: GuestPlatform) {
    madt.append(GuestPlatform.localAPICAddress)
    madt.append(1 as UInt32)  // Flags: PCAT_COMPAT, there are 8259As to be masked
    for processor in 0..<platform.processorCount {
      // Processor Local APIC: type, length, ACPI Processor UID, APIC ID, flags: enabled
      madt.append([0, 8, UInt8(processor), UInt8(processor)])
      madt.append(1 as UInt32)
    }
    // I/O APIC: type, length, ID, reserved, address, Global System Interrupt Base
    madt.append([1, 12, platform.ioAPICIdentifier, 0])
    madt.append(GuestPlatform.ioAPICAddress)
    madt.append(0 as UInt32)
    appendOverride(of: 0, input: GuestPlatform.timerInput, flags: 0, to: &madt)
    // Active high, level triggered.
    appendOverride(
      of: GuestPlatform.systemControlInterrupt, input: GuestPlatform.systemControlInterrupt, flags: 0b1101, to: &madt)
    // Local APIC NMI: type, length, all processors, flags of 2 bytes, LINT1
    madt.append([4, 6, 0xFF, 0, 0, 1])
  }

  /// Appends an Interrupt Source Override Structure: where an interrupt of ISA goes, and how it is signalled.
  private static func appendOverride(of source: UInt8, input: UInt8, flags: UInt16, to madt: inout ByteWriter) {
    madt.append([2, 10, 0, source])
    madt.append(UInt32(input))
    madt.append(flags)
  }

  /// Appends what is in the HPET table behind its header ("IA-PC HPET Specification", "The ACPI 2.0 HPET Description
  /// Table").
  static func fillHPET(_ hpet: inout ByteWriter) {
    hpet.append(HPET.eventTimerBlockID)  // Event Timer Block ID
    hpet.append([0, 64, 0, 0])  // A register in memory, of 64 bits
    hpet.append(HPET.address)
    hpet.append(0 as UInt8)  // HPET Number
    hpet.append(0x80 as UInt16)  // Minimum clock ticks in periodic mode
    hpet.append(0 as UInt8)  // No guarantee for the page
  }
}
