import Testing
import VMCS

@testable import VMX

/// The paging modes, as the registers that choose them.
enum PagingMode: String, CaseIterable, Sendable {
  case none, bits32, pae, fourLevel, fiveLevel

  var state: LinearAddressTranslation {
    var cr0 = CR0(rawValue: 0x11)
    var cr4 = CR4(rawValue: 0)
    var efer = IA32EFER(rawValue: 0)
    cr0.pg = self != .none
    cr4.pae = self != .none && self != .bits32
    cr4.la57 = self == .fiveLevel
    efer.lma = self == .fourLevel || self == .fiveLevel
    efer.lme = efer.lma
    return LinearAddressTranslation(
      cr0: cr0, cr3: 0x1000, cr4: cr4, efer: efer, isUserMode: false, alignmentCheck: false, physicalAddressWidth: 40,
      has1GBPages: true)
  }
}

/// A change of state or entries, an access, and the error code of the page fault; nil if it is allowed.
struct AccessRow: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var entry: UInt64
  var access: LinearAccess
  var fault: UInt32?
  var change: @Sendable (inout LinearAddressTranslation) -> Void

  init(
    _ name: String, _ entry: UInt64, _ access: LinearAccess, _ fault: UInt32?,
    change: @escaping @Sendable (inout LinearAddressTranslation) -> Void = { _ in }
  ) {
    testDescription = name
    self.entry = entry
    self.access = access
    self.fault = fault
    self.change = change
  }

  private static let supervisor: UInt64 = 0x3
  private static let readOnly: UInt64 = 0x1
  private static let user: UInt64 = 0x7
  private static let userReadOnly: UInt64 = 0x5
  private static let noExecute: UInt64 = 1 << 63 | 0x7

  /// The page table entry of a 4-level walk whose other entries allow everything.
  static let all: [AccessRow] = [
    .init("not present", 0x6, .read, 0), .init("not present, write", 0x6, .write, 2),
    .init("not present, user", 0x6, .read, 4) { $0.isUserMode = true },
    .init("supervisor reads supervisor", supervisor, .read, nil),
    .init("supervisor writes supervisor", supervisor, .write, nil),
    .init("supervisor writes read-only, WP 0", readOnly, .write, nil),
    .init("supervisor writes read-only, WP 1", readOnly, .write, 3) { $0.cr0.wp = true },
    .init("supervisor writes user", user, .write, nil),
    .init("supervisor reads user, SMAP", user, .read, 1) { $0.cr4.smap = true },
    .init("supervisor writes user, SMAP", user, .write, 3) { $0.cr4.smap = true },
    .init("supervisor reads user, SMAP, AC", user, .read, nil) {
      $0.cr4.smap = true
      $0.alignmentCheck = true
    },
    .init("supervisor reads supervisor, SMAP", supervisor, .read, nil) { $0.cr4.smap = true },
    .init("user reads supervisor", supervisor, .read, 5) { $0.isUserMode = true },
    .init("user writes supervisor", supervisor, .write, 7) { $0.isUserMode = true },
    .init("user reads user", user, .read, nil) { $0.isUserMode = true },
    .init("user reads user, SMAP", user, .read, nil) {
      $0.isUserMode = true
      $0.cr4.smap = true
    },
    .init("user writes user", user, .write, nil) { $0.isUserMode = true },
    .init("user writes read-only, WP 0", userReadOnly, .write, 7) { $0.isUserMode = true },
    .init("fetch", user, .fetch, nil),
    .init("fetch of user, SMEP", user, .fetch, 0x11) { $0.cr4.smep = true },
    .init("fetch of supervisor, SMEP", supervisor, .fetch, nil) { $0.cr4.smep = true },
    .init("fetch, execute-disable", noExecute, .fetch, 0x11) { $0.efer.nxe = true },
    .init("user fetch, execute-disable", noExecute, .fetch, 0x15) {
      $0.efer.nxe = true
      $0.isUserMode = true
    },
    .init("user fetch of supervisor, no NXE, no SMEP", supervisor, .fetch, 5) { $0.isUserMode = true },
    .init("read, execute-disable", noExecute, .read, nil) { $0.efer.nxe = true },
    .init("XD is reserved without NXE", noExecute, .read, 9),
    .init("bit beyond the address width", user | 1 << 40, .write, 0xB),
    .init("bit below the address width", user | 1 << 39, .write, nil),
    .init("ignored bits", user | 0x7FF << 52, .read, nil),
    .init("key 5 denies access", user | 5 << 59, .read, 0x21) {
      $0.cr4.pke = true
      $0.pkru = 1 << 10
    },
    .init("key 5 denies access, but PKE is 0", user | 5 << 59, .read, nil) { $0.pkru = 1 << 10 },
    .init("key 5 denies access to user addresses only", supervisor | 5 << 59, .read, nil) {
      $0.cr4.pke = true
      $0.pkru = 1 << 10
    },
    .init("key 5 denies access, not fetches", user | 5 << 59, .fetch, nil) {
      $0.cr4.pke = true
      $0.pkru = 1 << 10
    },
    .init("key 5 denies writes, WP 0", user | 5 << 59, .write, nil) {
      $0.cr4.pke = true
      $0.pkru = 1 << 11
    },
    .init("key 5 denies writes, WP 1", user | 5 << 59, .write, 0x23) {
      $0.cr4.pke = true
      $0.cr0.wp = true
      $0.pkru = 1 << 11
    },
    .init("key 5 denies writes of user mode", user | 5 << 59, .write, 0x27) {
      $0.cr4.pke = true
      $0.isUserMode = true
      $0.pkru = 1 << 11
    },
  ]
}

@Suite struct LinearAddressTranslationTests {
  @Test("Access rights, and accessed and dirty flags", arguments: AccessRow.all)
  func rights(_ row: AccessRow) {
    let memory = FlatMemory(byteCount: 0x10000)
    let chain: [(UInt64, UInt64)] = [
      (0x1000, 0x2007), (0x2000, 0x3007), (0x3000, 0x4007), (0x4000, row.entry | 0x5000),
    ]
    for (address, entry) in chain { #expect(memory.store(entry, at: address)) }
    var state = PagingMode.fourLevel.state
    row.change(&state)

    let result = state.translate(0x123, for: row.access, in: memory)
    let page = (row.entry & 1 << 39) + 0x5123
    #expect(result == row.fault.map { .pageFault(PageFaultErrorCode(rawValue: $0)) } ?? .address(page))
    for (index, (address, entry)) in chain.enumerated() {
      let flags: UInt64 = row.fault != nil ? 0 : index == 3 && row.access == .write ? 0x60 : 0x20
      #expect(memory.load(address, as: UInt64.self) == entry | flags)
    }
  }

  /// What another processor makes of a page-table entry as soon as the walk has loaded it, and what comes of a write.
  static let changes: [(from: UInt64, to: UInt64, LinearTranslation, after: UInt64)] = [
    (0x5007, 0, .pageFault(PageFaultErrorCode(rawValue: 2)), 0),
    (0x5007, 0x5005, .pageFault(PageFaultErrorCode(rawValue: 3)), 0x5005),
    (0x5007, 0x5067, .address(0x5123), 0x5067), (0x5007, 0x6007, .address(0x6123), 0x6067),
    (0x5007, 1 << 62 | 0x5007, .address(0x5123), 1 << 62 | 0x5067),
  ]

  @Test("An entry that another processor changes during the walk is not overwritten", arguments: [false, true], 0..<5)
  func changedEntries(isWide: Bool, row: Int) {
    let (from, to, result, after) = Self.changes[row]
    let memory = FlatMemory(byteCount: 0x10000)
    var state = (isWide ? PagingMode.fourLevel : .bits32).state
    state.cr0.wp = true
    let low: UInt64 = 0xFFFF_FFFF
    let store: (UInt64, UInt64) -> Void = { entry, address in
      if isWide { _ = memory.store(entry, at: address) } else { _ = memory.store(UInt32(entry & low), at: address) }
    }
    store(isWide ? 0x2027 : 0x4027, 0x1000)
    store(0x3027, 0x2000)
    store(0x4027, 0x3000)
    // What lies behind an entry of four bytes stays, too.
    let leaf: UInt64 = 0x4000
    _ = memory.store(~0 as UInt64, at: leaf)
    store(from, leaf)
    memory.afterLoad = { memory, address in
      guard address == leaf else { return }
      memory.afterLoad = nil
      store(to, leaf)
    }
    #expect(state.translate(0x123, for: .write, in: memory) == result)
    #expect(memory.load(leaf, as: UInt64.self) == (isWide ? after : after & low | ~low))
  }

  @Test(
    "A processor that changes entries without end does not keep the host in a walk",
    arguments: [0x1000, 0x4000] as [UInt64])
  func restlessEntries(restless: UInt64) {
    let memory = FlatMemory(byteCount: 0x10000)
    for table in 1...4 as ClosedRange<UInt64> { _ = memory.store((table + 1) << 12 | 7, at: table << 12) }
    var changes: UInt64 = 0
    memory.afterLoad = { memory, address in
      guard address == restless else { return }
      changes += 1
      _ = memory.store((restless >> 12 + 1) << 12 | 7 | changes << 52, at: address)
    }
    #expect(PagingMode.fourLevel.state.translate(0x123, for: .write, in: memory) == .changed)
    memory.afterLoad = nil
    #expect(changes == 64 && memory.load(restless, as: UInt64.self).map { $0 & 0x60 } == 0)
  }

  @Test(
    "Sizes of pages, and where the parts of an address come from",
    arguments: [
      (.none, 0xFFFF_F123_4567_89AB, [], 0x4567_89AB),
      (.bits32, 0x0040_2ABC, [(0x1004, 0x2001), (0x2008, 0xABCD_E001)], 0xABCD_EABC),
      (.bits32, 0x0071_2ABC, [(0x1004, 0xFFC1_E081)], 0x0F_FFF1_2ABC),
      (.pae, 0xC040_2ABC, [(0x3010, 0x4001), (0x4010, 0xAB_CDEF_1001)], 0xAB_CDEF_1ABC),
      (.pae, 0xC051_2ABC, [(0x3010, 0xAB_CDE0_0081)], 0xAB_CDF1_2ABC),
      (
        .fourLevel, 0xFFFF_8080_4060_1ABC, [(0x1808, 0x2001), (0x2008, 0x3001), (0x3018, 0x4001), (0x4008, 0x9001)],
        0x9ABC
      ),
      (
        .fourLevel, 0x0000_0080_4061_2ABC, [(0x1008, 0x2001), (0x2008, 0x3001), (0x3018, 0xAB_CDE0_1081)],
        0xAB_CDE1_2ABC
      ),
      (.fourLevel, 0x0000_0080_7FF1_2ABC, [(0x1008, 0x2001), (0x2008, 0xAB_C000_1081)], 0xAB_FFF1_2ABC),
      (
        .fiveLevel, 0x0001_0080_4060_1ABC,
        [(0x1008, 0x5001), (0x5008, 0x2001), (0x2008, 0x3001), (0x3018, 0x4001), (0x4008, 0x9001)], 0x9ABC
      ),
    ] as [(PagingMode, UInt64, [(UInt64, UInt64)], UInt64)])
  func sizes(mode: PagingMode, linear: UInt64, entries: [(UInt64, UInt64)], physical: UInt64) {
    let memory = FlatMemory(byteCount: 0x10000)
    for (address, entry) in entries {
      if mode == .bits32 {
        #expect(memory.store(UInt32(entry), at: address))
      } else {
        #expect(memory.store(entry, at: address))
      }
    }
    var state = mode.state
    state.cr4.pse = true
    state.pdptes = [0, 0, 0, 0x3001]
    #expect(state.translate(linear, for: .read, in: memory) == .address(physical))
  }

  @Test("Every reserved bit of a large page", arguments: PagingMode.allCases.dropFirst())
  func reservedBits(mode: PagingMode) {
    let (address, linear): (UInt64, UInt64) = mode == .bits32 ? (0x1004, 0x40_0000) : (0x3008, 0x20_0000)
    // Bits 12 (PAT), 11:0 without P and PS are free; what the address has of 40 bits is too.
    let reserved: UInt64 =
      switch mode {
      case .bits32: 1 << 21
      case .pae: 0xFFFF_FF00_001F_E000
      default: 0x800F_FF00_001F_E000
      }
    for bit in 0..<(mode == .bits32 ? 32 : 64) as Range<UInt64> where bit != 0 && bit != 7 {
      let memory = FlatMemory(byteCount: 0x10000)
      // With PAE paging a PDPTE register refers to the directory at 0x3000.
      let tables: [(UInt64, UInt64)] =
        switch mode {
        case .fourLevel: [(0x1000, 0x2007), (0x2000, 0x3007)]
        case .fiveLevel: [(0x1000, 0x4007), (0x4000, 0x2007), (0x2000, 0x3007)]
        default: []
        }
      for (address, entry) in tables { #expect(memory.store(entry, at: address)) }
      #expect(memory.store((0x81 | UInt64(1) << bit), at: address))
      var state = mode.state
      state.cr4.pse = true
      state.pdptes = [0x3001, 0, 0, 0]
      let result = state.translate(linear, for: .read, in: memory)
      if reserved >> bit & 1 != 0 {
        #expect(result == .pageFault(PageFaultErrorCode(rawValue: 9)), "bit \(bit)")
      } else if case .address = result {
        continue
      } else {
        Issue.record("bit \(bit): \(result)")
      }
    }
  }

  @Test("Paging structures where there is no memory", arguments: PagingMode.allCases.dropFirst())
  func missing(mode: PagingMode) {
    var state = mode.state
    state.cr3 = 0x7_F000
    state.pdptes = [0x7_F001, 0, 0, 0]
    let size: UInt64 = mode == .bits32 ? 4 : 8
    let linear: UInt64 = mode == .bits32 ? 0x40_0000 : mode == .pae ? 0x20_0000 : 0x0001_0080_0000_0000
    let result = state.translate(linear, for: .read, in: FlatMemory(byteCount: 0x7_F000))
    #expect(result == .missingMemory(guestPhysicalAddress: 0x7_F000 + size))
  }

  @Test("An independent walk agrees on random structures", arguments: PagingMode.allCases, 0..<4 as Range<UInt64>)
  func agreesWithNaiveWalk(mode: PagingMode, seed: UInt64) {
    var random = SeededNumbers(state: seed &* 0x1234_5678_9ABC_DEF1 &+ UInt64(mode.hashValueOfName))
    let memory = FlatMemory(byteCount: 0x8000)
    var kinds: [String: Int] = [:]
    for round in 0..<1000 {
      if round % 8 == 0 { fill(memory, &random) }
      var state = mode.state
      randomize(&state, &random)
      let linear = random.next() & (random.next() % 4 == 0 ? ~0 : 0x0000_7FFF_FFFF_FFFF)
      let access = LinearAccess.allCases[Int(random.next() % 3)]
      let (answer, changes) = NaivePageWalk(state: state, memory: memory).walk(linear, access)
      var expected = memory.bytes
      for (address, entry) in changes { expected[Int(address)] |= UInt8(truncatingIfNeeded: entry) }

      let result = state.translate(linear, for: access, in: memory)
      switch (result, answer) {
      case (.address(let found), .address(let wanted)): #expect(found == wanted)
      case (.pageFault(let found), .fault(let wanted)): #expect(found.rawValue == wanted)
      case (.missingMemory(let found), .missing(let wanted)): #expect(found == wanted)
      default: Issue.record("\(result) \(answer) \(state) \(linear) \(access)")
      }
      #expect(memory.bytes == expected)
      let kind =
        switch answer {
        case .address: "address"
        case .fault(let code): "fault \(code)"
        case .missing: "missing"
        }
      kinds[kind, default: 0] += 1
    }
    let isVaried = kinds.count > 8 && kinds["address", default: 0] > 20
    #expect(isVaried || mode == .none, "the structures are too dull: \(kinds)")
  }

  /// Fills the memory with entries that are mostly present and mostly legal.
  private func fill(_ memory: FlatMemory, _ random: inout SeededNumbers) {
    for index in 0..<64 {
      var entry = (random.next() % 32 == 0 ? 8 : random.next() % 8) << 12 | 0x7 | random.next() & 0x60
      if random.next() % 24 == 0 { entry &= ~(1 << (random.next() % 3)) }
      if random.next() % 16 == 0 { entry |= 0x80 }
      if random.next() % 16 == 0 { entry |= 1 << (random.next() % 64) }
      if random.next() % 4 == 0 { entry |= random.next() & 0xF << 59 }
      // The walk finds these few entries wherever it goes, because it sees them repeated.
      for frame in 0..<8 {
        let address = UInt64(frame << 12 + index << 3)
        _ = memory.store(entry &+ UInt64(frame & 1) << 12, at: address)
      }
    }
    let pattern = Array(memory.bytes[0..<512])
    for start in stride(from: 512, to: memory.bytes.count, by: 512) where start & 0xFFF != 0 {
      memory.bytes.replaceSubrange(start..<start + 512, with: pattern)
    }
  }

  private func randomize(_ state: inout LinearAddressTranslation, _ random: inout SeededNumbers) {
    let bits = random.next()
    state.cr3 = random.next() % 8 << 12 | random.next() & 0xFFF
    state.cr0.wp = bits & 1 != 0
    state.cr4.pse = bits & 2 != 0
    state.cr4.smep = bits & 4 != 0
    state.cr4.smap = bits & 8 != 0
    state.cr4.pke = bits & 0x10 != 0
    state.efer.nxe = bits & 0x60 != 0
    state.isUserMode = bits & 0x80 != 0
    state.alignmentCheck = bits & 0x100 != 0
    state.has1GBPages = bits & 0x200 != 0
    state.pkru = UInt32(truncatingIfNeeded: bits >> 32) & UInt32(truncatingIfNeeded: random.next())
    state.physicalAddressWidth = UInt8([32, 36, 40, 46, 52][Int(random.next() % 5)])
    for index in 0..<4 { state.pdptes[index] = random.next() % 8 << 12 | (random.next() % 8 == 0 ? 0 : 1) }
  }
}

extension PagingMode {
  fileprivate var hashValueOfName: Int { rawValue.utf8.reduce(0) { $0 &* 31 &+ Int($1) } }
}
