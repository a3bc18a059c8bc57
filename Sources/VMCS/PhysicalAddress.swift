/// A physical address of the processor that executes the code: 64 bits, of which the processor's physical-address width
/// are significant.
///
/// Never a guest-physical address.
@frozen
public struct PhysicalAddress: RawRepresentable, Hashable, Comparable, Sendable {
  /// The address, in bytes.
  public var rawValue: UInt64

  /// Makes an address from its value in bytes.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Makes an address from its value in bytes.
  @inlinable
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// Orders addresses by their value.
  @inlinable
  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}
