/// A value whose bits have names.
///
/// A type that conforms names bits and does nothing else: it never masks a value.
public protocol BitWord: VMCSFieldValue, RawRepresentable, Hashable where RawValue == Bits {
  /// Makes a value from its bits, which are kept as they are.
  init(rawValue: Bits)
  /// What describes the type to code that knows it only at run time.
  static var valueType: ValueType { get }
}

extension BitWord {
  /// Makes a value from its bits, which are kept as they are.
  @inlinable public init(bits: RawValue) { self.init(rawValue: bits) }

  /// All bits, named or not.
  @inlinable public var bits: RawValue { rawValue }

  /// The bit with the number `bit`, which is below the width.
  @inlinable
  subscript(bit bit: RawValue) -> Bool {
    @inline(__always) get { rawValue & (1 &<< bit) != 0 }
    @inline(__always) set { self = Self(rawValue: newValue ? rawValue | 1 &<< bit : rawValue & ~(1 &<< bit)) }
  }

  /// The bits from `high` down to `low`, both below the width.
  ///
  /// Those bits of a new value that do not fit are dropped; bits outside the range do not change.
  @inlinable
  subscript(bits high: RawValue, low: RawValue) -> RawValue {
    @inline(__always) get { (rawValue &>> low) & Self.mask(high - low) }
    @inline(__always) set {
      let mask = Self.mask(high - low) &<< low
      self = Self(rawValue: rawValue & ~mask | (newValue &<< low) & mask)
    }
  }

  /// Ones in bits `last` to 0.
  @inlinable @inline(__always)
  static func mask(_ last: RawValue) -> RawValue { ~0 &>> (RawValue(RawValue.bitWidth - 1) - last) }
}
