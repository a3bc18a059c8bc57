import ProcessorModel
import Testing
import VMCS

@testable import VMX

/// Extended page tables in a model's memory, and what they ought to say: one entry for each page of 4 KiB.
private struct EPTFixture: ~Copyable {
  struct Mapping: Equatable {
    var physical: UInt64
    var permissions: UInt64
  }

  let memory = ModelMemory()
  var tables: ExtendedPageTables
  var expected: [UInt64: Mapping] = [:]

  init(pages: Int, capabilities: UInt64 = 0xF01_0673_4141) throws {
    let (pointer, address) = memory.allocatePages(pages)
    guard
      let tables = ExtendedPageTables(
        in: PagePool(pointer, at: address, count: pages), capabilities: IA32VMXEPTVPIDCAP(rawValue: capabilities))
    else { throw EPTError.outOfPages }
    self.tables = tables
  }

  /// Walks the tables in memory as the processor does, without regard to how they were made.
  func walk(_ address: UInt64) -> (mapping: Mapping, memoryType: UInt64, level: Int)? {
    var table = tables.pointer.rawValue & ~0xFFF
    for level in [4, 3, 2, 1] {
      let shift = UInt64(12 + 9 * (level - 1))
      let entry = memory.load(PhysicalAddress(table + (address >> shift & 511) * 8), as: UInt64.self)
      if entry & 7 == 0 { return nil }
      if level == 1 || entry & 0x80 != 0 {
        let offset = address & (1 << shift - 1)
        return (Mapping(physical: entry & 0xF_FFFF_FFFF_F000 &+ offset, permissions: entry & 7), entry >> 3 & 7, level)
      }
      if entry & 0xF8 != 0 { return nil }
      table = entry & 0xF_FFFF_FFFF_F000
    }
    return nil
  }

  func matches(_ page: UInt64) -> Bool {
    let walked = walk(page | 0xABC)?.mapping
    let found = tables.translation(of: page | 0xABC)
    let translation = found.map { Mapping(physical: $0.physical.rawValue, permissions: $0.permissions.rawValue) }
    let wanted = expected[page].map { Mapping(physical: $0.physical | 0xABC, permissions: $0.permissions) }
    return walked == wanted && translation == wanted
  }
}

@Suite("Extended page tables") struct ExtendedPageTablesTests {
  private static let page: UInt64 = 4096
  private static let largePage: UInt64 = 2 << 20
  /// Where large pages, and the tables of each level, meet.
  private static let places: [UInt64] = [0, 2 << 20, 1 << 30, 4 << 30, 512 << 30, 1 << 48]
  /// Pages of which the translations are compared: those around the places.
  private static let window: UInt64 = 1100 * 4096

  private static func windowPages(_ place: UInt64) -> StrideTo<UInt64> {
    stride(from: place > window ? place - window : 0, to: min(place + window, 1 << 48), by: 4096)
  }

  @Test(
    "F11 map, unmap and translate agree with a dictionary, whatever is done in whatever order",
    arguments: 0..<12 as Range<UInt64>)
  func property(_ seed: UInt64) throws {
    var numbers = SeededNumbers(state: seed)
    // Every other one is on a processor without pages of 2 MiB.
    let capabilities: UInt64 = seed & 1 == 0 ? 0xF01_0673_4141 : 0xF01_0613_4141 & ~(1 << 16)
    var fixture = try EPTFixture(pages: 600, capabilities: capabilities)
    for step in 0..<30 {
      let place = Self.places[Int(numbers.next() % 6)]
      let isAligned = numbers.next() & 1 == 0
      let unit = isAligned ? Self.largePage : Self.page
      let low = place > Self.window ? place - Self.window : 0
      let start = min((low + numbers.next() % (2 * Self.window)) / unit * unit, (1 << 48) - Self.largePage)
      let count = isAligned ? 512 : numbers.next() & 1 == 0 ? numbers.next() % 8 : numbers.next() % 700
      let range = start..<min(start + count * Self.page, 1 << 48)
      let generation = fixture.tables.generation
      let wasMapped = stride(from: range.lowerBound, to: range.upperBound, by: 4096).contains {
        fixture.expected[$0] != nil
      }
      if count < 8 {
        // As for a page that is touched for the first time.
        for page in stride(from: range.lowerBound, to: range.upperBound, by: 4096) {
          let isNew = try fixture.tables.mapIfAbsent(page, to: PhysicalAddress(0x7000_0000 + page % 0x1000_0000))
          #expect(isNew == (fixture.expected[page] == nil))
          if isNew { fixture.expected[page] = .init(physical: 0x7000_0000 + page % 0x1000_0000, permissions: 7) }
        }
        let newGeneration = fixture.tables.generation
        #expect(newGeneration == generation)
        continue
      }
      if numbers.next() % 3 == 0 {
        try fixture.tables.unmap(range)
        for page in stride(from: range.lowerBound, to: range.upperBound, by: 4096) { fixture.expected[page] = nil }
      } else {
        let physical = 0x1_0000_0000 + numbers.next() % 0x1000 * (numbers.next() & 1 == 0 ? Self.largePage : Self.page)
        let permissions = numbers.next() % 7 + 1
        let largePages = numbers.next() & 1 == 0
        try fixture.tables.map(
          range, to: PhysicalAddress(physical), permissions: EPTPermissions(rawValue: permissions),
          largePages: largePages)
        for page in stride(from: range.lowerBound, to: range.upperBound, by: 4096) {
          fixture.expected[page] = .init(physical: physical + (page - range.lowerBound), permissions: permissions)
        }
      }
      let newGeneration = fixture.tables.generation
      if wasMapped { #expect(newGeneration > generation, "step \(step): a TLB may hold what was there") }
      for checked in [place] + Self.places.shuffled(using: &numbers).prefix(1) {
        for page in Self.windowPages(checked) where !fixture.matches(page) {
          Issue.record("seed \(seed), step \(step), page \(page)")
          return
        }
      }
    }
  }

  @Test("A large page is used where guest and physical address allow it, and nowhere else")
  func largePages() throws {
    for (guest, physical, count, level) in [
      (0, 0x20_0000, 512, 2), (0, 0x20_0000, 511, 1), (0x1000, 0x20_1000, 512, 1), (0, 0x1000, 512, 1),
      (0x20_0000, 0x4000_0000, 1024, 2),
    ] as [(UInt64, UInt64, UInt64, Int)] {
      var fixture = try EPTFixture(pages: 10)
      try fixture.tables.map(guest..<guest + count * 4096, to: PhysicalAddress(physical))
      let walked = fixture.walk(guest)
      #expect(walked?.level == level && walked?.mapping.physical == physical && walked?.memoryType == 6)
    }
    var fixture = try EPTFixture(pages: 10)
    try fixture.tables.map(0..<0x20_0000, to: PhysicalAddress(0), memoryType: .uncacheable, largePages: false)
    let walked = fixture.walk(0x1F_F000)
    #expect(walked?.level == 1 && walked?.memoryType == 0)
  }

  @Test("F11 a split keeps the translation of every page, and the memory type")
  func split() throws {
    var fixture = try EPTFixture(pages: 10)
    try fixture.tables.map(0..<0x40_0000, to: PhysicalAddress(0x8000_0000), permissions: [.read, .execute])
    try fixture.tables.unmap(0x1_3000..<0x1_4000)
    for page in stride(from: 0 as UInt64, to: 0x40_0000, by: 4096) {
      let walked = fixture.walk(page)
      guard page != 0x1_3000 else {
        #expect(walked == nil)
        continue
      }
      #expect(walked?.mapping == .init(physical: 0x8000_0000 + page, permissions: 5) && walked?.memoryType == 6)
      #expect(walked?.level == (page < 0x20_0000 ? 1 : 2))
    }
  }

  @Test("F11 an unmap for which memory runs out still makes the generation grow")
  func unmapWithoutMemory() throws {
    // Root, two levels, one table of small pages; none for a split.
    var fixture = try EPTFixture(pages: 4)
    try fixture.tables.map(0x1F_F000..<0x20_0000, to: PhysicalAddress(0x1000))
    try fixture.tables.map(0x20_0000..<0x40_0000, to: PhysicalAddress(0x20_0000))
    let generation = fixture.tables.generation
    var error: EPTError?
    do throws(EPTError) {
      try fixture.tables.unmap(0x1F_F000..<0x20_1000)
    } catch let thrown { error = thrown }
    #expect(error == .outOfPages)
    let isGone = fixture.walk(0x1F_F000) == nil
    let newGeneration = fixture.tables.generation
    #expect(isGone && newGeneration > generation)
  }

  @Test("A first mapping needs no INVEPT, since no TLB keeps what is not present")
  func firstMapping() throws {
    var fixture = try EPTFixture(pages: 10)
    try fixture.tables.map(0..<0x1000, to: PhysicalAddress(0x1000))
    let generation = fixture.tables.generation
    #expect(generation == 0)
  }

  @Test("Ranges that are misaligned or too high are refused, and change nothing")
  func errors() throws {
    for (start, end, physical, expected) in [
      (1, 0x1000, 0, .misaligned), (0, 0xFFF, 0, .misaligned), (0, 0x1000, 0x800, .misaligned),
      (0, 1 << 48 + 0x1000, 0, .beyondAddressWidth), (1 << 52, 1 << 52 + 0x1000, 0, .beyondAddressWidth),
    ] as [(UInt64, UInt64, UInt64, EPTError)] {
      var fixture = try EPTFixture(pages: 10)
      var errors: [EPTError] = []
      do throws(EPTError) {
        try fixture.tables.map(start..<end, to: PhysicalAddress(physical))
      } catch { errors.append(error) }
      #expect(errors == [expected])
      let isMapped = fixture.walk(0) != nil
      #expect(!isMapped)
    }
    var fixture = try EPTFixture(pages: 3)
    var error: EPTError?
    do throws(EPTError) {
      try fixture.tables.map(0..<0x1000, to: PhysicalAddress(0))
    } catch let thrown { error = thrown }
    #expect(error == .outOfPages)
    for address in [1 << 48, ~0] as [UInt64] {
      let found = fixture.tables.translation(of: address) != nil
      #expect(!found)
    }
  }

  @Test(
    "The EPT pointer is the root, write-back, four levels, and A/D flags where the processor has them",
    arguments: [true, false])
  func pointer(hasFlags: Bool) throws {
    let fixture = try EPTFixture(pages: 1, capabilities: hasFlags ? 0xF01_0673_4141 : 0xF01_0613_4141 & ~(1 << 21))
    let pointer = fixture.tables.pointer.rawValue
    #expect(pointer & 0xFFF == (hasFlags ? 0x5E : 0x1E) && pointer & ~0xFFF == 0x10_0000)
  }

  @Test("Every entry is found, with where it begins, its level, and no accessed and dirty flags")
  func entries() throws {
    var fixture = try EPTFixture(pages: 8)
    try fixture.tables.map(0..<2 * Self.largePage, to: PhysicalAddress(0x4000_0000))
    try fixture.tables.map(0xFEE0_0000..<0xFEE0_1000, to: PhysicalAddress(0x1000), permissions: [.read, .write])
    let root = fixture.tables.pointer.rawValue & ~0xFFF
    let pointer = try #require(fixture.memory.pointer(to: PhysicalAddress(root), byteCount: 4 * 4096))
    // Flags of the root's first entry and of the first large page's, and an entry that leads out of the pool.
    for (quadword, bits) in [(0, 1 << 8), (1024, 1 << 8 | 1 << 9), (511, 0x7F_FFFF_F007)] as [(Int, UInt64)] {
      let entry = pointer.load(fromByteOffset: 8 * quadword, as: UInt64.self)
      pointer.storeBytes(of: entry | bits, toByteOffset: 8 * quadword, as: UInt64.self)
    }
    var found: [[UInt64]] = []
    fixture.tables.forEachEntry { found.append([$0, UInt64($1), $2]) }
    let tables = (1...4).map { root + UInt64($0) << 12 | 7 }
    #expect(
      found == [
        [0, 4, tables[0]], [0, 3, tables[1]], [0, 2, 0x4000_00B7], [Self.largePage, 2, 0x4020_00B7],
        [0xC000_0000, 3, tables[2]], [0xFEE0_0000, 2, tables[3]], [0xFEE0_0000, 1, 0x1033],
        [511 << 39, 4, 0x7F_FFFF_F007],
      ])
  }
}

@Suite struct PagePoolTests {
  @Test("Pages are handed out once, in order, filled with zeros")
  func pages() throws {
    let memory = ModelMemory()
    defer { withExtendedLifetime(memory) {} }
    let (pointer, address) = memory.allocatePages(4)
    pointer.initializeMemory(as: UInt8.self, repeating: 0xFF, count: 4 * 4096)
    var pool = PagePool(pointer, at: address, count: 4)
    let allocated = pool.allocate()
    let first = try #require(allocated)
    #expect(first.pointer == pointer && first.address.rawValue == address.rawValue)
    #expect(UnsafeRawBufferPointer(start: first.pointer, count: 4096).allSatisfy { $0 == 0 })
    #expect(pointer.load(fromByteOffset: 4096, as: UInt8.self) == 0xFF)
    var rest = pool.takeRest()
    let (left, remaining) = (pool.remaining, rest.remaining)
    #expect(left == 0 && remaining == 3)
    let isEmpty = pool.allocate() == nil
    #expect(isEmpty)
    for index in 1...3 {
      let allocated = rest.allocate()
      let page = try #require(allocated)
      #expect(page.address.rawValue == address.rawValue + UInt64(4096 * index))
    }
    let isUsedUp = rest.allocate() == nil
    #expect(isUsedUp)
  }
}
