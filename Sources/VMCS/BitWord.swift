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

  @inlinable
  subscript(bit bit: Int) -> Bool {
    get { rawValue & (1 << bit) != 0 }
    set { self = Self(rawValue: newValue ? rawValue | 1 << bit : rawValue & ~(1 << bit)) }
  }

  /// The bits from `high` down to `low`.
  ///
  /// Those bits of a new value that do not fit are dropped; bits outside the range do not change.
  @inlinable
  subscript(bits high: Int, low: Int) -> RawValue {
    get { (rawValue >> low) & (~0 >> (RawValue.bitWidth - 1 - high + low)) }
    set {
      let mask: RawValue = (~0 >> (RawValue.bitWidth - 1 - high + low)) << low
      self = Self(rawValue: rawValue & ~mask | (newValue << low) & mask)
    }
  }
}
