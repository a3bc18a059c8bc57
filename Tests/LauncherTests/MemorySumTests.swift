import Glibc
import Testing

@testable import Launcher

/// A place of the host's memory, and whether `--check-memory` notices that it has changed.
struct HostMemoryPlace: Sendable, CustomTestStringConvertible {
  /// What an address is counted from.
  enum Start: Sendable {
    case zero
    /// A symbol of the image.
    case symbol(String)
    /// The first page of the pool that the host makes its tables of: it has the IDT.
    case pool
    /// The guest's memory.
    case guest
    /// A page of the pool.
    case table(Table)
  }

  /// What is in a page of the pool.
  enum Table: Sendable {
    case cpuid
    case msrBitmaps
    /// The extended page tables of a level.
    case ept(Int)
  }

  var testDescription: String
  var start: Start
  var offset: Int64
  /// The byte that Bochs' debugger writes there.
  var byte: UInt8 = 0x55

  static let guestMebibytes: UInt64 = 32

  static let covered: [HostMemoryPlace] = [
    .init(testDescription: "the first page, with the firmware's data", start: .zero, offset: 0x600),
    .init(testDescription: "low memory", start: .zero, offset: 0x20000),
    .init(testDescription: "the image's text: the multiboot header", start: .symbol("image_start"), offset: 4),
    .init(testDescription: "the image's constants", start: .symbol("constants_end"), offset: -1),
    .init(
      testDescription: "the GDT: the last processor's TSS descriptor", start: .symbol("gdt"), offset: 0x18 + 7 * 16),
    .init(testDescription: "the boot code's page tables", start: .symbol("boot_level2"), offset: 0x3FFF),
    .init(
      testDescription: "the stack of a processor that was not started", start: .symbol("processor_stacks"),
      offset: 0x1D000),
    .init(testDescription: "the IDT: vector 0x80", start: .pool, offset: 0x800),
    .init(
      testDescription: "the host's page tables: 1,022 MiB is not writable", start: .pool, offset: 0x3FF8, byte: 0x81),
    .init(testDescription: "CPUID: VMX", start: .table(.cpuid), offset: 24, byte: 0xFF),
    .init(testDescription: "CPUID: the APIC's neighbor", start: .table(.cpuid), offset: 29, byte: 0x00),
    .init(testDescription: "MSR bitmaps: 7FFH is read", start: .table(.msrBitmaps), offset: 0xFF, byte: 0x7F),
    .init(testDescription: "MSR bitmaps: 900H is read", start: .table(.msrBitmaps), offset: 0x120, byte: 0xFE),
    .init(testDescription: "MSR bitmaps: 7FFH is written", start: .table(.msrBitmaps), offset: 0x8FF, byte: 0x7F),
    .init(testDescription: "MSR bitmaps: 900H is written", start: .table(.msrBitmaps), offset: 0x920, byte: 0xFE),
    .init(testDescription: "EPT: 512 GiB has a table", start: .table(.ept(4)), offset: 8, byte: 0x07),
    .init(testDescription: "EPT: 4 GiB is mapped", start: .table(.ept(3)), offset: 4 * 8, byte: 0xB7),
    .init(testDescription: "EPT: 30 MiB may be read only", start: .table(.ept(2)), offset: 15 * 8, byte: 0xB1),
    .init(testDescription: "EPT: 30 MiB is elsewhere", start: .table(.ept(2)), offset: 15 * 8 + 3, byte: 0x01),
    .init(
      testDescription: "EPT: behind the guest's memory is a page", start: .table(.ept(2)), offset: 16 * 8, byte: 0xB7),
    .init(
      testDescription: "EPT: the table on the way to the local APIC is no table", start: .table(.ept(3)), offset: 3 * 8,
      byte: 0xB7),
    .init(testDescription: "a page that no table was made of", start: .guest, offset: -0x11000),
    .init(testDescription: "the guard below the guest's memory", start: .guest, offset: -1),
    .init(testDescription: "behind the guest's memory", start: .guest, offset: Int64(guestMebibytes) << 20),
    .init(testDescription: "free memory", start: .guest, offset: Int64(guestMebibytes) << 20 + 0x0167_8ABC),
  ]

  static let leftOut: [HostMemoryPlace] = [
    .init(testDescription: "the guest's first byte", start: .guest, offset: 0),
    .init(testDescription: "the guest's last byte", start: .guest, offset: Int64(guestMebibytes) << 20 - 1),
    .init(
      testDescription: "the host's page tables: 1,022 MiB was accessed", start: .pool, offset: 0x3FF8, byte: 0xA3),
    .init(testDescription: "MSR bitmaps: 800H is read", start: .table(.msrBitmaps), offset: 0x100),
    .init(testDescription: "MSR bitmaps: 8FFH is read", start: .table(.msrBitmaps), offset: 0x11F),
    .init(testDescription: "MSR bitmaps: 800H is written", start: .table(.msrBitmaps), offset: 0x900),
    .init(testDescription: "MSR bitmaps: 8FFH is written", start: .table(.msrBitmaps), offset: 0x91F),
    .init(testDescription: "EPT: 30 MiB was written", start: .table(.ept(2)), offset: 15 * 8 + 1, byte: 0x03),
    .init(testDescription: "a stack that is used", start: .symbol("processor_stacks"), offset: 0x1000),
    .init(testDescription: "behind the last variable", start: .symbol("image_end"), offset: -1),
  ]
}

/// The sum over the memory outside the guest notices what it has to, and only that.
///
/// The guest stops at a breakpoint, Bochs' debugger writes to the machine's memory, and the guest goes on. Needs what
/// `make image test-guests` makes. These start the emulator, so `make test` asks for them by SKEP_BOCHS_TESTS=1.
@Suite(
  "The sum over the host's memory, in Bochs",
  .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"), .serialized)
struct MemorySumTests {
  private let scratch: Scratch
  private let package: String

  init() throws {
    scratch = try Scratch()
    package = try Scratch.package()
  }

  private func run(_ commands: [String]) throws -> EmulatorRun {
    try EmulatorRun(
      package + "/build/test-guests/stop", "--check-memory --no-metered", mebibytes: HostMemoryPlace.guestMebibytes,
      commands: commands, in: scratch)
  }

  @Test("A byte that changes while the guest runs ends the run as a panic", arguments: HostMemoryPlace.covered)
  func notices(place: HostMemoryPlace) throws {
    let run = try run(["c", "setpmem \(try address(of: place)) 1 \(place.byte)", "c"])
    #expect(
      run.report == "skep: panic memory outside the guest has changed while the guest ran\nskep: end panic\n",
      "\(run.debugger)")
  }

  @Test("What is left out may change, and a byte may be written as it is")
  func ignores() throws {
    let changes = try HostMemoryPlace.leftOut.map { "setpmem \(try address(of: $0)) 1 \($0.byte)" }
    let magic = "setpmem \(try address(of: HostMemoryPlace.covered[2]) - 4) 1 0xD6"
    let run = try run(["c"] + changes + [magic, "c"])
    let notes = run.report.replacing(/was [0-9]+ ms/, with: "was … ms")
    #expect(
      notes == """
        skep: note memory outside the guest is unchanged
        skep: note the guest's time was … ms
        skep: end power-off

        """, "\(run.debugger)")
  }

  private func address(of place: HostMemoryPlace) throws -> UInt64 {
    switch place.start {
    case .zero: UInt64(place.offset)
    case .symbol(let name): try symbol(name) &+ UInt64(bitPattern: place.offset)
    case .pool: try Self.bases.get().pool &+ UInt64(bitPattern: place.offset)
    case .table(let table): try page(of: table) &+ UInt64(bitPattern: place.offset)
    case .guest: try Self.bases.get().guest &+ UInt64(bitPattern: place.offset)
    }
  }

  /// Where the IDT, at the pool's start, and the guest's memory are: IDTR at the first VM exit says the one, and where
  /// the guest's breakpoint is, linear and physical, the other.
  ///
  /// It is the same in every run.
  private static let bases = Result {
    let tests = try MemorySumTests()
    let run = try tests.run(["pb \(try tests.symbol("vmexit"))", "c", "sreg", "d 1", "c", "q"])
    let idtr = try #require(run.debugger.firstMatch(of: /idtr:base=0x([0-9a-f]+)/), "\(run.debugger)")
    let stop = try #require(
      run.debugger.firstMatch(of: /Magic breakpoint\nNext.*\n\(0\) \[0x([0-9a-f]+)\] 0008:([0-9a-f]+)/),
      "\(run.debugger)")
    return (pool: try number(idtr.1), guest: try number(stop.1) - number(stop.2))
  }

  /// Where the page is that begins as `table` does.
  private func page(of table: HostMemoryPlace.Table) throws -> UInt64 {
    let start: (mask: UInt64, value: UInt64) =
      switch table {
      // "Genu" in EBX
      case .cpuid: (~0 << 32, 0x756E_6547 << 32)
      // Of the first 64 MSRs only the time-stamp counter is read without an exit.
      case .msrBitmaps: (~0, ~(1 << 16))
      // The guest's first 2 MiB, write-back; then each table leads to the one of the next level.
      case .ept(2): (~0x300, try Self.bases.get().guest | 0xB7)
      case .ept(let level): (~0x300, try page(of: .ept(level - 1)) | 7)
      }
    let pages = try Self.pages.get().filter { $0.start & start.mask == start.value }
    try #require(pages.count == 1, "\(table): \(pages)")
    return pages[0].address
  }

  /// The pages at the pool's start, and the first quadword of each.
  private static let pages = Result {
    let pool = try bases.get().pool
    let commands = (0..<64 as Range<UInt64>).map { "xp /1gx \(pool + $0 << 12)" }
    let run = try MemorySumTests().run(["c"] + commands + ["q"])
    let pages = try run.debugger.matches(of: /0x([0-9a-f]+) <bogus\+ +0>:\s+0x([0-9a-f]+)/).map {
      (address: try number($0.1), start: try number($0.2))
    }
    try #require(pages.count == commands.count, "\(run.debugger)")
    return pages
  }

  private func symbol(_ name: String) throws -> UInt64 {
    let line = try scratch.shell("nm \(package)/build/skep.elf | grep -w '[A-Za-z] \(name)$'").output
    return try Self.number(line.prefix { $0 != " " })
  }

  private static func number(_ text: Substring) throws -> UInt64 {
    try #require(UInt64(text, radix: 16), "\(text)")
  }
}
