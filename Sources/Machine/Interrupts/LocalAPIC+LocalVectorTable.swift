import VMX

/// A pin of a local APIC.
@frozen
public enum LocalInterruptPin: UInt8, Sendable, CaseIterable {
  /// LINT0: on a PC, the 8259A's INTR.
  case lint0 = 0
  /// LINT1: on a PC, NMI.
  case lint1 = 1

  var offset: Int { self == .lint0 ? LocalAPICRegister.lint0 : LocalAPICRegister.lint1 }
}

// SDM, "Local Vector Table" and "Error Handling".
extension LocalAPIC {
  /// Remote IRR of an LVT register: a level-triggered interrupt of the pin has been accepted and not ended.
  private static var remoteIRR: UInt32 { 1 << 14 }

  /// Sets the level of a pin.
  ///
  /// An unmasked pin of delivery mode fixed gives its vector, at an edge or, LINT0 alone, by level. ExtINT shows in
  /// ``acceptsExtINT``. INIT and SMI are ignored.
  ///
  /// - Returns: whether the processor gets an NMI by it.
  public mutating func setPin(_ pin: LocalInterruptPin, _ level: Bool) -> Bool {
    let bit: UInt8 = 1 << pin.rawValue
    let rises = level && pins & bit == 0
    if level { pins |= bit } else { pins &= ~bit }
    guard level else { return false }
    if mode == .disabled { return rises && pin == .lint1 }
    if rises && takesNMI(at: pin) { return true }
    raisePin(pin, rises: rises)
    return false
  }

  private mutating func takesNMI(at pin: LocalInterruptPin) -> Bool {
    load(pin.offset) & (Self.masked | 0x700) == 0x400
  }

  /// Whether LINT0 is an NMI.
  var takesNMIAtLINT0: Bool { mutating get { mode != .disabled && takesNMI(at: .lint0) } }

  /// The level of LINT0.
  var isLINT0High: Bool { @inline(__always) mutating get { pins & 1 != 0 } }

  private mutating func raisePin(_ pin: LocalInterruptPin, rises: Bool) {
    let entry = load(pin.offset)
    guard entry & (Self.masked | 0x700) == 0 else { return }
    let isLevelTriggered = entry & 1 << 15 != 0 && pin == .lint0
    if isLevelTriggered {
      guard pins & 1 != 0, !pinAwaitsEnd else { return }
      pinAwaitsEnd = true
      store(pin.offset, entry | Self.remoteIRR)
    } else if !rises {
      return
    }
    accept(vector: UInt8(truncatingIfNeeded: entry), isLevelTriggered: isLevelTriggered)
  }

  /// The end of `vector` for LINT0, which requests again if it still has its level.
  mutating func endPin(_ vector: UInt8) {
    let entry = load(LocalAPICRegister.lint0)
    guard pinAwaitsEnd, UInt8(truncatingIfNeeded: entry) == vector else { return }
    pinAwaitsEnd = false
    store(LocalAPICRegister.lint0, entry & ~Self.remoteIRR)
    raisePin(.lint0, rises: false)
  }

  /// Writes a register of the table: `value` with its writable bits.
  ///
  /// While software has disabled the APIC, the mask cannot be cleared.
  mutating func writeLocalVector(_ offset: Int, _ value: UInt32) {
    var new = value & Self.writableBits(of: offset)
    if !isSoftwareEnabled { new |= Self.masked }
    guard offset == LocalAPICRegister.lint0 else { return store(offset, new) }
    // An edge-triggered interrupt awaits nothing.
    if new & 1 << 15 == 0 { pinAwaitsEnd = false }
    store(offset, pinAwaitsEnd ? new | Self.remoteIRR : new)
    updateExtINT()
    raisePin(.lint0, rises: false)
  }

  /// The bits of a register of the table that software can set; the read-only ones are 0 here.
  static func writableBits(of offset: Int) -> UInt32 {
    switch offset {
    case LocalAPICRegister.timer: 0x7_00FF
    case LocalAPICRegister.error: 0x1_00FF
    case LocalAPICRegister.lint0, LocalAPICRegister.lint1: 0x1_A7FF
    default: 0x1_07FF
    }
  }

  /// The read-only bits of a register of the table: delivery status, and remote IRR of the pins.
  static func readOnlyBits(of offset: Int) -> UInt32 {
    offset == LocalAPICRegister.lint0 || offset == LocalAPICRegister.lint1 ? 0x5000 : 0x1000
  }

  /// Masks all entries, as disabling by software does.
  mutating func maskLocalVectors() {
    for offset in stride(from: LocalAPICRegister.timer, through: LocalAPICRegister.error, by: 16) {
      store(offset, load(offset) | Self.masked)
    }
    updateExtINT()
  }

  /// Notes an error, and raises the error interrupt for the first since the last write to ESR.
  @inline(never) @usableFromInline
  mutating func report(_ error: LocalAPICError) {
    let isFirst = errors == 0
    errors |= error.rawValue
    let entry = load(LocalAPICRegister.error)
    guard isFirst, entry & Self.masked == 0 else { return }
    let vector = UInt8(truncatingIfNeeded: entry)
    if vector < 16 {
      errors |= LocalAPICError.receiveIllegalVector.rawValue
    } else {
      accept(vector: vector, isLevelTriggered: false)
    }
  }
}
