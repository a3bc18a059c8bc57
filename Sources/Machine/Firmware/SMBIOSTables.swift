/// The SMBIOS tables: what a PC says of its firmware, processors and memory for inventories (System Management BIOS
/// Reference Specification 2.8).
public enum SMBIOSTables {
  /// The guest-physical address of the entry point, on a paragraph of the range that is searched for it.
  public static var entryPointAddress: UInt64 { E820Map.firmware.lowerBound + 0xA0 }
  /// The guest-physical address of the structures.
  public static var structuresAddress: UInt64 { E820Map.firmware.lowerBound + 0x2000 }
  private static var structuresEnd: UInt64 { E820Map.firmware.lowerBound + 0x6000 }

  /// The version, for a boot loader that passes it on: 2.8.
  public static var version: (major: UInt8, minor: UInt8) { (2, 8) }

  /// Writes the entry point and the structures.
  ///
  /// - Returns: Whether they were written: false, with nothing changed, if the guest has less than 1 MiB of RAM.
  public static func write(_ platform: GuestPlatform, to memory: GuestMemory) -> Bool {
    guard let entryPoint = memory.bytes(at: entryPointAddress, count: 32),
      let place = memory.bytes(at: structuresAddress, count: structuresEnd - structuresAddress)
    else { return false }
    var writer = SMBIOSWriter(ByteWriter(place))
    writer.appendSystem()
    for processor in 0..<platform.processorCount { writer.appendProcessor(processor, platform) }
    writer.appendMemory(platform.layout)
    writer.appendEnd()
    writeEntryPoint(to: entryPoint, writer)
    return true
  }

  /// The bytes of the structures that ``write(_:to:)`` has written; nil if there are none.
  public static func structures(in memory: GuestMemory) -> UnsafeMutableRawBufferPointer? {
    guard memory.load(entryPointAddress, as: UInt32.self) == 0x5F4D_535F,  // "_SM_"
      let length = memory.load(entryPointAddress + 0x16, as: UInt16.self)
    else { return nil }
    return memory.bytes(at: structuresAddress, count: UInt64(length))
  }

  /// "SMBIOS 2.1 (32-bit) Entry Point".
  private static func writeEntryPoint(to bytes: UnsafeMutableRawBufferPointer, _ structures: SMBIOSWriter) {
    var entry = ByteWriter(bytes)
    entry.append("_SM_")
    entry.append([0, 31, version.major, version.minor])  // Checksum, below; length; version
    entry.append(UInt16(structures.largest))
    entry.append([0, 0, 0, 0, 0, 0])  // Entry Point Revision, Formatted Area
    entry.append("_DMI_")
    entry.append(0 as UInt8)  // Intermediate Checksum, below
    entry.append(UInt16(structures.writer.count))
    entry.append(UInt32(truncatingIfNeeded: structuresAddress))
    entry.append(UInt16(structures.count))
    entry.append(version.major << 4 | version.minor)
    entry.setChecksum(at: 0x15, of: 0x10..<31)
    entry.setChecksum(at: 4, of: 0..<31)
  }
}
