import VMCS

/// What the guest may do with a page (SDM, "EPT Translation Mechanism"): bits 2:0 of an EPT entry.
@frozen
public struct EPTPermissions: OptionSet, Sendable {
  /// The bits, as in an EPT entry.
  public let rawValue: UInt64

  /// Makes permissions from the bits of an EPT entry.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Reads.
  @inlinable public static var read: Self { Self(rawValue: 1 << 0) }
  /// Writes.
  @inlinable public static var write: Self { Self(rawValue: 1 << 1) }
  /// Instruction fetches.
  @inlinable public static var execute: Self { Self(rawValue: 1 << 2) }
  /// All three.
  @inlinable public static var all: Self { [.read, .write, .execute] }
}

/// Why a mapping could not be made.
@frozen
public enum EPTError: Error, Equatable, Sendable {
  /// An address or a length is not a multiple of 4,096.
  case misaligned
  /// The guest-physical range goes beyond the 48 bits that four levels translate.
  case beyondAddressWidth
  /// The pool has no page left for a table.
  case outOfPages
}

/// The extended page tables of one guest: four levels, pages of 4 KiB and, where the processor has them, of 2 MiB.
public struct ExtendedPageTables: ~Copyable {
  private var pool: PagePool
  private let root: PagePool.Page
  private let hasLargePages: Bool

  /// The value of the VMCS field: the root's address, write-back, a walk of four levels, and accessed and dirty flags
  /// where the processor has them.
  public let pointer: EPTPointer

  /// Grows by one with each change that makes translations in a TLB wrong.
  ///
  /// A vCPU that has not seen the newest number executes INVEPT before it enters the guest.
  public private(set) var generation: UInt64 = 0

  /// Makes tables that map nothing, in pages of `pool`; nil if it is empty.
  public init?(in pool: consuming PagePool, capabilities: IA32VMXEPTVPIDCAP) {
    guard let root = pool.allocate() else { return nil }
    self.root = root
    self.pool = pool
    hasLargePages = capabilities.supports2MBPages
    pointer = EPTPointer(
      rawValue: root.address.rawValue | UInt64(EPTMemoryType.writeBack.rawValue) | (4 - 1) << 3
        | (capabilities.supportsAccessedAndDirtyFlags ? 1 << 6 : 0))
  }

  /// How many pages of the pool are left.
  public var remainingPages: Int { pool.remaining }

  /// Maps guest-physical `range` to the physical addresses from `physical` on, by 2 MiB pages as far as alignment allows
  /// if `largePages`.
  ///
  /// Replaces what was mapped there.
  public mutating func map(
    _ range: Range<UInt64>, to physical: PhysicalAddress, permissions: EPTPermissions = .all,
    memoryType: EPTMemoryType = .writeBack, largePages: Bool = true
  ) throws(EPTError) {
    try check(range, physical.rawValue)
    let attributes = permissions.rawValue | UInt64(memoryType.rawValue) << 3
    var guest = range.lowerBound
    while guest < range.upperBound {
      let target = physical.rawValue + (guest - range.lowerBound)
      let useLargePage =
        largePages && hasLargePages && (guest | target) & (Self.largePage - 1) == 0
        && range.upperBound - guest >= Self.largePage
      let table = try table(for: guest, level: useLargePage ? 2 : 1)
      let entry = Self.entry(in: table, for: guest, level: useLargePage ? 2 : 1)
      if entry.pointee & EPTPermissions.all.rawValue != 0 { generation += 1 }
      entry.pointee = target | attributes | (useLargePage ? Self.isLargePage : 0)
      guest += useLargePage ? Self.largePage : Self.page
    }
  }

  /// Maps the 4 KiB page at guest-physical `page`, a multiple of 4,096, to the one at `physical`, write-back, in one walk.
  ///
  /// - Returns: false, and nothing has changed, if something is mapped there already.
  public mutating func mapIfAbsent(
    _ page: UInt64, to physical: PhysicalAddress, permissions: EPTPermissions = .all
  ) throws(EPTError) -> Bool {
    var table = root.pointer
    for level in stride(from: 4, to: 1, by: -1) {
      let entry = Self.entry(in: table, for: page, level: level)
      if entry.pointee == 0 {
        guard let page = pool.allocate() else { throw .outOfPages }
        entry.pointee = page.address.rawValue | EPTPermissions.all.rawValue
      } else if entry.pointee & Self.isLargePage != 0 {
        return false
      }
      table = pool.page(at: entry.pointee & Self.addressMask)
    }
    let entry = Self.entry(in: table, for: page, level: 1)
    if entry.pointee & EPTPermissions.all.rawValue != 0 { return false }
    entry.pointee =
      physical.rawValue | permissions.rawValue | UInt64(EPTMemoryType.writeBack.rawValue) << 3
    return true
  }

  /// Removes the mapping of a guest-physical range.
  ///
  /// A 2 MiB page that lies only partly in it is split first.
  public mutating func unmap(_ range: Range<UInt64>) throws(EPTError) {
    try check(range, 0)
    // Also if the pool runs out on the way: what was removed until then may be in a TLB.
    defer { generation += 1 }
    var guest = range.lowerBound
    while guest < range.upperBound {
      guard translation(of: guest) != nil else {
        guest += Self.page
        continue
      }
      let table = try table(for: guest, level: 1)
      Self.entry(in: table, for: guest, level: 1).pointee = 0
      guest += Self.page
    }
  }

  /// What guest-physical `address` is mapped to, and what the guest may do there.
  public func translation(of address: UInt64) -> (physical: PhysicalAddress, permissions: EPTPermissions)? {
    guard address >> Self.addressWidth == 0 else { return nil }
    var table = root.pointer
    for level in stride(from: 4, through: 1, by: -1) {
      let entry = Self.entry(in: table, for: address, level: level).pointee
      if entry & EPTPermissions.all.rawValue == 0 { return nil }
      if level == 1 || entry & Self.isLargePage != 0 {
        let offsetMask = (UInt64(1) << UInt64(12 + 9 * (level - 1))) - 1
        return (
          PhysicalAddress(entry & Self.addressMask & ~offsetMask | address & offsetMask),
          EPTPermissions(rawValue: entry & EPTPermissions.all.rawValue)
        )
      }
      table = pool.page(at: entry & Self.addressMask)
    }
    return nil
  }

  /// Calls `body` with every entry that is not 0, in order: the guest-physical address where that which it translates
  /// begins, the level of its table, and the entry without the accessed and the dirty flag, which the processor sets.
  ///
  /// An entry that does not lead to a page of the pool, as none of these tables' own, is not followed.
  public func forEachEntry(_ body: (_ address: UInt64, _ level: Int, _ entry: UInt64) -> Void) {
    forEachEntry(in: root.pointer, of: 0, level: 4, body)
  }

  private func forEachEntry(
    in table: UnsafeMutableRawPointer, of guest: UInt64, level: Int, _ body: (UInt64, Int, UInt64) -> Void
  ) {
    for index in 0..<512 {
      let entry = table.load(fromByteOffset: 8 * index, as: UInt64.self) & ~Self.accessedAndDirty
      if entry == 0 { continue }
      let address = guest | UInt64(index) << UInt64(12 + 9 * (level - 1))
      body(address, level, entry)
      if level == 1 || entry & Self.isLargePage != 0 || !pool.owns(pageAt: entry & Self.addressMask) { continue }
      forEachEntry(in: pool.page(at: entry & Self.addressMask), of: address, level: level - 1, body)
    }
  }

  /// The table of `level` that translates `guest`, made if it is not there, and split out of a large page if one is.
  private mutating func table(for guest: UInt64, level target: Int) throws(EPTError) -> UnsafeMutableRawPointer {
    var table = root.pointer
    for level in stride(from: 4, to: target, by: -1) {
      let entry = Self.entry(in: table, for: guest, level: level)
      let old = entry.pointee
      if old & EPTPermissions.all.rawValue == 0 || old & Self.isLargePage != 0 {
        guard let page = pool.allocate() else { throw .outOfPages }
        if old & Self.isLargePage != 0 { Self.split(old, into: page.pointer) }
        entry.pointee = page.address.rawValue | EPTPermissions.all.rawValue
      }
      table = pool.page(at: entry.pointee & Self.addressMask)
    }
    return table
  }

  /// Fills `table` with the 512 small pages that the 2 MiB page of `entry` consists of.
  private static func split(_ entry: UInt64, into table: UnsafeMutableRawPointer) {
    for index in 0..<512 {
      table.storeBytes(
        of: (entry & ~isLargePage) + UInt64(index) * page, toByteOffset: 8 * index, as: UInt64.self)
    }
  }

  private func check(_ range: Range<UInt64>, _ physical: UInt64) throws(EPTError) {
    guard (range.lowerBound | range.upperBound | physical) & (Self.page - 1) == 0 else { throw .misaligned }
    guard range.upperBound <= 1 << Self.addressWidth else { throw .beyondAddressWidth }
  }

  private static func entry(
    in table: UnsafeMutableRawPointer, for address: UInt64, level: Int
  ) -> UnsafeMutablePointer<UInt64> {
    let index = Int(truncatingIfNeeded: address >> UInt64(12 + 9 * (level - 1)) & 511)
    return (table + 8 * index).assumingMemoryBound(to: UInt64.self)
  }

  private static var page: UInt64 { 1 << 12 }
  private static var largePage: UInt64 { 1 << 21 }
  private static var isLargePage: UInt64 { 1 << 7 }
  private static var addressWidth: UInt64 { 48 }
  private static var accessedAndDirty: UInt64 { 1 << 8 | 1 << 9 }
  private static var addressMask: UInt64 { 0x000F_FFFF_FFFF_F000 }
}
