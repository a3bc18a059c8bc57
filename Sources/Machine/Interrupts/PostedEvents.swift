/// What was posted for a processor itself and not for its local APIC.
@frozen
public struct PostedEvents: Equatable, Sendable {
  /// One event.
  @frozen
  public enum Event: Hashable, Sendable {
    /// A non-maskable interrupt; of those that have not been taken, the third and all after it are ignored.
    case nmi
    /// An INIT; it undoes a SIPI that was posted before it and has not been taken.
    case initialize
    /// A SIPI; while one is posted, others are ignored.
    case startUp(vector: UInt8)
    /// The processor acknowledges an interrupt of the 8259A.
    case extINT
  }

  /// The word of the descriptor.
  ///
  /// Bit 0: level-triggered interrupts are posted, too. Bits 1 to 4: NMI, INIT, SIPI, ExtINT. Bit 5: a
  /// second NMI. Bits 15:8: the vector of the SIPI.
  @usableFromInline let rawValue: UInt64

  @usableFromInline
  init(rawValue: UInt64 = 0) { self.rawValue = rawValue }

  @inlinable static var levelRequestsBit: UInt64 { 1 << 0 }
  static var nmiBit: UInt64 { 1 << 1 }
  static var initializeBit: UInt64 { 1 << 2 }
  static var startUpBit: UInt64 { 1 << 3 }
  static var extINTBit: UInt64 { 1 << 4 }
  static var secondNMIBit: UInt64 { 1 << 5 }
  private static var startUpBits: UInt64 { startUpBit | 0xFF00 }

  /// Whether there is none.
  @inlinable
  public var isEmpty: Bool { rawValue & ~Self.levelRequestsBit == 0 }
  /// An NMI.
  public var nmi: Bool { rawValue & Self.nmiBit != 0 }
  /// A second NMI; there is a first one.
  public var secondNMI: Bool { rawValue & Self.secondNMIBit != 0 }
  /// An INIT; it comes before a SIPI that is there, too.
  public var initialize: Bool { rawValue & Self.initializeBit != 0 }
  /// The vector of a SIPI.
  public var startUp: UInt8? {
    rawValue & Self.startUpBit != 0 ? UInt8(truncatingIfNeeded: rawValue >> 8) : nil
  }
  /// An ExtINT.
  public var extINT: Bool { rawValue & Self.extINTBit != 0 }

  var hasLevelRequests: Bool { rawValue & Self.levelRequestsBit != 0 }

  /// The events with one more, which comes after them.
  func adding(_ event: Event) -> PostedEvents {
    switch event {
    case .nmi: return PostedEvents(rawValue: rawValue | (nmi ? Self.secondNMIBit : Self.nmiBit))
    case .initialize: return PostedEvents(rawValue: rawValue & ~Self.startUpBits | Self.initializeBit)
    case .startUp(let vector):
      guard startUp == nil else { return self }
      return PostedEvents(rawValue: rawValue | Self.startUpBit | UInt64(vector) << 8)
    case .extINT: return PostedEvents(rawValue: rawValue | Self.extINTBit)
    }
  }
}
