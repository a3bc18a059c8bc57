/// ACPI's PM1a registers: the event block of four bytes and the control block of two, six ports from ``port`` on.
///
/// There is no power button: the one event that comes is that of the power management timer. The machine is always in
/// ACPI mode.
public struct ACPIPowerManagement {
  private var status: UInt16 = 0
  private var enable: UInt16 = 0
  private var sleepType: UInt8 = 0

  /// The first port of the event block.
  ///
  /// The control block follows it.
  public static var port: UInt16 { 0x600 }

  /// The SLP_TYP that means S5, soft-off: QEMU's, which kernels written for it write without a look at the DSDT.
  public static var softOff: UInt8 { 0 }

  /// TMR_STS and TMR_EN.
  private static var timerBit: UInt16 { 1 << 0 }

  /// Makes the registers as they are after reset.
  public init() {}

  /// The level of the system control interrupt, SCI.
  public var interruptLine: Bool { status & enable != 0 }

  /// Whether the overflow of the power management timer interrupts: TMR_EN.
  public var isTimerEnabled: Bool { enable & Self.timerBit != 0 }

  /// Sets TMR_STS: bit 31 of the power management timer has changed.
  public mutating func timerOverflowed() { status |= Self.timerBit }

  /// Reads a byte of the six, `offset` from ``port``.
  public func read(offset: UInt16) -> UInt8 {
    switch offset {
    case 0: UInt8(truncatingIfNeeded: status)
    case 2: UInt8(truncatingIfNeeded: enable)
    case 3: UInt8(truncatingIfNeeded: enable >> 8)
    // SCI_EN
    case 4: 0x01
    case 5: sleepType << 2
    default: 0
    }
  }

  /// Writes a byte of the six, `offset` from ``port``; those of the event block may change ``interruptLine``.
  ///
  /// - Returns: whether that powers the machine off: SLP_EN with the SLP_TYP of S5.
  public mutating func write(offset: UInt16, value: UInt8) -> Bool {
    switch offset {
    // A 1 clears TMR_STS.
    case 0: status &= ~(UInt16(value) & Self.timerBit)
    // TMR_EN and GBL_EN; PWRBTN_EN, SLPBTN_EN and RTC_EN. The rest is reserved.
    case 2: enable = enable & 0xff00 | UInt16(value & 0x21)
    case 3: enable = enable & 0x00ff | UInt16(value & 0x07) << 8
    case 5:
      sleepType = value >> 2 & 7
      return value & 0x20 != 0 && sleepType == Self.softOff
    default: break
    }
    return false
  }
}
