/// ACPI's PM1a registers: the event block of four bytes and the control block of two, six ports from ``port`` on.
///
/// There is no power button, so no event ever comes; the machine is always in ACPI mode.
public struct ACPIPowerManagement {
  private var enable: UInt16 = 0
  private var sleepType: UInt8 = 0

  /// The first port of the event block.
  ///
  /// The control block follows it.
  public static var port: UInt16 { 0x600 }

  /// The SLP_TYP that means S5, soft-off.
  public static var softOff: UInt8 { 5 }

  /// Makes the registers as they are after reset.
  public init() {}

  /// Reads a byte of the six, `offset` from ``port``.
  public func read(offset: UInt16) -> UInt8 {
    switch offset {
    case 2: UInt8(truncatingIfNeeded: enable)
    case 3: UInt8(truncatingIfNeeded: enable >> 8)
    // SCI_EN
    case 4: 0x01
    case 5: sleepType << 2
    default: 0
    }
  }

  /// Writes a byte of the six, `offset` from ``port``.
  ///
  /// - Returns: whether that powers the machine off: SLP_EN with the SLP_TYP of S5.
  public mutating func write(offset: UInt16, value: UInt8) -> Bool {
    switch offset {
    // GBL_EN; PWRBTN_EN, SLPBTN_EN and RTC_EN. The rest is reserved.
    case 2: enable = enable & 0xff00 | UInt16(value & 0x20)
    case 3: enable = enable & 0x00ff | UInt16(value & 0x07) << 8
    case 5:
      sleepType = value >> 2 & 7
      return value & 0x20 != 0 && sleepType == Self.softOff
    default: break
    }
    return false
  }
}
