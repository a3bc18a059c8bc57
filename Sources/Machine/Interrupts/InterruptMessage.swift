import VMX

/// An interrupt on its way to local APICs: from an ICR, a redirection entry of an I/O APIC, or a message-signaled
/// interrupt.
@frozen
public struct InterruptMessage: Equatable, Sendable {
  /// The delivery mode, encoded as in the ICR, in redirection entries and in the data of an MSI.
  @frozen
  public enum DeliveryMode: UInt8, Sendable, CaseIterable {
    /// The vector, to every local APIC that is named.
    case fixed = 0
    /// The vector, to one of the local APICs that are named.
    case lowestPriority = 1
    /// A system management interrupt.
    case smi = 2
    /// A non-maskable interrupt.
    case nmi = 4
    /// An INIT.
    case initialize = 5
    /// A start-up IPI, SIPI.
    case startUp = 6
    /// As if it came from an 8259A: the processor asks that for the vector.
    case extINT = 7
  }

  /// The destination shorthand of the ICR.
  @frozen
  public enum Shorthand: UInt8, Sendable, CaseIterable {
    /// The destination is what `destination` names.
    case none = 0
    /// The sender.
    case selfOnly = 1
    /// All, with the sender.
    case allIncludingSelf = 2
    /// All but the sender.
    case allExcludingSelf = 3
  }

  /// The ID or the group: 32 bits, all ones for a broadcast.
  public let destination: UInt32
  /// Vector; for a SIPI the page where the processor starts.
  public let vector: UInt8
  /// Delivery mode.
  public let deliveryMode: DeliveryMode
  /// Destination shorthand.
  public let shorthand: Shorthand
  /// The destination mode: logical, or physical.
  public let isLogical: Bool
  /// Whether the interrupt's source waits for an EOI.
  public let isLevelTriggered: Bool

  /// A message.
  @inlinable
  public init(
    destination: UInt32, vector: UInt8, deliveryMode: DeliveryMode = .fixed, shorthand: Shorthand = .none,
    isLogical: Bool = false, isLevelTriggered: Bool = false
  ) {
    self.destination = destination
    self.vector = vector
    self.deliveryMode = deliveryMode
    self.shorthand = shorthand
    self.isLogical = isLogical
    self.isLevelTriggered = isLevelTriggered
  }

  /// The message that a write of `icr` sends (SDM, "Interrupt Command Register (ICR)").
  ///
  /// IPIs are edge-triggered. `nil` for what sends nothing: the reserved delivery modes, the INIT level de-assert,
  /// which recent processors ignore, and INIT, SIPI and SMI with a shorthand that has the sender in it, which the SDM
  /// calls invalid.
  ///
  /// - Parameter isX2APIC: whether the destination has 32 bits, 63:32, and not 8, 63:56.
  public init?(icr: UInt64, isX2APIC: Bool) {
    let low = UInt32(truncatingIfNeeded: icr)
    guard let mode = DeliveryMode(rawValue: UInt8(truncatingIfNeeded: low >> 8) & 7), mode != .extINT,
      let shorthand = Shorthand(rawValue: UInt8(truncatingIfNeeded: low >> 18) & 3)
    else { return nil }
    let isDeassertion = low & (1 << 14 | 1 << 15) == 1 << 15
    if mode == .initialize && isDeassertion { return nil }
    let reachesSender = shorthand == .selfOnly || shorthand == .allIncludingSelf
    if reachesSender && (mode == .initialize || mode == .startUp || mode == .smi) { return nil }
    let destination = UInt32(truncatingIfNeeded: icr >> 32)
    self.init(
      destination: isX2APIC ? destination : Self.widened(UInt8(truncatingIfNeeded: destination >> 24)),
      vector: UInt8(truncatingIfNeeded: low), deliveryMode: mode, shorthand: shorthand, isLogical: low & 1 << 11 != 0)
  }

  /// The message of a redirection entry of an I/O APIC; `nil` for a reserved delivery mode and for a SIPI.
  public init?(redirectionEntry entry: UInt64) {
    self.init(low: UInt32(truncatingIfNeeded: entry), destination: UInt8(truncatingIfNeeded: entry >> 56))
  }

  /// The message that a write of `data` to `address` is (SDM, "Message Signalled Interrupts").
  ///
  /// With the redirection hint, a fixed interrupt for a group goes to one of it. `nil` for an address outside of
  /// FEE00000H to FEEFFFFFH, a reserved delivery mode and a SIPI. Interrupt remapping does not exist: the destination
  /// has 8 bits.
  public init?(messageAddress address: UInt64, data: UInt32) {
    guard address >> 20 == 0xFEE else { return nil }
    let low = UInt32(truncatingIfNeeded: address)
    let isLogical = low & 1 << 2 != 0
    var fields = data & 0x87FF | (isLogical ? 1 << 11 : 0)
    let isRedirected = low & 1 << 3 != 0 && isLogical
    if isRedirected && fields & 0x700 == 0 { fields |= 1 << 8 }
    self.init(low: fields, destination: UInt8(truncatingIfNeeded: low >> 12))
  }

  /// The fields that redirection entries and MSIs share with the ICR; bit 15 is the trigger mode, which has a meaning
  /// for interrupts with a vector only.
  private init?(low: UInt32, destination: UInt8) {
    guard let mode = DeliveryMode(rawValue: UInt8(truncatingIfNeeded: low >> 8) & 7), mode != .startUp else {
      return nil
    }
    let hasVector = mode == .fixed || mode == .lowestPriority
    self.init(
      destination: Self.widened(destination), vector: UInt8(truncatingIfNeeded: low), deliveryMode: mode,
      isLogical: low & 1 << 11 != 0, isLevelTriggered: hasVector && low & 1 << 15 != 0)
  }

  /// A destination of 8 bits as one of 32: FFH is the broadcast.
  private static func widened(_ destination: UInt8) -> UInt32 {
    destination == 0xFF ? ~0 : UInt32(destination)
  }

  /// Whether it is an NMI or an INIT, which a processor takes whatever RFLAGS.IF is.
  var isEvent: Bool { deliveryMode == .nmi || deliveryMode == .initialize }

  /// Whether PIR takes it: an edge-triggered interrupt whose vector is no error.
  ///
  /// The processor that takes PIR sets bits of IRR, and nothing else.
  var isForPIR: Bool {
    (deliveryMode == .fixed || deliveryMode == .lowestPriority) && !isLevelTriggered && vector >= 16
  }

  /// Whether the message is for the local APIC of `identity`.
  ///
  /// One that software has disabled takes everything but interrupts with a vector, and ExtINT. Of those that match a
  /// message of `DeliveryMode.lowestPriority` only one may get it; the caller chooses.
  ///
  /// - Parameter isSender: whether it is the one that sent the message; false for messages from devices.
  public func matches(_ identity: LocalAPICIdentity, isSender: Bool) -> Bool {
    switch deliveryMode {
    case .fixed, .lowestPriority, .extINT: if !identity.isSoftwareEnabled { return false }
    case .smi, .nmi, .initialize, .startUp: break
    }
    return switch shorthand {
    case .none: identity.isIn(destination: destination, isLogical: isLogical)
    case .selfOnly: isSender
    case .allIncludingSelf: identity.isIn(destination: ~0, isLogical: false)
    case .allExcludingSelf: !isSender && identity.isIn(destination: ~0, isLogical: false)
    }
  }
}
