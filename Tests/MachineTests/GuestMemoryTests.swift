import Machine
import Testing

@Suite("Guest memory")
struct GuestMemoryTests {
  static let gibibyte: UInt64 = 1 << 30

  @Test(
    "RAM is split around the hole below 4 GiB",
    arguments: [
      (0, 0, 0), (4096, 4096, 0), (2 * gibibyte, 2 * gibibyte, 0), (3 * gibibyte, 3 * gibibyte, 0),
      (3 * gibibyte + 4096, 3 * gibibyte, 4096), (8 * gibibyte, 3 * gibibyte, 5 * gibibyte),
    ] as [(UInt64, UInt64, UInt64)])
  func split(byteCount: UInt64, low: UInt64, high: UInt64) {
    let layout = GuestMemoryLayout(byteCount: byteCount)
    #expect(layout.lowByteCount == low)
    #expect(layout.highByteCount == high)
  }

  @Test("A range has an offset exactly if each of its bytes is RAM", arguments: [0, 4096, 3 * gibibyte, 5 * gibibyte])
  func offsets(byteCount: UInt64) {
    let layout = GuestMemoryLayout(byteCount: byteCount)
    func isRAM(_ address: UInt64) -> Bool {
      address < min(byteCount, 3 << 30)
        || (address >= 4 << 30 && address - (4 << 30) < max(byteCount, 3 << 30) - (3 << 30))
    }
    let edges: [UInt64] = [0, 4096, 3 << 30, 4 << 30, 6 << 30, byteCount, 1 << 63, .max]
    for edge in edges {
      for delta in -9...9 as ClosedRange<Int64> {
        let address = edge &+ UInt64(bitPattern: delta)
        for count in 1...9 as ClosedRange<UInt64> {
          let (end, overflow) = address.addingReportingOverflow(count - 1)
          let expected = !overflow && (address...end).allSatisfy(isRAM)
          let offset = layout.offset(of: address, byteCount: count)
          #expect((offset != nil) == expected, "\(address), \(count)")
          if let offset { #expect(offset == (address < 4 << 30 ? address : address - (1 << 30))) }
        }
        #expect(layout.offset(of: address, byteCount: .max) == nil)
      }
    }
  }

  @Test("What is stored is loaded, little-endian, and nothing beside it changes")
  func roundTrip() {
    let ram = TestMemory(byteCount: 4096)
    var generator = RandomNumbers(seed: 1)
    func check<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type) {
      let size = MemoryLayout<Value>.size
      let address = UInt64.random(in: 0...UInt64(4096 - size), using: &generator)
      let before = ram.bytes(at: 0, count: 4096)!
      let value = Value.random(in: .min ... .max, using: &generator)
      #expect(ram.memory.store(value, at: address))
      #expect(ram.memory.load(address, as: type) == value)
      var expected = before
      for index in 0..<size { expected[Int(address) + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
      #expect(ram.bytes(at: 0, count: 4096)! == expected)
    }
    for _ in 0..<100 {
      check(UInt8.self)
      check(UInt16.self)
      check(UInt32.self)
      check(UInt64.self)
    }
  }

  @Test("An access that is not wholly in RAM does nothing", arguments: [4089, 4096, 1 << 40, .max] as [UInt64])
  func outside(address: UInt64) {
    let ram = TestMemory(byteCount: 4096)
    #expect(ram.memory.load(address, as: UInt64.self) == nil)
    #expect(!ram.memory.store(UInt64.max, at: address))
    let copied = withUnsafeBytes(of: UInt64.max) { ram.memory.copy($0, to: address) }
    #expect(!copied)
    #expect(ram.bytes(at: 0, count: 4096)!.allSatisfy { $0 == 0 })
  }

  @Test("RAM above the hole follows the RAM below it")
  func high() {
    let ram = TestMemory(byteCount: 4 << 30)
    #expect(ram.memory.store(0x1122_3344 as UInt32, at: 5 << 30 &- 4))
    #expect(ram.memory.base.load(fromByteOffset: 4 << 30 &- 4, as: UInt32.self) == 0x1122_3344)
    #expect(!ram.memory.store(0 as UInt8, at: 5 << 30))
    #expect(!ram.memory.store(0 as UInt8, at: 3 << 30))
    #expect(!ram.memory.store(0 as UInt32, at: 3 << 30 &- 2))
  }
}

@Suite("E820 map")
struct E820MapTests {
  @Test(
    "Ranges ascend without overlap, and RAM is all RAM but the PC's own ranges",
    arguments: [1, 2, 64, 512, 2048, 3072, 3073, 8192] as [UInt64])
  func entries(mebibytes: UInt64) {
    let layout = GuestMemoryLayout(byteCount: mebibytes << 20)
    let map = E820Map(layout)
    #expect(map.count == Array(map).count)
    #expect(map.allSatisfy { $0.byteCount > 0 })
    for (entry, next) in zip(map, map.dropFirst()) { #expect(entry.address + entry.byteCount <= next.address) }
    let ram = map.filter { $0.type == .memory }
    #expect(ram.reduce(0) { $0 + $1.byteCount } == layout.byteCount - (1 << 20) + 0x9FC00)
    for entry in ram { #expect(layout.offset(of: entry.address, byteCount: entry.byteCount) != nil) }
  }

  @Test("The ACPI tables and the ROM are not RAM")
  func firmware() {
    let map = E820Map(GuestMemoryLayout(byteCount: 64 << 20))
    #expect(map.contains(E820Entry(address: 0xE0000, byteCount: 0x10000, type: .acpi)))
    #expect(map.contains(E820Entry(address: 0xF0000, byteCount: 0x10000, type: .reserved)))
    #expect(map.contains(E820Entry(address: 0x9FC00, byteCount: 0x400, type: .reserved)))
  }

  @Test("A replacement replaces what is expected, and nothing beside it", arguments: [1, 4, 8])
  func replacement(byteCount: Int) {
    let ram = TestMemory(byteCount: 4096)
    let memory = ram.memory
    let (old, new): (UInt64, UInt64) = (0x8877_6655_4433_2211, 0x0102_0304_0506_0708)
    for address in [0, 8, 4096 - UInt64(byteCount)] {
      _ = memory.store(old, at: 0)
      _ = memory.store(old, at: 8)
      _ = memory.store(old, at: 4088)
      let before = ram.bytes(at: 0, count: 4096)!
      let found = (0..<byteCount).reversed().reduce(0) { $0 << 8 | UInt64(before[Int(address) + $1]) }
      for bit in 0..<8 * UInt64(byteCount) {
        #expect(!memory.replace(found ^ 1 << bit, with: new, byteCount: byteCount, at: address))
      }
      #expect(ram.bytes(at: 0, count: 4096)! == before)
      // The rest of the words does not count.
      let rest: UInt64 = byteCount == 8 ? 0 : ~0 << (8 * UInt64(byteCount))
      #expect(memory.replace(found | rest, with: new, byteCount: byteCount, at: address))
      var expected = before
      for index in 0..<byteCount {
        expected[Int(address) + index] = UInt8(truncatingIfNeeded: new >> (8 * UInt64(index)))
      }
      #expect(ram.bytes(at: 0, count: 4096)! == expected)
    }
    for address in [4096, 4 << 30, ~7] as [UInt64] {
      #expect(!memory.replace(0, with: 0, byteCount: byteCount, at: address))
    }
  }
}
