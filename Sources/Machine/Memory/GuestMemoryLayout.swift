/// Where a guest's RAM appears in its guest-physical address space.
///
/// RAM starts at address 0. What does not fit below the PC's hole for devices continues at 4 GiB. The ranges of the
/// first MiB that a PC does not use as RAM are backed all the same; ``E820Map`` says which they are.
@frozen
public struct GuestMemoryLayout: Equatable, Sendable {
  /// The amount of RAM, in bytes; a multiple of 4 KiB for a guest behind EPT.
  public let byteCount: UInt64

  /// Makes the layout of a guest with `byteCount` bytes of RAM.
  @inlinable
  public init(byteCount: UInt64) { self.byteCount = byteCount }

  /// The guest-physical address where the hole for devices starts: 3 GiB.
  @inlinable
  public static var holeStart: UInt64 { 3 << 30 }

  /// The guest-physical address where the hole for devices ends and RAM continues: 4 GiB.
  @inlinable
  public static var holeEnd: UInt64 { 4 << 30 }

  /// Whether a guest-physical address is in the hole for devices.
  @inlinable
  public static func isInHole(_ address: UInt64) -> Bool { address &- holeStart < holeEnd - holeStart }

  /// The amount of RAM below the hole, in bytes; it starts at address 0.
  @inlinable
  public var lowByteCount: UInt64 { min(byteCount, Self.holeStart) }

  /// The amount of RAM above the hole, in bytes; it starts at ``holeEnd``.
  @inlinable
  public var highByteCount: UInt64 { byteCount - lowByteCount }

  /// The offset into the RAM, in bytes, of a guest-physical range, or nil if a part of the range is not RAM.
  ///
  /// - Parameters:
  ///   - address: The guest-physical address where the range starts; any value.
  ///   - byteCount: The range's length in bytes; any value.
  @inlinable
  public func offset(of address: UInt64, byteCount: UInt64) -> UInt64? {
    if byteCount <= lowByteCount, address <= lowByteCount - byteCount { return address }
    guard address >= Self.holeEnd, byteCount <= highByteCount else { return nil }
    let offset = address - Self.holeEnd
    return offset <= highByteCount - byteCount ? lowByteCount + offset : nil
  }
}
