import Glibc
import Machine
import Testing

@Suite("SMBIOS tables")
struct SMBIOSTablesTests {
  /// A structure: its formatted area, and its texts.
  struct Structure {
    var bytes: [UInt8]
    var texts: [String]

    func integer(_ offset: Int, _ size: Int) -> UInt64 {
      bytes[offset..<offset + size].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
  }

  static func write(_ byteCount: UInt64, processors: Int) throws -> TestMemory {
    let ram = TestMemory(byteCount: byteCount)
    var platform = GuestPlatform(layout: ram.memory.layout, processorCount: processors)
    platform.hasAPICs = true
    platform.processorSignature = 0x0005_0654
    try #require(FirmwareTables.write(platform, to: ram.memory))
    return ram
  }

  /// The structures of a guest, found as an operating system finds them.
  static func structures(of ram: TestMemory) throws -> [Structure] {
    let rom = try #require(ram.bytes(at: 0xF0000, count: 0x10000))
    let place = try #require(
      stride(from: 0, to: rom.count, by: 16).first { rom[$0...].starts(with: Array("_SM_".utf8)) })
    let entry = Array(rom[place..<place + 31])
    #expect(entry.reduce(0, &+) == 0)
    #expect(entry[16...].starts(with: Array("_DMI_".utf8)) && entry[16...].reduce(0, &+) == 0)
    #expect(Array(entry[5...7]) == [31, 2, 8] && entry[30] == 0x28)
    let entryPoint = Structure(bytes: entry, texts: [])
    let bytes = try #require(
      ram.bytes(at: entryPoint.integer(0x18, 4), count: Int(entryPoint.integer(0x16, 2))))
    var structures: [Structure] = []
    var position = 0
    var largest = 0
    while position < bytes.count {
      let start = position
      position += Int(bytes[position + 1])
      var structure = Structure(bytes: Array(bytes[start..<position]), texts: [])
      while bytes[position] != 0 {
        let end = try #require(bytes[position...].firstIndex(of: 0))
        structure.texts.append(String(decoding: bytes[position..<end], as: UTF8.self))
        position = end + 1
      }
      position += structure.texts.isEmpty ? 2 : 1
      structures.append(structure)
      largest = max(largest, position - start)
    }
    #expect(position == bytes.count)
    #expect(entryPoint.integer(0x1C, 2) == UInt64(structures.count))
    #expect(entryPoint.integer(0x08, 2) == UInt64(largest))
    return structures
  }

  @Test(
    "The structures tell of the processors and the memory",
    arguments: [(64 << 20, 1), (1 << 30, 2), (6 << 30, 8), (48 << 30, 64)] as [(UInt64, Int)])
  func structures(byteCount: UInt64, processors: Int) throws {
    let structures = try Self.structures(of: Self.write(byteCount, processors: processors))
    let isSplit = byteCount > 3 << 30
    let types = [0, 1, 3] + Array(repeating: 4, count: processors) + [16, 17, 19] + (isSplit ? [19] : []) + [32, 127]
    #expect(structures.map { Int($0.bytes[0]) } == types)
    let lengths: [UInt8: Int] = [
      0: 24, 1: 27, 3: 22, 4: 42, 16: 23, 17: 40, 19: 31, 32: 11, 127: 4,
    ]
    for structure in structures { #expect(structure.bytes.count == lengths[structure.bytes[0]]) }
    #expect(Set(structures.map { $0.integer(2, 2) }).count == structures.count, "handles")
    for processor in structures where processor.bytes[0] == 4 {
      #expect(processor.integer(8, 4) == 0x0005_0654)
      #expect(processor.texts == ["CPU", "GenuineIntel"])
    }
    let array = try #require(structures.first { $0.bytes[0] == 16 })
    let capacity = array.integer(7, 4)
    #expect((capacity == 0x8000_0000 ? array.integer(15, 8) : capacity << 10) == byteCount)
    let device = try #require(structures.first { $0.bytes[0] == 17 })
    let size = device.integer(12, 2)
    #expect((size == 0x7FFF ? device.integer(28, 4) : size) << 20 == byteCount)
    let ranges = structures.filter { $0.bytes[0] == 19 }
    let mapped = ranges.reduce(0) { $0 + ($1.integer(8, 4) + 1 - $1.integer(4, 4)) << 10 }
    #expect(mapped == byteCount)
    #expect(ranges.allSatisfy { $0.integer(12, 2) == array.integer(2, 2) })
  }

  static let hasDMIDecode = access("/usr/sbin/dmidecode", X_OK) == 0

  @Test("dmidecode reads them without a complaint", .enabled(if: hasDMIDecode, "dmidecode is not installed"))
  func dmidecode() throws {
    let ram = try Self.write(1 << 30, processors: 2)
    // What `dmidecode --dump-bin` writes: the entry point, and the structures at offset 32.
    let entryPoint = try #require(ram.bytes(at: SMBIOSTables.entryPointAddress, count: 32))
    var dump = entryPoint
    dump.replaceSubrange(0x18..<0x1C, with: [32, 0, 0, 0])
    dump[0x15] = 0
    dump[0x15] = 0 &- dump[0x10..<31].reduce(0, &+)
    dump[4] = 0
    dump[4] = 0 &- dump[0..<31].reduce(0, &+)
    let length = Int(entryPoint[0x16]) | Int(entryPoint[0x17]) << 8
    dump += try #require(ram.bytes(at: SMBIOSTables.structuresAddress, count: length))
    let directory = try TemporaryDirectory()
    try directory.write(dump, to: "dump")
    let result = try directory.run("/usr/sbin/dmidecode --from-dump dump")
    #expect(result.status == 0)
    for text in ["Skep virtual machine", "GenuineIntel", "Size: 1 GB", "End Of Table"] {
      #expect(result.output.contains(text), "\(result.output)")
    }
    for text in ["OUT OF SPEC", "BAD INDEX", "TRUNCATED", "Wrong", "Invalid"] {
      #expect(!result.output.contains(text), "\(result.output)")
    }
  }
}
