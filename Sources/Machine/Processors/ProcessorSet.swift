/// A set of virtual processors, by their indices.
@frozen
public struct ProcessorSet: OptionSet, Sendable {
  /// Bit n is the processor with index n.
  public var rawValue: UInt64

  /// The set with the bits of `rawValue`.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The set of one processor, 0 to 63.
  @inlinable
  public init(_ index: Int) { rawValue = 1 &<< UInt64(truncatingIfNeeded: index) }

  /// Takes the processor with the lowest index out; `nil` if the set is empty.
  @inlinable
  public mutating func popFirst() -> Int? {
    if rawValue == 0 { return nil }
    let index = rawValue.trailingZeroBitCount
    rawValue &= rawValue &- 1
    return index
  }
}
