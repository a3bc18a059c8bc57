import VMCS

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The physical memory that one or more processors share, and the VMCSs that they keep in it.
///
/// Memory exists where pages were allocated or mapped. Elsewhere reads give all ones, as from a bus without a device.
public final class ModelMemory: @unchecked Sendable {
  /// The size of a page, in bytes.
  public static var pageSize: Int { 4096 }

  private struct Mapping {
    var start: UInt64
    var byteCount: Int
    var pointer: UnsafeMutableRawPointer
    var isOwned: Bool
  }

  private var mappings: [Mapping] = []
  private var nextAddress: UInt64 = 0x10_0000
  var storages: [PhysicalAddress: VMCSStorage] = [:]

  /// Makes memory without a page.
  public init() {}

  deinit {
    for mapping in mappings where mapping.isOwned { mapping.pointer.deallocate() }
  }

  /// Allocates `count` contiguous pages of zeros, aligned to 4,096 bytes, below the physical address 4 GiB.
  ///
  /// They live as long as the memory does.
  public func allocatePages(_ count: Int = 1) -> (pointer: UnsafeMutableRawPointer, address: PhysicalAddress) {
    let byteCount = count * Self.pageSize
    let pointer = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: Self.pageSize)
    memset(pointer, 0, byteCount)
    let address = nextAddress
    nextAddress += UInt64(byteCount)
    mappings.append(Mapping(start: address, byteCount: byteCount, pointer: pointer, isOwned: true))
    return (pointer, PhysicalAddress(address))
  }

  /// Puts the `byteCount` bytes at `pointer`, which the caller keeps, at physical `address`.
  ///
  /// Memory that was mapped there before wins.
  public func map(_ pointer: UnsafeMutableRawPointer, byteCount: Int, at address: PhysicalAddress) {
    mappings.append(Mapping(start: address.rawValue, byteCount: byteCount, pointer: pointer, isOwned: false))
  }

  /// Where physical `address` is in the test's address space; nil if less than `byteCount` bytes of memory are there.
  public func pointer(to address: PhysicalAddress, byteCount: Int) -> UnsafeMutableRawPointer? {
    for mapping in mappings where address.rawValue >= mapping.start {
      let offset = address.rawValue - mapping.start
      if offset < UInt64(mapping.byteCount), mapping.byteCount - Int(offset) >= byteCount {
        return mapping.pointer + Int(offset)
      }
    }
    return nil
  }

  /// Reads an integer from physical `address`; all ones where there is no memory.
  public func load<Value: FixedWidthInteger & BitwiseCopyable>(_ address: PhysicalAddress, as type: Value.Type) -> Value
  {
    pointer(to: address, byteCount: Value.bitWidth / 8)?.loadUnaligned(as: type) ?? ~0
  }
}
