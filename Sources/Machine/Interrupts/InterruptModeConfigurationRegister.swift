/// The interrupt mode configuration register, IMCR, ports 0x22 and 0x23 (MultiProcessor Specification, "PIC Mode").
///
/// On a PC with PIC mode it switches the 8259A's INTR between the bootstrap processor and its local APIC's LINT0. Here
/// INTR always goes to LINT0, which is virtual wire mode, so all that it does is to be read back.
public struct InterruptModeConfigurationRegister {
  private var selected: UInt8 = 0
  private var value: UInt8 = 0

  /// The register as it is after reset: PIC mode.
  public init() {}

  /// Reads port 0x22 or 0x23; any other reads 0xff, as does 0x23 with another register than 70H selected.
  public func read(port: UInt16) -> UInt8 {
    switch port {
    case 0x22: selected
    case 0x23: selected == 0x70 ? value : 0xff
    default: 0xff
    }
  }

  /// Writes port 0x22, the selection, or 0x23, the register if it is selected.
  public mutating func write(port: UInt16, value: UInt8) {
    switch port {
    case 0x22: selected = value
    case 0x23: if selected == 0x70 { self.value = value & 1 }
    default: break
    }
  }
}
