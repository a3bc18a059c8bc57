import CVMX
import VMCS

/// A 16550 UART of the host.
package struct SerialPort: ~Copyable {
  /// The first of its eight I/O ports.
  package let base: UInt16

  /// COM1 carries the guest's console, COM2 what Skep itself has to say.
  package static var com1: UInt16 { 0x3F8 }
  package static var com2: UInt16 { 0x2F8 }
  /// The I/O APIC's input that COM1 interrupts by.
  package static var com1Input: UInt32 { 4 }

  /// Sets 115,200 baud, 8 data bits, no parity, FIFOs on, and the interrupts that `interruptEnable` names.
  package init(base: UInt16, interruptEnable: UInt8 = 0) {
    self.base = base
    cvmx_out8(base + 1, 0)
    cvmx_out8(base + 3, 0x80)
    cvmx_out8(base, 1)
    cvmx_out8(base + 1, 0)
    cvmx_out8(base + 3, 0x03)
    cvmx_out8(base + 2, 0x07)
    cvmx_out8(base + 4, 0x0B)
    cvmx_out8(base + 1, interruptEnable)
  }

  /// Which of the UART's interrupts are enabled.
  package func setInterruptEnable(_ bits: UInt8) { cvmx_out8(base + 1, bits) }

  /// Whether an interrupt that is enabled is pending; a transmitter interrupt is not any more afterwards.
  package var hasInterrupt: Bool { cvmx_in8(base + 2) & 1 == 0 }

  /// Whether a received byte waits.
  package var hasInput: Bool { cvmx_in8(base + 5) & 0x01 != 0 }

  /// Whether the transmitter's FIFO is empty, so that 16 bytes can be written.
  package var canTransmit: Bool { cvmx_in8(base + 5) & 0x20 != 0 }

  /// Takes the received byte.
  package func receive() -> UInt8 { cvmx_in8(base) }

  /// Gives a byte to the transmitter without looking whether it has room.
  package func transmit(_ byte: UInt8) { cvmx_out8(base, byte) }
}

/// The report channel: text to COM2, each line begun as the launcher's protocol wants it.
///
/// Waits for the UART, so it also works when nothing else does. A line is written whole: another processor's comes after
/// it.
package struct ReportPort: ByteOutput {
  /// What each line begins with.
  package let lineStart: StaticString
  private var isAtLineStart = true

  /// Makes a channel.
  package init(lineStart: StaticString) { self.lineStart = lineStart }

  /// Writes one byte.
  package mutating func write(_ byte: UInt8) {
    if isAtLineStart {
      isAtLineStart = false
      EndOfRun.beginLine()
      for index in 0..<lineStart.utf8CodeUnitCount { Self.put(lineStart.utf8Start[index]) }
    }
    Self.put(byte)
    if byte == 0x0A {
      isAtLineStart = true
      EndOfRun.endLine()
    }
  }

  static func put(_ byte: UInt8) {
    while cvmx_in8(SerialPort.com2 + 5) & 0x20 == 0 {}
    cvmx_out8(SerialPort.com2, byte)
  }
}
