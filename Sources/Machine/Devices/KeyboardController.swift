/// What is left of the 8042 keyboard controller, ports 0x60 and 0x64: its reset line.
///
/// Both ports read 0xff, by which a guest sees at once that there is no keyboard.
public struct KeyboardController {
  private var writesOutputPort = false

  /// Makes a controller with no command pending.
  public init() {}

  /// Writes the data port, 0x60.
  ///
  /// - Returns: whether that resets the machine: bit 0 of the output port is 0.
  public mutating func writeData(_ value: UInt8) -> Bool {
    defer { writesOutputPort = false }
    return writesOutputPort && value & 0x01 == 0
  }

  /// Writes the command port, 0x64.
  ///
  /// - Returns: whether that resets the machine: it pulses bit 0 of the output port.
  public mutating func writeCommand(_ value: UInt8) -> Bool {
    writesOutputPort = value == 0xd1
    return value & 0xf1 == 0xf0
  }
}
