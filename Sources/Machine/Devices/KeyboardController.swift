/// What is left of the 8042 keyboard controller, ports 0x60 and 0x64: its reset line.
///
/// There is no keyboard: the data port reads 0xff, and the output buffer is never empty, by which Linux sees at once that it
/// reads no controller's.
public struct KeyboardController {
  /// What the status port, 0x64, reads: all bits but IBF are 1, for what waits until a command can be written would do so
  /// for ever.
  public static var status: UInt8 { 0xff & ~inputBufferFull }

  private static var inputBufferFull: UInt8 { 1 << 1 }

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
