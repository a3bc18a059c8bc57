/// What is left of the 8042 keyboard controller, ports 0x60 and 0x64: its output port, with the reset line.
///
/// There is no keyboard. Commands that have an answer get one, since what waits for it would do so for ever; but for that of
/// the output port it is 0xff, by which software sees that nothing is there.
public struct KeyboardController {
  /// The commands that have an answer: those that read the configuration, and the ports, and the tests.
  private static func hasAnswer(_ command: UInt8) -> Bool {
    switch command {
    case 0x20...0x3f, 0xa9...0xab, 0xc0, 0xd0, 0xe0: true
    default: false
    }
  }
  /// The output port: no reset, and the A20 gate open.
  private static var outputPort: UInt8 { 0x03 }

  private var writesOutputPort = false
  private var answer: UInt8?

  /// Makes a controller with no command pending.
  public init() {}

  /// What the status port, 0x64, reads.
  ///
  /// Not locked, the last byte was a command, the self-test has passed, and whether the output buffer is full; a command can
  /// always be written.
  public var status: UInt8 { 0x1c | (answer == nil ? 0 : 1) }

  /// Reads the data port, 0x60: the answer to the last command; 0xff if there is none.
  public mutating func readData() -> UInt8 {
    defer { answer = nil }
    return answer ?? 0xff
  }

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
    if Self.hasAnswer(value) { answer = value == 0xd0 ? Self.outputPort : 0xff }
    return value & 0xf1 == 0xf0
  }
}
