/// The value of an XMM register (SDM, "SSE Programming Environment").
@frozen
public struct XMMRegister: Hashable, Sendable {
  /// Bits 63:0.
  public var low: UInt64
  /// Bits 127:64.
  public var high: UInt64

  /// Makes a value.
  @inlinable
  public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }
}
