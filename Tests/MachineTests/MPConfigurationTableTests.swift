import Machine
import Testing

@Suite("MP configuration table")
struct MPConfigurationTableTests {
  /// The table of a machine, found and read as an operating system does it.
  struct Table {
    var processors: [[UInt8]] = []
    var buses: [[UInt8]] = []
    var ioAPICs: [[UInt8]] = []
    var interrupts: [[UInt8]] = []
    var localInterrupts: [[UInt8]] = []

    init(_ ram: TestMemory) throws {
      let rom = try #require(ram.bytes(at: 0xF0000, count: 0x10000))
      let places = stride(from: 0, to: rom.count, by: 16).filter { rom[$0...].starts(with: Array("_MP_".utf8)) }
      try #require(places.count == 1)
      let pointer = Array(rom[places[0]..<places[0] + 16])
      #expect(pointer.reduce(0, &+) == 0)
      #expect(pointer[8] == 1 && pointer[9] == 4 && pointer[11...].allSatisfy { $0 == 0 })
      let address = try #require(ram.memory.load(0xF0000 + UInt64(places[0]) + 4, as: UInt32.self))
      let length = try #require(ram.memory.load(UInt64(address) + 4, as: UInt16.self))
      let bytes = try #require(ram.bytes(at: UInt64(address), count: Int(length)))
      #expect(bytes.starts(with: Array("PCMP".utf8)))
      #expect(bytes.reduce(0, &+) == 0)
      #expect(bytes[6] == 4 && Array(bytes[36..<40]) == [0, 0, 0xE0, 0xFE])
      var position = 44
      var count = 0
      while position < bytes.count {
        let size = bytes[position] == 0 ? 20 : 8
        let entry = Array(bytes[position..<position + size])
        switch entry[0] {
        case 0: processors.append(entry)
        case 1: buses.append(entry)
        case 2: ioAPICs.append(entry)
        case 3: interrupts.append(entry)
        default: localInterrupts.append(entry)
        }
        position += size
        count += 1
      }
      #expect(position == bytes.count)
      #expect(Int(bytes[34]) | Int(bytes[35]) << 8 == count)
    }
  }

  @Test("An operating system finds every processor and interrupt", arguments: [1, 2, 8, 64])
  func table(count: Int) throws {
    let ram = TestMemory(byteCount: 16 << 20)
    var platform = GuestPlatform(layout: ram.memory.layout, processorCount: count)
    platform.hasAPICs = true
    platform.processorSignature = 0x0005_0654
    platform.processorFeatures = 0x0FAB_FBFF
    try #require(FirmwareTables.write(platform, to: ram.memory))
    let table = try Table(ram)
    #expect(table.processors.count == count)
    for (index, processor) in table.processors.enumerated() {
      #expect(processor[1] == UInt8(index) && processor[3] == (index == 0 ? 3 : 1))
      #expect(Array(processor[4..<12]) == [0x54, 0x06, 0x05, 0x00, 0xFF, 0xFB, 0xAB, 0x0F])
    }
    #expect(table.buses == [[1, 0] + Array("ISA   ".utf8)])
    #expect(table.ioAPICs == [[2, UInt8(count), 0x20, 1, 0, 0, 0xC0, 0xFE]])
    #expect(table.interrupts.count == 15)
    for interrupt in table.interrupts {
      let irq = interrupt[5]
      #expect(interrupt[1] == 0 && interrupt[4] == 0 && interrupt[6] == UInt8(count))
      #expect(interrupt[7] == (irq == 0 ? 2 : irq))
      #expect(interrupt[2] == (irq == 9 ? 0xD : 0))
    }
    #expect(Set(table.interrupts.map { $0[5] }) == Set(0..<16).subtracting([2]))
    #expect(table.localInterrupts == [[4, 3, 0, 0, 0, 0, 0xFF, 0], [4, 1, 0, 0, 0, 0, 0xFF, 1]])
  }

  @Test("There is none without APICs")
  func none() throws {
    let ram = TestMemory(byteCount: 16 << 20)
    try #require(FirmwareTables.write(GuestPlatform(layout: ram.memory.layout), to: ram.memory))
    #expect(ram.memory.load(MPConfigurationTable.floatingPointerAddress, as: UInt32.self) == 0)
  }
}
