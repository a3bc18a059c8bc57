import Synchronization
import VMX

/// A guest's RAM, as the hypervisor sees it: a view that owns nothing and checks every range.
///
/// Addresses are guest-physical and may come from the guest: an access that is not wholly in RAM gives nil or false
/// and changes nothing. Integers are little-endian and need no alignment.
@frozen
public struct GuestMemory {
  /// The first byte of the RAM, which is contiguous for the hypervisor.
  public let base: UnsafeMutableRawPointer
  /// Where the RAM appears to the guest.
  public let layout: GuestMemoryLayout

  /// Makes a view of `byteCount` bytes at `base`, which must stay valid for as long as the view is used.
  @inlinable
  public init(base: UnsafeMutableRawPointer, byteCount: UInt64) {
    self.base = base
    self.layout = GuestMemoryLayout(byteCount: byteCount)
  }

  /// The bytes of a guest-physical range, or nil if a part of it is not RAM.
  @inlinable
  public func bytes(at address: UInt64, count: UInt64) -> UnsafeMutableRawBufferPointer? {
    guard let offset = layout.offset(of: address, byteCount: count) else { return nil }
    return UnsafeMutableRawBufferPointer(
      start: base + Int(truncatingIfNeeded: offset), count: Int(truncatingIfNeeded: count))
  }

  /// The little-endian integer at a guest-physical address, or nil if a part of it is not RAM.
  @inlinable
  public func load<Value: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, as type: Value.Type) -> Value? {
    guard let offset = layout.offset(of: address, byteCount: UInt64(MemoryLayout<Value>.size)) else { return nil }
    return Value(littleEndian: base.loadUnaligned(fromByteOffset: Int(truncatingIfNeeded: offset), as: type))
  }

  /// Stores a little-endian integer at a guest-physical address.
  ///
  /// - Returns: Whether it was stored: false, with nothing changed, if a part of the range is not RAM.
  @inlinable
  public func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at address: UInt64) -> Bool {
    guard let offset = layout.offset(of: address, byteCount: UInt64(MemoryLayout<Value>.size)) else { return false }
    base.storeBytes(of: value.littleEndian, toByteOffset: Int(truncatingIfNeeded: offset), as: Value.self)
    return true
  }

  /// Copies bytes of the hypervisor to a guest-physical address.
  ///
  /// - Returns: Whether they were copied: false, with nothing changed, if a part of the range is not RAM.
  @inlinable
  public func copy(_ source: UnsafeRawBufferPointer, to address: UInt64) -> Bool {
    guard let target = bytes(at: address, count: UInt64(source.count)) else { return false }
    target.copyMemory(from: source)
    return true
  }
}

extension GuestMemory: GuestPhysicalMemory {
  /// Puts `new` in the place of `old` at a guest-physical address, in one atomic access, if `old` is still there.
  ///
  /// - Parameters:
  ///   - byteCount: 1, 4 or 8; bits of `old` and `new` beyond it do not count.
  ///   - address: a multiple of `byteCount`.
  /// - Returns: false, with nothing changed, if something else is there, or the range is not RAM.
  public func replace(_ old: UInt64, with new: UInt64, byteCount: Int, at address: UInt64) -> Bool {
    let size = UInt64(truncatingIfNeeded: byteCount)
    guard let offset = layout.offset(of: address, byteCount: size) else { return false }
    let target = base + Int(truncatingIfNeeded: offset)
    switch byteCount {
    case 1:
      return target.assumingMemoryBound(to: Atomic<UInt8>.self).pointee.compareExchange(
        expected: UInt8(truncatingIfNeeded: old), desired: UInt8(truncatingIfNeeded: new),
        ordering: .sequentiallyConsistent
      ).exchanged
    case 4:
      return target.assumingMemoryBound(to: Atomic<UInt32>.self).pointee.compareExchange(
        expected: UInt32(truncatingIfNeeded: old), desired: UInt32(truncatingIfNeeded: new),
        ordering: .sequentiallyConsistent
      ).exchanged
    default:
      return target.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.compareExchange(
        expected: old, desired: new, ordering: .sequentiallyConsistent
      ).exchanged
    }
  }
}
