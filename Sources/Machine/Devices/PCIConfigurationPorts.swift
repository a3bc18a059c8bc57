/// The ports of PCI's configuration mechanism #1, 0xcf8 and 0xcfc to 0xcff, of a machine without PCI devices.
///
/// The address can be read back, so that a guest finds the mechanism; the data of every function reads all ones.
public struct PCIConfigurationPorts {
  /// The address register, which is there for accesses of four bytes only.
  public private(set) var address: UInt32 = 0

  /// Makes the ports as they are after reset.
  public init() {}

  /// Writes the address register; its reserved bits stay 0.
  public mutating func writeAddress(_ value: UInt32) {
    address = value & 0x80ff_fffc
  }
}
