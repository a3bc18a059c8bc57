extension ACPITables {
  /// The bits that may be 1 here in IAPC_BOOT_ARCH and Flags (ACPI Specification, "Fixed ACPI Description Table (FADT)").
  private enum FADTFlag {
    // IAPC_BOOT_ARCH
    static var legacyDevices: UInt16 { 1 << 0 }
    static var vgaNotPresent: UInt16 { 1 << 2 }
    // Flags
    static var wbinvd: UInt32 { 1 << 0 }
    static var processorC1: UInt32 { 1 << 2 }
    static var noFixedPowerButton: UInt32 { 1 << 4 }
    static var noFixedSleepButton: UInt32 { 1 << 5 }
    static var noFixedRTCWake: UInt32 { 1 << 6 }
    static var timerHas32Bits: UInt32 { 1 << 8 }
    static var resetRegisterSupported: UInt32 { 1 << 10 }
    static var headless: UInt32 { 1 << 12 }
  }

  /// The port of the PM1a control block: behind the 4 bytes of the event block.
  private static var pm1aControlBlock: UInt16 { ACPIPowerManagement.port + 4 }

  /// Appends the FADT of revision 3, of 244 bytes, to its header.
  static func fillFADT(_ fadt: inout ByteWriter, _ platform: GuestPlatform) {
    fadt.append(UInt32(truncatingIfNeeded: facsAddress))  // FIRMWARE_CTRL
    fadt.append(UInt32(truncatingIfNeeded: dsdtAddress))  // DSDT
    fadt.pad(to: 46)
    fadt.append(UInt16(GuestPlatform.systemControlInterrupt))  // SCI_INT
    fadt.pad(to: 56)  // SMI_CMD 0: always in ACPI mode, nothing to switch
    fadt.append(UInt32(ACPIPowerManagement.port))  // PM1a_EVT_BLK
    fadt.pad(to: 64)
    fadt.append(UInt32(pm1aControlBlock))  // PM1a_CNT_BLK
    fadt.pad(to: 76)
    fadt.append(UInt32(platform.hasPowerManagementTimer ? ACPIPowerManagementTimer.port : 0))  // PM_TMR_BLK
    fadt.pad(to: 88)
    fadt.append(4 as UInt8)  // PM1_EVT_LEN
    fadt.append(2 as UInt8)  // PM1_CNT_LEN
    fadt.append(0 as UInt8)  // PM2_CNT_LEN
    fadt.append(platform.hasPowerManagementTimer ? 4 : 0 as UInt8)  // PM_TMR_LEN
    fadt.pad(to: 96)
    fadt.append(101 as UInt16)  // P_LVL2_LAT: above 100, no C2
    fadt.append(1001 as UInt16)  // P_LVL3_LAT: above 1000, no C3
    fadt.pad(to: 108)
    fadt.append(0x32 as UInt8)  // CENTURY: its index in CMOS RAM
    // IAPC_BOOT_ARCH: no 8042, since that of the machine has no keyboard.
    fadt.append(FADTFlag.legacyDevices | FADTFlag.vgaNotPresent)
    fadt.pad(to: 112)
    fadt.append(
      FADTFlag.wbinvd | FADTFlag.processorC1 | FADTFlag.noFixedPowerButton | FADTFlag.noFixedSleepButton
        | FADTFlag.noFixedRTCWake | FADTFlag.resetRegisterSupported | FADTFlag.headless
        | (platform.hasPowerManagementTimer ? FADTFlag.timerHas32Bits : 0))
    appendPortAddress(0xCF9, bitWidth: 8, accessSize: 1, to: &fadt)  // RESET_REG
    fadt.append(6 as UInt8)  // RESET_VALUE
    fadt.pad(to: 140)  // X_FIRMWARE_CTRL 0: FIRMWARE_CTRL is used
    fadt.append(dsdtAddress)  // X_DSDT
    appendPortAddress(ACPIPowerManagement.port, bitWidth: 32, accessSize: 2, to: &fadt)  // X_PM1a_EVT_BLK
    fadt.pad(to: 172)
    appendPortAddress(pm1aControlBlock, bitWidth: 16, accessSize: 2, to: &fadt)  // X_PM1a_CNT_BLK
    fadt.pad(to: 208)
    if platform.hasPowerManagementTimer {
      appendPortAddress(ACPIPowerManagementTimer.port, bitWidth: 32, accessSize: 3, to: &fadt)  // X_PM_TMR_BLK
    }
    fadt.pad(to: 244)
  }

  /// Appends a Generic Address Structure: a register or block of registers in I/O space.
  ///
  /// - Parameter accessSize: How it is accessed: 1 by bytes, 2 by words, 3 by doublewords.
  private static func appendPortAddress(
    _ port: UInt16, bitWidth: UInt8, accessSize: UInt8, to table: inout ByteWriter
  ) {
    table.append(1 as UInt8)  // Address Space ID: system I/O
    table.append(bitWidth)
    table.append(0 as UInt8)  // Register Bit Offset
    table.append(accessSize)
    table.append(UInt64(port))
  }
}
