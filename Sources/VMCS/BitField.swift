/// A named bit or range of bits of a value, for code that prints or checks values bit by bit.
@frozen
public struct BitField: Sendable {
  /// The Swift property's name.
  public var name: StaticString
  /// The highest bit.
  public var high: UInt8
  /// The lowest bit; equal to `high` for a single bit.
  public var low: UInt8
  /// The enumeration that the bits hold, nil if they are a number or a Boolean.
  public var valueType: ValueType?
  /// The SDM's name.
  public var title: StaticString

  init(_ name: StaticString, _ high: UInt8, _ low: UInt8, _ title: StaticString, _ valueType: ValueType? = nil) {
    self.name = name
    self.high = high
    self.low = low
    self.valueType = valueType
    self.title = title
  }

  /// A 64-bit mask of the bits.
  @inlinable public var mask: UInt64 { (~0 >> (63 - UInt64(high - low))) << UInt64(low) }

  /// The contents of the bits in `bits`, moved to bit 0.
  @inlinable public func value(in bits: UInt64) -> UInt64 { (bits & mask) >> UInt64(low) }
}

/// The named bits of a type of value, from the lowest; they do not overlap.
@frozen
public struct BitFields: RandomAccessCollection, Sendable {
  /// The type of the values.
  public var valueType: ValueType

  /// Lists the named bits of `valueType`.
  @inlinable public init(of valueType: ValueType) { self.valueType = valueType }

  /// Always 0.
  @inlinable public var startIndex: Int { 0 }
  /// How many named bits and ranges there are.
  public var endIndex: Int { valueType.bitFieldCount }
  /// The bits at `position`, which has to be below `endIndex`.
  public subscript(position: Int) -> BitField { valueType.bitField(at: position) }

  /// A 64-bit mask of all named bits.
  public var mask: UInt64 {
    var mask: UInt64 = 0
    for index in 0..<endIndex { mask |= self[index].mask }
    return mask
  }
}

extension ValueType {
  /// The named bits of the values; empty for numbers and enumerations.
  @inlinable public var bitFields: BitFields { BitFields(of: self) }
}
