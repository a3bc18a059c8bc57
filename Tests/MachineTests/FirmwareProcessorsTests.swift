import Machine
import Testing

/// ACPI tables in memory, put together from their parts.
private struct Firmware {
  var bytes = [UInt8](repeating: 0, count: 4096)
  var rsdp: [UInt8] = []

  private static let headerSize = 36

  static func header(_ signature: String, _ body: [UInt8]) -> [UInt8] {
    Array(signature.utf8) + little(headerSize + body.count, 4) + [UInt8](repeating: 0, count: headerSize - 8) + body
  }

  static func little(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  mutating func put(_ table: [UInt8], at address: Int) {
    bytes.replaceSubrange(address..<address + table.count, with: table)
  }

  /// RSDP, RSDT or XSDT at 0x100, another table at 0x200, and the MADT with `structures` at 0x300.
  init(revision: UInt8, structures: [UInt8], signature: String = "APIC") {
    let entrySize = revision >= 2 ? 8 : 4
    rsdp = Array("RSD PTR ".utf8) + [UInt8](repeating: 0, count: 7) + [revision]
    rsdp += Self.little(revision >= 2 ? 0xDEAD : 0x100, 4)
    if revision >= 2 { rsdp += Self.little(36, 4) + Self.little(0x100, 8) + [0, 0, 0, 0] }
    put(
      Self.header(
        revision >= 2 ? "XSDT" : "RSDT", Self.little(0x200, entrySize) + Self.little(0x300, entrySize)), at: 0x100)
    put(Self.header("FACP", [1, 2, 3]), at: 0x200)
    put(Self.header(signature, [UInt8](repeating: 0, count: 8) + structures), at: 0x300)
  }

  func processors() -> [UInt8]? {
    var found: [UInt8] = []
    let hasTable = bytes.withUnsafeBytes { memory in
      rsdp.withUnsafeBytes { rsdp in
        FirmwareProcessors.forEachAPICID(
          rsdp: rsdp,
          memory: { address, count in
            guard address <= UInt64(memory.count), count <= memory.count - Int(address) else { return nil }
            return UnsafeRawBufferPointer(rebasing: memory[Int(address)..<Int(address) + count])
          }
        ) { found.append($0) }
      }
    }
    return hasTable ? found : nil
  }
}

@Suite struct FirmwareProcessorsTests {
  /// Structures of a MADT, and the APIC IDs of the processors that can be used.
  static let tables: [(structures: [UInt8], apicIDs: [UInt8])] = [
    ([], []),
    ([0, 8, 0, 0, 1, 0, 0, 0], [0]),
    ([0, 8, 0, 0, 1, 0, 0, 0, 0, 8, 1, 4, 1, 0, 0, 0], [0, 4]),
    // One that is not enabled; one that could be.
    ([0, 8, 0, 7, 0, 0, 0, 0, 0, 8, 1, 8, 2, 0, 0, 0, 0, 8, 2, 9, 3, 0, 0, 0], [9]),
    // An I/O APIC and an interrupt source override in between.
    (
      [0, 8, 0, 0, 1, 0, 0, 0, 1, 12, 8, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0]
        + [0, 8, 1, 1, 1, 0, 0, 0], [0, 1]
    ),
    // Structures whose length is wrong: 0, 1, too long; a processor cut short.
    ([0, 8, 0, 3, 1, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0], [3]),
    ([0, 8, 0, 3, 1, 0, 0, 0, 0, 1, 0, 4, 1, 0, 0, 0], [3]),
    ([0, 8, 0, 3, 1, 0, 0, 0, 0, 9, 0, 4, 1, 0, 0, 0], [3]),
    ([0, 6, 0, 3, 1, 0, 0, 8, 0, 5, 1, 0, 0, 0], [5]),
    ([0, 8, 0, 3, 1, 0, 0, 0, 0], [3]),
  ]

  @Test("The enabled processors, in order, by RSDT and by XSDT", arguments: tables.indices, [0, 2] as [UInt8])
  func processors(_ index: Int, revision: UInt8) {
    let (structures, apicIDs) = Self.tables[index]
    #expect(Firmware(revision: revision, structures: structures).processors() == apicIDs)
  }

  @Test("Without the table, or with tables that are not there, nothing is found", arguments: [0, 2] as [UInt8])
  func missing(revision: UInt8) {
    #expect(Firmware(revision: revision, structures: [], signature: "APIX").processors() == nil)
    var firmware = Firmware(revision: revision, structures: [0, 8, 0, 0, 1, 0, 0, 0])
    firmware.rsdp.removeLast(firmware.rsdp.count - 19)
    #expect(firmware.processors() == nil)
    for size in [0, 35, 37, 5000, 0xFFFF_FFFF] {
      firmware = Firmware(revision: revision, structures: [])
      firmware.put(Firmware.little(size, 4), at: 0x104)
      #expect(firmware.processors() == nil)
    }
  }

  @Test("No tables are bad input")
  func anyBytes() {
    var generator = RandomNumbers(seed: 5)
    for _ in 0..<20_000 {
      var firmware = Firmware(revision: UInt8(generator.next() % 3), structures: [0, 8, 0, 0, 1, 0, 0, 0])
      for _ in 0..<4 {
        let position = Int(generator.next() % 64) + (generator.chance(50) ? 0x100 : 0x300)
        firmware.bytes[position] = UInt8(truncatingIfNeeded: generator.next())
      }
      firmware.rsdp[Int(generator.next() % UInt64(firmware.rsdp.count))] = UInt8(truncatingIfNeeded: generator.next())
      if let found = firmware.processors() { #expect(found.count < 512) }
    }
  }
}
