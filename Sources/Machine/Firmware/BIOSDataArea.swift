/// The few bytes of a PC BIOS's data area, at guest-physical address 0x400, that an operating system reads although no
/// BIOS ran.
public enum BIOSDataArea {
  /// Where the word is that holds the I/O port of the first serial port.
  public static var firstSerialPort: UInt64 { 0x400 }
  /// Where the word is that holds the real-mode segment of the extended BIOS data area.
  public static var extendedBIOSDataAreaSegment: UInt64 { 0x40E }
  /// Where the word is that holds the conventional memory's size in KiB.
  public static var conventionalMemorySize: UInt64 { 0x413 }

  /// Writes the data area.
  ///
  /// Linux finds the place for its real-mode code from it.
  ///
  /// - Returns: Whether it was written: false if there is no RAM there.
  public static func write(to memory: GuestMemory) -> Bool {
    let end = E820Map.conventionalMemoryEnd
    return memory.store(0x3F8 as UInt16, at: firstSerialPort)
      && memory.store(UInt16(end >> 4), at: extendedBIOSDataAreaSegment)
      && memory.store(UInt16(end >> 10), at: conventionalMemorySize)
  }
}
