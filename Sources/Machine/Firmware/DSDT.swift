extension ACPITables {
  /// Appends what is in the DSDT behind its header: the state S5, and the processors and devices that exist.
  static func fillDSDT(_ dsdt: inout ByteWriter, _ platform: GuestPlatform) {
    dsdt.amlName("_S5_", package: [ACPIPowerManagement.softOff, ACPIPowerManagement.softOff, 0, 0])
    dsdt.amlScope("\\_SB_") { bus in
      if platform.hasAPICs {
        for processor in 0..<platform.processorCount { bus.amlProcessor(UInt8(processor)) }
      }
      appendInterruptAndTimeDevices(to: &bus, platform)
      bus.amlDevice("COM1", "PNP0501") {
        $0.ioPorts(0x3F8, count: 8)
        $0.irq(4)
      }
      // Without its interface by DMA: the data register is the upper half of the selector register.
      bus.amlDevice("FWCF", "QEMU0002") { $0.ioPorts(FirmwareConfiguration.selectorPort, count: 2) }
      // The ports of the FADT, for which no other device here asks.
      bus.amlDevice("MBRD", "PNP0C02") {
        $0.ioPorts(ACPIPowerManagement.port, count: 6)
        if platform.hasPowerManagementTimer { $0.ioPorts(ACPIPowerManagementTimer.port, count: 4) }
        $0.ioPorts(0xCF9, count: 1)
      }
    }
  }

  private static func appendInterruptAndTimeDevices(to bus: inout ByteWriter, _ platform: GuestPlatform) {
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
    if platform.hasHPET {
      bus.amlDevice("HPET", "PNP0103") { $0.memory(UInt32(HPET.address), count: 0x400) }
    }
  }
}
