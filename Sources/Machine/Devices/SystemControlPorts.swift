/// The PC's system control ports: B (0x61), A (0x92) and the reset control register (0xcf9).
public struct SystemControlPorts {
  /// The bits of port B that the guest sets: timer gate, speaker, and the enables of the two parity checks.
  public private(set) var portB: UInt8 = 0
  /// Port A.
  ///
  /// Bit 1 is the A20 gate, which is always open.
  public private(set) var portA: UInt8 = 0x02
  /// The reset control register.
  public private(set) var resetControl: UInt8 = 0

  /// Makes the ports as they are after reset.
  public init() {}

  /// Whether the GATE of the timer's channel 2 is open.
  public var opensTimerGate: Bool { portB & 0x01 != 0 }

  /// Reads port B.
  ///
  /// - Parameters:
  ///   - timerOutput: the output of the timer's channel 2, bit 5.
  ///   - ticks: ticks of the timer's clock; the refresh bit, bit 4, toggles every 18 of them.
  public func readPortB(timerOutput: Bool, ticks: UInt64) -> UInt8 {
    portB | (timerOutput ? 0x20 : 0) | UInt8(truncatingIfNeeded: ticks / 18 & 1) << 4
  }

  /// Writes port B.
  public mutating func writePortB(_ value: UInt8) {
    portB = value & 0x0f
  }

  /// Writes port A.
  ///
  /// - Returns: whether that resets the machine: bit 0 was 0 and is 1.
  public mutating func writePortA(_ value: UInt8) -> Bool {
    let resets = value & ~portA & 0x01 != 0
    portA = value | 0x02
    return resets
  }

  /// Writes the reset control register.
  ///
  /// - Returns: whether that resets the machine: bit 2 was 0 and is 1.
  public mutating func writeResetControl(_ value: UInt8) -> Bool {
    let resets = value & ~resetControl & 0x04 != 0
    resetControl = value & 0x0e
    return resets
  }
}
