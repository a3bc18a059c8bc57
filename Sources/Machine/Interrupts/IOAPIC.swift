/// An I/O APIC with 24 pins (82093AA; of version 20H, with an EOI register, as chipsets have had it since).
///
/// What it sends waits inside until ``takeMessage()`` is called: after every call that changes something, while
/// ``hasMessages``. A pin has one message at most, so nothing can overflow.
public struct IOAPIC: ~Copyable {
  private var entries = InlineArray<24, UInt64>(repeating: IOAPIC.maskBit)
  private var index: UInt8 = 0
  private var identification: UInt32
  /// The levels of the pins, one bit each.
  private var lines: UInt32 = 0
  /// The pins whose message is to be taken, one bit each: their delivery status.
  @usableFromInline private(set) var waiting: UInt32 = 0

  /// The number of pins.
  public static var pinCount: Int { 24 }
  /// The guest-physical address of the registers on a PC.
  public static var address: UInt64 { 0xFEC0_0000 }

  /// Bits of a redirection entry.
  private static var deliveryStatusBit: UInt64 { 1 << 12 }
  private static var remoteIRRBit: UInt64 { 1 << 14 }
  private static var levelBit: UInt64 { 1 << 15 }
  private static var maskBit: UInt64 { 1 << 16 }
  private static var writableBits: UInt64 { 0xFF00_0000_0001_AFFF }

  /// Offsets of the registers in memory.
  private enum Register {
    static var select: Int { 0x00 }
    static var window: Int { 0x10 }
    static var endOfInterrupt: Int { 0x40 }
  }

  /// An I/O APIC with all pins masked.
  ///
  /// - Parameter id: its I/O APIC ID, 0 to 15, which software may change.
  public init(id: UInt8) {
    identification = UInt32(id & 0xF) << 24
  }

  // MARK: Messages

  /// Whether ``takeMessage()`` has something to give.
  @inlinable
  public var hasMessages: Bool { waiting != 0 }

  /// Takes a message that is to be sent; `nil` if there is none.
  ///
  /// A level-triggered interrupt then waits for its EOI. A pin with a reserved delivery mode sends nothing.
  public mutating func takeMessage() -> InterruptMessage? {
    while waiting != 0 {
      let pin = waiting.trailingZeroBitCount
      waiting &= waiting &- 1
      let message = InterruptMessage(redirectionEntry: entries[pin])
      if let message {
        if message.isLevelTriggered { entries[pin] |= Self.remoteIRRBit }
        return message
      }
    }
    return nil
  }

  /// The version: one with an EOI register.
  static var version: UInt8 { 0x20 }

  /// Whether a pin that is not masked has delivery mode NMI or INIT.
  var canSendEvents: Bool {
    for pin in 0..<Self.pinCount where entries[pin] & Self.maskBit == 0 {
      if InterruptMessage(redirectionEntry: entries[pin])?.isEvent == true { return true }
    }
    return false
  }

  // MARK: Pins

  /// Sets the level of a pin.
  ///
  /// The level is that of the request. The polarity that software sets has to be the one that the firmware's tables
  /// say, and changes nothing. The edge of a masked pin is lost.
  ///
  /// - Parameters:
  ///   - pin: 0 to 23; others are ignored.
  ///   - level: whether an interrupt is requested.
  @inline(__always)
  public mutating func setLine(_ pin: Int, _ level: Bool) {
    // Devices say their level again and again; it seldom changes.
    if (lines &>> UInt32(truncatingIfNeeded: pin) & 1 != 0) != level { changeLine(pin, level) }
  }

  @inline(never)
  private mutating func changeLine(_ pin: Int, _ level: Bool) {
    guard pin >= 0, pin < Self.pinCount else { return }
    lines ^= 1 << UInt32(pin)
    let entry = entries[pin]
    if entry & Self.levelBit != 0 {
      request(pin)
    } else if level && entry & Self.maskBit == 0 {
      waiting |= 1 << UInt32(pin)
    }
  }

  /// Lets a level-triggered pin request what its level says, unless the last one has not ended.
  private mutating func request(_ pin: Int) {
    let bit: UInt32 = 1 << UInt32(pin)
    if lines & bit != 0 && entries[pin] & (Self.maskBit | Self.remoteIRRBit) == 0 {
      waiting |= bit
    } else {
      waiting &= ~bit
    }
  }

  /// The end of the interrupts with `vector`: a local APIC's EOI broadcast, or a write to the EOI register.
  ///
  /// A pin that still has its level requests again.
  public mutating func endOfInterrupt(vector: UInt8) {
    for pin in 0..<Self.pinCount {
      let entry = entries[pin]
      guard UInt8(truncatingIfNeeded: entry) == vector, entry & Self.remoteIRRBit != 0 else { continue }
      entries[pin] = entry & ~Self.remoteIRRBit
      request(pin)
    }
  }

  // MARK: Registers

  /// Reads `byteCount` bytes, 1 to 8, at `offset` from the address.
  ///
  /// The registers have 32 bits, and a part of one can be read. Between them, and behind them, all is 0.
  public func read(offset: Int, byteCount: Int) -> UInt64 {
    let value: UInt32 =
      switch offset & ~3 {
      case Register.select: UInt32(index)
      case Register.window: readWindow()
      default: 0
      }
    let bits = UInt64(byteCount >= 8 ? 64 : 8 * max(0, byteCount))
    return UInt64(value) >> UInt64(8 * (offset & 3)) & (1 << bits &- 1)
  }

  /// Writes `byteCount` bytes, 1 to 8, at `offset` from the address.
  ///
  /// The index and EOI take their low byte. The window takes four bytes and ignores less.
  public mutating func write(offset: Int, byteCount: Int, _ value: UInt64) {
    switch offset {
    case Register.select: index = UInt8(truncatingIfNeeded: value)
    case Register.window: if byteCount >= 4 { writeWindow(UInt32(truncatingIfNeeded: value)) }
    case Register.endOfInterrupt: endOfInterrupt(vector: UInt8(truncatingIfNeeded: value))
    default: break
    }
  }

  private func readWindow() -> UInt32 {
    switch index {
    case 0: return identification
    // With the highest entry.
    case 1: return UInt32(Self.pinCount - 1) << 16 | UInt32(Self.version)
    // The arbitration ID is loaded with the ID.
    case 2: return identification
    case 0x10..<0x40:
      let pin = Int(index - 0x10) / 2
      let entry = entries[pin] | (waiting >> UInt32(pin) & 1 != 0 ? Self.deliveryStatusBit : 0)
      return UInt32(truncatingIfNeeded: index & 1 == 0 ? entry : entry >> 32)
    default: return 0
    }
  }

  private mutating func writeWindow(_ value: UInt32) {
    switch index {
    case 0: identification = value & 0x0F00_0000
    case 0x10..<0x40: writeEntry(Int(index - 0x10) / 2, isUpperHalf: index & 1 != 0, value)
    default: break
    }
  }

  private mutating func writeEntry(_ pin: Int, isUpperHalf: Bool, _ value: UInt32) {
    let old = entries[pin]
    let new = isUpperHalf ? old & 0xFFFF_FFFF | UInt64(value) << 32 : old & ~0xFFFF_FFFF | UInt64(value)
    entries[pin] = new & Self.writableBits | old & Self.remoteIRRBit
    if entries[pin] & Self.levelBit != 0 {
      request(pin)
    } else {
      // An edge-triggered interrupt awaits no EOI. One that waits to be sent and is masked now is lost.
      entries[pin] &= ~Self.remoteIRRBit
      if entries[pin] & Self.maskBit != 0 { waiting &= ~(1 << UInt32(pin)) }
    }
  }
}
