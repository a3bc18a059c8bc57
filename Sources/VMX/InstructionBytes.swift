/// The first bytes of an instruction, as they are in memory: up to 15, which is as long as an instruction may be.
@frozen
public struct InstructionBytes: Equatable, Sendable {
  /// Bytes 0 to 7, the first in bits 7:0.
  @usableFromInline var low: UInt64
  /// Bytes 8 to 14; what does not count is 0.
  @usableFromInline var high: UInt64
  /// How many bytes there are, 0 to 15.
  public let count: Int

  /// How many bytes an instruction has at most (SDM, "Instruction Format").
  @inlinable
  public static var limit: Int { 15 }

  /// Takes the first `count` bytes, 15 at most, of two little-endian quadwords.
  @inlinable
  public init(low: UInt64, high: UInt64, count: Int) {
    let count = min(max(count, 0), Self.limit)
    self.low = count >= 8 ? low : low & ~(~0 &<< UInt64(8 &* count))
    self.high = count >= 8 ? high & ~(~0 &<< UInt64(8 &* (count &- 8))) : 0
    self.count = count
  }

  /// Eight bytes from `index` on, the first in bits 7:0; those that do not exist are 0.
  @inlinable
  public func quadword(at index: Int) -> UInt64 {
    guard index > 0 else { return low }
    guard index < 16 else { return 0 }
    let shift = UInt64(8 &* (index & 7))
    guard index < 8 else { return high &>> shift }
    return low &>> shift | high &<< (64 &- shift)
  }

  /// The byte at `index`; 0 if it does not exist.
  @inlinable
  public subscript(index: Int) -> UInt8 { UInt8(truncatingIfNeeded: quadword(at: index)) }

  /// The first `count` bytes, or as many as there are.
  @inlinable
  public func prefix(_ count: Int) -> Self { Self(low: low, high: high, count: min(count, self.count)) }
}
