/// Page tables that map the first 4 GiB of linear addresses to the same physical addresses, in pages of 2 MiB.
///
/// The format is that of 4-level paging (SDM, "4-Level Paging and 5-Level Paging").
public enum IdentityPageTables {
  /// The length in bytes: a PML4 table, a page-directory-pointer table and 4 page directories.
  public static var byteCount: UInt64 { 6 * 0x1000 }

  /// The entry flags P and R/W.
  private static var presentAndWritable: UInt64 { 0b11 }
  /// The flag PS of a page-directory entry: it maps a page of 2 MiB.
  private static var pageSize: UInt64 { 1 << 7 }

  /// Writes the tables.
  ///
  /// - Parameters:
  ///   - memory: The guest's memory.
  ///   - address: Where the tables go, a multiple of 4 KiB. CR3 takes this value.
  /// - Returns: Whether they were written: false, with nothing changed, if a part of the place is not RAM.
  public static func write(to memory: GuestMemory, at address: UInt64) -> Bool {
    guard let tables = memory.bytes(at: address, count: byteCount) else { return false }
    tables.initializeMemory(as: UInt8.self, repeating: 0)
    let directories = address + 0x2000
    store(address + 0x1000 | presentAndWritable, at: 0, in: tables)
    for index in 0..<4 {
      store(directories + UInt64(index) << 12 | presentAndWritable, at: 512 + index, in: tables)
    }
    for page in 0..<4 * 512 {
      store(UInt64(page) << 21 | pageSize | presentAndWritable, at: 1024 + page, in: tables)
    }
    return true
  }

  private static func store(_ entry: UInt64, at index: Int, in tables: UnsafeMutableRawBufferPointer) {
    tables.storeBytes(of: entry.littleEndian, toByteOffset: index * 8, as: UInt64.self)
  }
}
