/// All that a PC's firmware would have left in the first MiB for an operating system to find.
public enum FirmwareTables {
  /// Writes the BIOS data area, the ACPI and SMBIOS tables, and the MP configuration table if there are APICs.
  ///
  /// The rest of the first MiB is made 0.
  ///
  /// - Returns: Whether they were written: false, with nothing changed, if the guest has less than 1 MiB of RAM.
  public static func write(_ platform: GuestPlatform, to memory: GuestMemory) -> Bool {
    guard let firstMebibyte = memory.bytes(at: 0, count: E820Map.extendedMemoryStart) else { return false }
    firstMebibyte.initializeMemory(as: UInt8.self, repeating: 0)
    return BIOSDataArea.write(to: memory) && ACPITables.write(platform, to: memory)
      && SMBIOSTables.write(platform, to: memory)
      && (!platform.hasAPICs || MPConfigurationTable.write(platform, to: memory))
  }
}
