import Boot
import Host
import Machine
import VMCS
import VMX

/// A sum over all memory below 4 GiB that nobody is to change while the guest runs.
///
/// In it are the image's text, constants and data; the modules and the boot information; the stacks of processors that
/// were not started; the IDT; the host's page tables, but for their accessed and dirty flags; the APIC-access page; the
/// pages of the pool that no table was made of; the extended page tables, but for their accessed and dirty flags and the
/// way to the local APIC, unless the guest's memory is mapped when it is touched; the guard below the guest's memory; and
/// all that is free.
///
/// Left out are the guest's own memory; the pages that VMCSs and the devices' state were made of, and eight more for
/// tables that are made while the guest runs, or the whole pool if its memory is mapped when it is touched; the stacks of
/// the processors that run, and the page under each stack, which is not mapped; the last pages of the image, with the
/// variables through which processors are started and ended; and what the firmware has kept.
struct MemorySum {
  private let multiboot: Multiboot2
  private let pool: PoolUse
  private let changing: PageRanges
  private let start: PageSum

  /// Takes the sum.
  init(
    _ multiboot: Multiboot2, guest: Range<UInt64>, pool: PoolUse, tables: borrowing ExtendedPageTables,
    processorCount: Int
  ) {
    self.multiboot = multiboot
    self.pool = pool
    var changing = PageRanges()
    changing.append(guest)
    changing.append(pool.pages.lowerBound..<pool.changingEnd)
    for index in 0..<Int(MAXIMUM_PROCESSOR_COUNT) {
      let stack = address_of_processor_stacks() + UInt64(index) * UInt64(PROCESSOR_STACK_STRIDE)
      changing.append(stack..<stack + (index < processorCount ? UInt64(PROCESSOR_STACK_STRIDE) : 0x1000))
    }
    changing.append(address_of_processor_slots()..<address_of_image_end())
    self.changing = changing
    start = Self.sum(multiboot, pool, tables, changing)
  }

  /// Whether the sum is still the same.
  func isUnchanged(_ tables: borrowing ExtendedPageTables) -> Bool {
    Self.sum(multiboot, pool, tables, changing) == start
  }

  private static func sum(
    _ multiboot: Multiboot2, _ pool: PoolUse, _ tables: borrowing ExtendedPageTables, _ changing: PageRanges
  ) -> PageSum {
    var sum = PageSum()
    multiboot.forEachAvailableRange { range in
      sum.add(range.lowerBound..<min(range.upperBound, HostMemory.limit), without: changing, at: contents)
    }
    sum.add(pool.interruptDescriptorTable, at: contents)
    sum.add(pool.hostPageTables, ignoring: 1 << 5 | 1 << 6, at: contents)
    sum.add(pool.apicAccessPage, at: contents)
    if pool.areTablesComplete {
      tables.forEachEntry { address, level, entry in
        if isWayToLocalAPIC(address, level, entry, pool) { return }
        sum.add(address | UInt64(level))
        sum.add(entry)
      }
    }
    return sum
  }

  /// Whether an entry is what the guest's use of its local APIC may put there: a table of the pool, or the APIC-access
  /// page.
  private static func isWayToLocalAPIC(_ address: UInt64, _ level: Int, _ entry: UInt64, _ pool: PoolUse) -> Bool {
    guard level < 4, address == LocalAPIC.usualAddress & ~0 << UInt64(12 + 9 * (level - 1)) else { return false }
    let target = entry & ~0xFFF
    if level > 1 { return pool.pages.contains(target) && entry == target | EPTPermissions.all.rawValue }
    let permissions: EPTPermissions = [.read, .write]
    return pool.apicAccessPage.contains(target)
      && entry == target | permissions.rawValue | UInt64(EPTMemoryType.writeBack.rawValue) << 3
  }

  /// Not the address itself, since a pointer to the first page is nil.
  private static func contents(_ page: UInt64) -> UnsafeRawPointer {
    UnsafeRawPointer(pointer(to: page + 0x1000) - 0x1000)
  }
}

/// What the pages of the pool were used for.
struct PoolUse {
  /// All of them.
  let pages: Range<UInt64>
  /// What was built of them first: a page each, but for the page tables.
  let interruptDescriptorTable: Range<UInt64>
  let hostPageTables: Range<UInt64>
  var apicAccessPage: Range<UInt64> = 0..<0
  /// From here on no page changes.
  private(set) var changingEnd: UInt64
  /// Whether all of the guest's memory is in its extended page tables.
  private(set) var areTablesComplete = false

  /// Looks at `pool`, whose pages are `pages` and of which nothing was made but the host's IDT and page tables.
  init(_ pool: borrowing PagePool, of pages: Range<UInt64>) {
    self.pages = pages
    interruptDescriptorTable = pages.lowerBound..<pages.lowerBound + 0x1000
    hostPageTables = interruptDescriptorTable.upperBound..<pages.upperBound - UInt64(pool.remaining) << 12
    changingEnd = pages.upperBound
  }

  /// Takes note that `tables` has all of the guest's memory, and pages of the pool left, of which it will need only a few.
  mutating func leaveUnused(pagesOf tables: borrowing ExtendedPageTables) {
    changingEnd = pages.upperBound - UInt64(max(0, tables.remainingPages - 8)) << 12
    areTablesComplete = true
  }
}
