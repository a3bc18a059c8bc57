import VMX

/// What others have to know of a local APIC to tell whether a message is for it.
///
/// It is one 64-bit word, so that the owner can publish it with a single atomic store.
@frozen
public struct LocalAPICIdentity: RawRepresentable, Equatable, Sendable {
  /// The fields, as they are published.
  ///
  /// Bits 31:0: the x2APIC ID. Bits 39:32: the logical APIC ID of xAPIC mode, bits 31:24 of LDR. Bits 43:40: the model,
  /// bits 31:28 of DFR. Bits 45:44: the mode. Bit 46: enabled by software.
  public let rawValue: UInt64

  /// The identity that was published as `rawValue`; 0 is one of a disabled APIC.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  init(id: UInt32, mode: LocalAPICMode, ldr: UInt32, dfr: UInt32, isSoftwareEnabled: Bool) {
    rawValue =
      UInt64(id) | UInt64(ldr >> 24) << 32 | UInt64(dfr >> 28) << 40 | UInt64(mode.rawValue) << 44
      | (isSoftwareEnabled ? 1 << 46 : 0)
  }

  /// The x2APIC ID.
  @inlinable
  public var id: UInt32 { UInt32(truncatingIfNeeded: rawValue) }

  /// The mode; `nil` for bits that no local APIC publishes.
  @inlinable
  public var mode: LocalAPICMode? { LocalAPICMode(rawValue: UInt8(truncatingIfNeeded: rawValue >> 44) & 3) }

  /// Whether the local APIC takes fixed interrupts: bit 8 of SVR.
  @inlinable
  public var isSoftwareEnabled: Bool { rawValue & 1 << 46 != 0 }

  /// The LDR of an x2APIC with this ID (SDM, "Deriving Logical x2APIC ID from the Local x2APIC ID").
  static func logicalX2APICID(of id: UInt32) -> UInt32 {
    (id >> 4) << 16 | 1 << (id & 0xF)
  }

  /// Whether the local APIC is the one, or one of those, in the group that `destination` names.
  ///
  /// - Parameters:
  ///   - destination: 32 bits; all ones is a broadcast in either destination mode.
  ///   - isLogical: the destination mode.
  public func isIn(destination: UInt32, isLogical: Bool) -> Bool {
    guard let mode, mode != .disabled else { return false }
    if destination == ~0 { return true }
    if !isLogical { return id == destination }
    if mode == .x2APIC {
      let own = Self.logicalX2APICID(of: id)
      return destination >> 16 == own >> 16 && destination & own & 0xFFFF != 0
    }
    return destination <= 0xFF && isInXAPICGroup(UInt8(truncatingIfNeeded: destination))
  }

  /// SDM, "Logical Destination Mode": the flat model and the cluster model; other values of DFR's model are reserved.
  private func isInXAPICGroup(_ destination: UInt8) -> Bool {
    let own = UInt8(truncatingIfNeeded: rawValue >> 32)
    return switch rawValue >> 40 & 0xF {
    case 0xF: destination & own != 0
    case 0x0: (destination ^ own) & 0xF0 == 0 && destination & own & 0x0F != 0
    default: false
    }
  }
}
