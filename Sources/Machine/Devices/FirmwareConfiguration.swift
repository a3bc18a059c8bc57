/// QEMU's `fw_cfg` device at ports 0x510 and 0x511, through which firmware and test kernels ask for the amount of memory
/// and the number of processors.
///
/// It has the items of ``Item``; there are no files, and no interface by DMA.
public struct FirmwareConfiguration {
  /// An item that has something in it, by the key that selects it.
  public enum Item: UInt16, CaseIterable, Sendable {
    /// FW_CFG_SIGNATURE: "QEMU".
    case signature = 0x00
    /// FW_CFG_ID: bit 0 is the interface by ports.
    case identifier = 0x01
    /// FW_CFG_RAM_SIZE: the guest's memory in bytes, 8 bytes.
    case memorySize = 0x03
    /// FW_CFG_NOGRAPHIC: 1, the console is a serial port, 2 bytes.
    case hasNoGraphics = 0x04
    /// FW_CFG_NB_CPUS: the number of processors, 2 bytes.
    case processorCount = 0x05
    /// FW_CFG_MAX_CPUS: the greatest number of processors, 2 bytes.
    case processorLimit = 0x0f
    /// FW_CFG_FILE_DIR: the number of files, 0, 4 bytes.
    case fileDirectory = 0x19
  }

  private let memorySize: UInt64
  private let processorCount: UInt16
  /// What of the selected item has not been read: zeros follow it without end.
  private var rest: UInt64

  /// The selector register, for writes of a word.
  public static var selectorPort: UInt16 { 0x510 }
  /// The data register, for reads of bytes.
  public static var dataPort: UInt16 { 0x511 }

  /// Makes the device with the signature selected.
  ///
  /// - Parameters:
  ///   - memorySize: The guest's memory in bytes.
  ///   - processorCount: The number of its processors.
  public init(memorySize: UInt64, processorCount: UInt16) {
    self.memorySize = memorySize
    self.processorCount = processorCount
    rest = 0
    select(Item.signature.rawValue)
  }

  /// Writes the selector register: the data register starts at the beginning of the item with this key.
  ///
  /// An item that does not exist has no bytes but zeros. Bit 14, by which it would be written to, is ignored.
  public mutating func select(_ key: UInt16) {
    rest =
      switch Item(rawValue: key & ~0x4000) {
      case .signature: 0x554D_4551
      case .identifier, .hasNoGraphics: 1
      case .memorySize: memorySize
      case .processorCount, .processorLimit: UInt64(processorCount)
      case .fileDirectory, nil: 0
      }
  }

  /// Reads the data register: the next byte of the item.
  public mutating func readData() -> UInt8 {
    let byte = UInt8(truncatingIfNeeded: rest)
    rest >>= 8
    return byte
  }
}
