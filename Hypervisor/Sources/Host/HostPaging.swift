import Boot
import VMCS
import VMX

/// The host's own page tables: an identity map of the first 4 GiB in which the image's text is read-only, its constants
/// and all data cannot be executed, the page under each stack is missing, and device registers are not cached.
package enum HostPaging {
  private static var present: UInt64 { 1 << 0 }
  private static var writable: UInt64 { 1 << 1 }
  private static var cacheDisable: UInt64 { 1 << 4 }
  private static var large: UInt64 { 1 << 7 }
  private static var executeDisable: UInt64 { 1 << 63 }
  private static var largePage: UInt64 { 0x20_0000 }

  /// Builds the tables from `pool` and gives the value for CR3, or nil if the pool is too small.
  package static func build(from pool: inout PagePool) -> UInt64? {
    guard let level4 = pool.allocate(), let level3 = pool.allocate() else { return nil }
    store(level3.address.rawValue | present | writable, in: level4, at: 0)
    for gigabyte in 0..<4 {
      guard let level2 = pool.allocate() else { return nil }
      store(level2.address.rawValue | present | writable, in: level3, at: gigabyte)
      for entry in 0..<512 {
        let address = UInt64(gigabyte) << 30 | UInt64(entry) * largePage
        if address < address_of_image_end() {
          guard let level1 = smallPages(at: address, from: &pool) else { return nil }
          store(level1, in: level2, at: entry)
        } else {
          let isDevice = address >= 0xFEC0_0000
          store(
            address | present | writable | large | executeDisable | (isDevice ? cacheDisable : 0), in: level2, at: entry
          )
        }
      }
    }
    return level4.address.rawValue
  }

  /// One table of 4 KiB pages for the 2 MiB at `start`, with the rights that the image's segments need.
  private static func smallPages(at start: UInt64, from pool: inout PagePool) -> UInt64? {
    guard let level1 = pool.allocate() else { return nil }
    for entry in 0..<512 {
      let address = start + UInt64(entry) * 4096
      if isStackGuard(address) { continue }
      let isText = address >= address_of_image_start() && address < address_of_text_end()
      let isConstant = !isText && address >= address_of_image_start() && address < address_of_constants_end()
      store(
        address | present | (isText || isConstant ? 0 : writable) | (isText ? 0 : executeDisable), in: level1, at: entry
      )
    }
    return level1.address.rawValue | present | writable
  }

  private static func isStackGuard(_ address: UInt64) -> Bool {
    let stride = UInt64(PROCESSOR_STACK_STRIDE)
    let offset = address &- address_of_processor_stacks()
    return offset < UInt64(MAXIMUM_PROCESSOR_COUNT) * stride && offset % stride == 0
  }

  private static func store(_ value: UInt64, in table: PagePool.Page, at index: Int) {
    table.pointer.storeBytes(of: value, toByteOffset: 8 * index, as: UInt64.self)
  }
}
