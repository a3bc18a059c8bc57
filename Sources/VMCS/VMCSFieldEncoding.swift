/// The width of a VMCS field, from bits 14:13 of its encoding.
@frozen
public enum VMCSFieldWidth: UInt8, CaseIterable, Sendable {
  /// 16 bits.
  case bits16 = 0
  /// 64 bits.
  case bits64 = 1
  /// 32 bits.
  case bits32 = 2
  /// Natural width: 64 bits on processors that support Intel 64 architecture.
  case natural = 3

  /// The width in bits on processors that support Intel 64 architecture.
  @inlinable
  public var bitWidth: Int {
    switch self {
    case .bits16: 16
    case .bits32: 32
    case .bits64, .natural: 64
    }
  }
}

/// The type of a VMCS field, from bits 11:10 of its encoding.
@frozen
public enum VMCSFieldType: UInt8, CaseIterable, Sendable {
  /// Control.
  case control = 0
  /// VM-exit information, which is read-only on processors that do not let VMWRITE write it.
  case vmExitInformation = 1
  /// Guest state.
  case guestState = 2
  /// Host state.
  case hostState = 3
}

/// The encoding of a VMCS field, as VMREAD and VMWRITE take it (SDM, "Structure of VMCS Component Encoding").
@frozen
public struct VMCSFieldEncoding: RawRepresentable, Hashable, Comparable, Sendable {
  /// The encoding, 32 bits, of which bit 12 and bits 31:15 are 0 in every encoding that the SDM defines.
  public var rawValue: UInt32

  /// Makes an encoding, of a field that exists or not.
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The field's width (bits 14:13).
  @inlinable
  public var width: VMCSFieldWidth {
    switch (rawValue >> 13) & 3 {
    case 0: .bits16
    case 1: .bits64
    case 2: .bits32
    default: .natural
    }
  }

  /// The field's type (bits 11:10).
  @inlinable
  public var type: VMCSFieldType {
    switch (rawValue >> 10) & 3 {
    case 0: .control
    case 1: .vmExitInformation
    case 2: .guestState
    default: .hostState
    }
  }

  /// The field's index among those of its width and type (bits 9:1).
  @inlinable public var index: Int { Int((rawValue >> 1) & 0x1FF) }

  /// Whether the access is to the high 32 bits of a 64-bit field (bit 0).
  @inlinable public var isHighAccess: Bool { rawValue & 1 != 0 }

  /// Whether the bits that the SDM reserves are 0.
  @inlinable public var reservedBitsAreZero: Bool { rawValue & 0xFFFF_9000 == 0 }

  /// Orders encodings by their value, which is the order of the SDM's Appendix B.
  @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}
