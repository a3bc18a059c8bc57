import VMCS

/// The bits that paging-structure entries of every mode have (SDM, "Paging", the tables of the formats of entries).
enum PagingEntry {
  static var present: UInt64 { 1 << 0 }
  static var writable: UInt64 { 1 << 1 }
  static var userMode: UInt64 { 1 << 2 }
  static var accessed: UInt64 { 1 << 5 }
  static var dirty: UInt64 { 1 << 6 }
  static var pageSize: UInt64 { 1 << 7 }
  static var executeDisable: UInt64 { 1 << 63 }

  static func protectionKey(of entry: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: entry >> 59 & 0xF) }
}

/// The access rights that all entries of a walk have together.
struct PageRights {
  var isWritable = true
  var isUserMode = true
  var isExecutable = true

  /// Takes away what `entry` does not allow.
  mutating func restrict(by entry: UInt64) {
    isWritable = isWritable && entry & PagingEntry.writable != 0
    isUserMode = isUserMode && entry & PagingEntry.userMode != 0
    isExecutable = isExecutable && entry & PagingEntry.executeDisable == 0
  }
}

/// The paging structures of one paging mode: how many levels, how wide the entries, which of their bits are reserved.
///
/// Level 1 is the page table, 2 the page directory, 3 the page-directory-pointer table, 4 PML4, 5 PML5.
struct PagingStructures {
  /// The level of the first table.
  let levels: Int
  /// CR3, or with PAE paging the PDPTE registers, where the walk begins below them.
  private let root: UInt64
  private let pdptes: InlineArray<4, UInt64>?
  /// Whether an entry has 8 bytes and a table 512 of them, otherwise 4 and 1,024.
  let isWide: Bool
  /// Whether bit 7 of an entry of level 2 makes it map a page.
  private let hasLargePages: Bool
  private let has1GBPages: Bool
  private let physicalAddressWidth: UInt64
  /// Bits that are reserved in every entry but a PDPTE register.
  private let alwaysReserved: UInt64

  init(_ state: LinearAddressTranslation) {
    isWide = state.cr4.pae
    let usesPDPTEs = isWide && !state.efer.lma
    pdptes = usesPDPTEs ? state.pdptes : nil
    levels = !isWide || usesPDPTEs ? 2 : state.cr4.la57 ? 5 : 4
    root = state.cr3
    hasLargePages = isWide || state.cr4.pse
    has1GBPages = state.has1GBPages
    physicalAddressWidth = UInt64(min(max(state.physicalAddressWidth, 32), 52))
    let beyondWidth = Self.addressMask & ~0 << physicalAddressWidth
    let beyondAddress: UInt64 = usesPDPTEs ? 0x7FF0_0000_0000_0000 : 0
    alwaysReserved =
      isWide ? beyondWidth | beyondAddress | (state.efer.nxe ? 0 : PagingEntry.executeDisable) : 0
  }

  /// The first table for `address`; nil if the PDPTE register for it is not present.
  func root(for address: UInt64) -> UInt64? {
    guard let pdptes else { return root & (isWide ? Self.addressMask : 0xFFFF_F000) }
    let pdpte = pdptes[Int(address >> 30 & 3)]
    return pdpte & PagingEntry.present == 0 ? nil : pdpte & Self.addressMask
  }

  /// How many bits of a linear address an entry of `level` leaves to what it refers to.
  func offsetWidth(level: Int) -> UInt64 { 12 + UInt64(level - 1) * (isWide ? 9 : 10) }

  /// The entry at `location`; nil if there is no memory.
  func load<Memory: GuestPhysicalMemory>(_ location: UInt64, in memory: Memory) -> UInt64? {
    isWide ? memory.load(location, as: UInt64.self) : memory.load(location, as: UInt32.self).map { UInt64($0) }
  }

  /// Whether `entry` maps a page and not a table.
  func mapsPage(_ entry: UInt64, level: Int) -> Bool {
    switch level {
    case 1: true
    case 2: hasLargePages && entry & PagingEntry.pageSize != 0
    case 3: has1GBPages && entry & PagingEntry.pageSize != 0
    default: false
    }
  }

  /// The bits that have to be 0 in `entry`.
  func reserved(_ entry: UInt64, level: Int, isPage: Bool) -> UInt64 {
    switch level {
    case 1: alwaysReserved
    case 2 where isPage && isWide, 3 where isPage:
      alwaysReserved | ((1 << offsetWidth(level: level)) - (1 << 13))
    // Bits 20:13 are the address's bits 39:32, as far as it has them.
    case 2 where isPage: 0x3F_E000 & ~(((1 << (min(physicalAddressWidth, 40) - 32)) - 1) << 13)
    case 2: alwaysReserved
    default: alwaysReserved | PagingEntry.pageSize
    }
  }

  /// Where the page of `entry` has the byte that `address` refers to.
  func pageAddress(_ entry: UInt64, level: Int, of address: UInt64) -> UInt64 {
    let offset = (UInt64(1) << offsetWidth(level: level)) - 1
    if isWide || level == 1 { return entry & Self.addressMask & ~offset | address & offset }
    return entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32 | address & offset
  }

  static var addressMask: UInt64 { 0x000F_FFFF_FFFF_F000 }
}

/// A walk through paging structures, and what has been gathered on the way.
struct PagingWalk {
  private let structures: PagingStructures
  /// The level of the table that is looked into next.
  private(set) var level: Int
  /// The rights of all entries so far.
  private(set) var rights = PageRights()
  private var table: UInt64
  /// The entries so far, by level.
  private var locations: InlineArray<6, UInt64> = .init(repeating: 0)
  private var entries: InlineArray<6, UInt64> = .init(repeating: 0)

  init(_ structures: PagingStructures, from table: UInt64) {
    self.structures = structures
    self.table = table
    level = structures.levels
  }

  /// The guest-physical address of the entry for `address` in the next table.
  func location(of address: UInt64) -> UInt64 {
    let index = address >> structures.offsetWidth(level: level)
    return structures.isWide ? table + (index & 511) * 8 : table + (index & 1023) * 4
  }

  /// Goes one level down.
  mutating func descend(through entry: UInt64, at location: UInt64) {
    locations[level] = location
    entries[level] = entry
    rights.restrict(by: entry)
    table = entry & PagingStructures.addressMask
    level -= 1
  }

  /// Sets the accessed flag of every entry of the walk, and the last one's dirty flag for a write.
  ///
  /// Other processors use and change the entries meanwhile, so each is changed by a locked access (SDM, "Automatic
  /// Locking"), the one that maps the page last.
  ///
  /// - Returns: false if an entry is not what the walk has found any more; it is left as it is.
  func setFlags<Memory: GuestPhysicalMemory>(isWrite: Bool, in memory: Memory) -> Bool {
    var level = structures.levels
    while level > self.level {
      let isPage = level == self.level + 1
      let entry = entries[level]
      let new = entry | PagingEntry.accessed | (isWrite && isPage ? PagingEntry.dirty : 0)
      if new != entry,
        !memory.replace(entry, with: new, byteCount: structures.isWide ? 8 : 4, at: locations[level])
      {
        return false
      }
      level -= 1
    }
    return true
  }
}
