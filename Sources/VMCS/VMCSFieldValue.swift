/// What a VMCS field holds: bits of the field's width, under a type that names them.
public protocol VMCSFieldValue: Sendable {
  /// An unsigned integer of the field's width.
  associatedtype Bits: FixedWidthInteger & UnsignedInteger & Sendable
  /// Makes a value from the field's bits, which are kept as they are.
  init(bits: Bits)
  /// The field's bits.
  var bits: Bits { get }
}

extension UInt16: VMCSFieldValue {
  /// Makes a value from the field's bits.
  @inlinable public init(bits: UInt16) { self = bits }
  /// The value itself.
  @inlinable public var bits: UInt16 { self }
}

extension UInt32: VMCSFieldValue {
  /// Makes a value from the field's bits.
  @inlinable public init(bits: UInt32) { self = bits }
  /// The value itself.
  @inlinable public var bits: UInt32 { self }
}

extension UInt64: VMCSFieldValue {
  /// Makes a value from the field's bits.
  @inlinable public init(bits: UInt64) { self = bits }
  /// The value itself.
  @inlinable public var bits: UInt64 { self }
}

extension PhysicalAddress: VMCSFieldValue {
  /// Makes an address from the field's bits.
  @inlinable public init(bits: UInt64) { self.init(rawValue: bits) }
  /// The address, in bytes.
  @inlinable public var bits: UInt64 { rawValue }
}
