import Glibc
import Machine
import Testing

@Suite("ACPI tables")
struct ACPITablesTests {
  /// The tables of a guest, found as an operating system finds them.
  struct Tables {
    let ram = TestMemory(byteCount: 16 << 20)

    init(_ machine: Machine = .full) throws {
      try #require(ACPITables.write(machine.platform(ram.memory.layout), to: ram.memory))
    }

    func load<Value: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, as type: Value.Type) throws -> Value {
      try #require(ram.memory.load(address, as: type))
    }

    /// A table with its length in its header.
    func table(at address: UInt64) throws -> [UInt8] {
      try #require(ram.bytes(at: address, count: Int(load(address + 4, as: UInt32.self))))
    }

    /// The RSDP: on a paragraph between 0xE0000 and 0xFFFFF, with its signature.
    func rsdp() throws -> UInt64 {
      try #require(
        stride(from: 0xE0000 as UInt64, to: 0x100000, by: 16).first {
          ram.bytes(at: $0, count: 8) == Array("RSD PTR ".utf8)
        })
    }
  }

  /// The machines for which tables are made.
  enum Machine: CaseIterable, Sendable {
    /// No APICs, no timers but the PIT.
    case old
    /// All there is, on 4 processors.
    case full
    /// As many processors as there may be.
    case largest

    func platform(_ layout: GuestMemoryLayout) -> GuestPlatform {
      var platform = GuestPlatform(layout: layout, processorCount: self == .old ? 1 : self == .full ? 4 : 1000)
      guard self != .old else { return platform }
      platform.hasAPICs = true
      platform.hasHPET = true
      platform.hasPowerManagementTimer = true
      platform.processorSignature = 0x0005_0654
      platform.processorFeatures = 0x0FAB_FBFF
      return platform
    }
  }

  static func sum(_ bytes: some Sequence<UInt8>) -> UInt8 { bytes.reduce(0, &+) }

  @Test("An operating system finds the tables, whole and with right checksums", arguments: Machine.allCases)
  func chain(machine: Machine) throws {
    let tables = try Tables(machine)
    let rsdp = try tables.rsdp()
    #expect(rsdp == ACPITables.rsdpAddress)
    let bytes = try #require(tables.ram.bytes(at: rsdp, count: 36))
    #expect(Self.sum(bytes.prefix(20)) == 0)
    #expect(Self.sum(bytes) == 0)

    let names = machine == .old ? ["FACP"] : ["FACP", "APIC", "HPET"]
    let xsdt = try tables.load(rsdp + 24, as: UInt64.self)
    let rsdt = UInt64(try tables.load(rsdp + 16, as: UInt32.self))
    let xsdtBytes = try tables.table(at: xsdt)
    let rsdtBytes = try tables.table(at: rsdt)
    #expect(xsdtBytes.count == 36 + 8 * names.count && xsdtBytes.starts(with: Array("XSDT".utf8)))
    #expect(rsdtBytes.count == 36 + 4 * names.count && rsdtBytes.starts(with: Array("RSDT".utf8)))
    let listed = try names.indices.map { try tables.load(xsdt + 36 + UInt64($0) * 8, as: UInt64.self) }
    for (index, name) in names.enumerated() {
      #expect(try tables.load(rsdt + 36 + UInt64(index) * 4, as: UInt32.self) == UInt32(listed[index]))
      #expect(try tables.table(at: listed[index]).starts(with: Array(name.utf8)))
    }
    let fadt = listed[0]
    #expect(try tables.table(at: fadt).count == 244)
    let dsdt = try tables.load(fadt + 140, as: UInt64.self)
    #expect(try tables.load(fadt + 40, as: UInt32.self) == UInt32(dsdt))
    let dsdtBytes = try tables.table(at: dsdt)
    #expect(dsdtBytes.starts(with: Array("DSDT".utf8)))
    for table in try [xsdtBytes, rsdtBytes, dsdtBytes] + listed.map(tables.table) { #expect(Self.sum(table) == 0) }

    let facs = UInt64(try tables.load(fadt + 36, as: UInt32.self))
    #expect(facs.isMultiple(of: 64))
    #expect(try tables.table(at: facs).count == 64)
    #expect(try tables.table(at: facs).starts(with: Array("FACS".utf8)))

    // No table is in RAM that the operating system may take for itself.
    let map = E820Map(tables.ram.memory.layout)
    for address in [rsdp, xsdt, rsdt, dsdt, dsdt + UInt64(dsdtBytes.count) - 1, facs] + listed {
      let entry = map.first { address >= $0.address && address < $0.address + $0.byteCount }
      #expect(entry != nil && entry?.type != .memory, "\(address)")
    }
  }

  @Test(
    "The FADT tells where the registers are",
    arguments: [
      (46, 2, 9), (48, 4, 0), (56, 4, 0x600), (64, 4, 0x604), (76, 4, 0x608), (88, 1, 4), (89, 1, 2), (91, 1, 4),
      (108, 1, 0x32), (109, 2, 0b101),
      (112, 4, 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 12),
      (116, 4, 0x0100_0801), (120, 8, 0xCF9), (128, 1, 6), (132, 8, 0), (148, 4, 0x0200_2001), (152, 8, 0x600),
      (160, 4, 0), (172, 4, 0x0200_1001), (176, 8, 0x604), (208, 4, 0x0300_2001), (212, 8, 0x608),
    ] as [(Int, Int, UInt64)])
  func fadt(offset: Int, size: Int, value: UInt64) throws {
    let bytes = try Tables().table(at: ACPITables.fadtAddress)
    #expect(bytes[offset..<offset + size].reversed().reduce(0) { $0 << 8 | UInt64($1) } == value)
  }

  @Test("The FADT tells of no timer where there is none")
  func fadtDevices() throws {
    let old = try Tables(.old).table(at: ACPITables.fadtAddress)
    #expect(old[76..<80].allSatisfy { $0 == 0 } && old[91] == 0 && old[208..<220].allSatisfy { $0 == 0 })
    #expect(old[113] & 1 == 0, "TMR_VAL_EXT")
  }

  @Test("The MADT has every processor, the I/O APIC, two overrides and the NMI", arguments: [Machine.full, .largest])
  func madt(machine: Machine) throws {
    let bytes = try Tables(machine).table(at: ACPITables.madtAddress)
    let count: UInt8 = machine == .full ? 4 : 64
    #expect(bytes[36..<44] == [0, 0, 0xE0, 0xFE, 1, 0, 0, 0])
    var entries: [[UInt8]] = []
    var position = 44
    while position < bytes.count {
      try #require(bytes[position + 1] >= 2)
      entries.append(Array(bytes[position..<position + Int(bytes[position + 1])]))
      position += Int(bytes[position + 1])
    }
    #expect(position == bytes.count)
    #expect(entries.prefix(Int(count)).elementsEqual((0..<count).map { [0, 8, $0, $0, 1, 0, 0, 0] }))
    #expect(
      Array(entries.dropFirst(Int(count))) == [
        [1, 12, count, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0], [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
        [2, 10, 0, 9, 9, 0, 0, 0, 0xD, 0], [4, 6, 0xFF, 0, 0, 1],
      ])
  }

  /// The machine's ports, to which an operating system writes what the tables tell it to.
  private static func request(
    _ accesses: [(port: UInt16, size: IOSize, value: UInt32)]
  ) -> MachineRequest? {
    let storage = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 16)
    defer { storage.deallocate() }
    let start = CalendarTime(year: 2025, month: 1, day: 1, hour: 0, minute: 0, second: 0)
    var bus = IOBus(transmitStorage: storage, startingAt: start, memorySize: 16 << 20)
    for access in accesses { bus.write(port: access.port, size: access.size, value: access.value, at: 0) }
    return bus.request
  }

  @Test("Who follows the tables turns the machine off")
  func powerOff() throws {
    let tables = try Tables()
    let control = UInt16(try tables.load(ACPITables.fadtAddress + 64, as: UInt32.self))
    let dsdt = try tables.table(at: ACPITables.dsdtAddress)
    // Name (_S5_, Package (4) {0, …}: its first element is SLP_TYPa.
    let name = try #require(dsdt.indices.first { dsdt[$0...].starts(with: [0x08] + Array("_S5_".utf8) + [0x12]) })
    let sleepType = UInt32(dsdt[name + 9])
    #expect(dsdt[(name + 8)...].starts(with: [4, 0, 0, 0, 0]))
    #expect(Self.request([(control, .word, sleepType << 10 | 1)]) == nil)
    #expect(Self.request([(control, .word, sleepType << 10 | 1 << 13 | 1)]) == .powerOff)
  }

  @Test("Who follows the tables resets the machine")
  func reset() throws {
    let tables = try Tables()
    let register = UInt16(try tables.load(ACPITables.fadtAddress + 120, as: UInt64.self))
    let value = UInt32(try tables.load(ACPITables.fadtAddress + 128, as: UInt8.self))
    #expect(Self.request([(register, .byte, value)]) == .reset(.resetControlRegister))
  }

  @Test("A guest without the range of the ROM gets no tables")
  func tooSmall() {
    let ram = TestMemory(byteCount: 0xFF000)
    #expect(!FirmwareTables.write(Machine.full.platform(ram.memory.layout), to: ram.memory))
    #expect(!ACPITables.write(Machine.full.platform(ram.memory.layout), to: ram.memory))
    #expect(ram.bytes(at: 0, count: 0xFF000)!.allSatisfy { $0 == 0 })
  }

  @Test("The BIOS data area tells where conventional memory ends")
  func biosDataArea() throws {
    let ram = TestMemory(byteCount: 1 << 20)
    #expect(BIOSDataArea.write(to: ram.memory))
    #expect(ram.memory.load(0x400, as: UInt16.self) == 0x3F8)
    #expect(UInt64(try #require(ram.memory.load(0x40E, as: UInt16.self))) << 4 == 0x9FC00)
    #expect(ram.memory.load(0x413, as: UInt16.self) == UInt16(639))
    #expect(!BIOSDataArea.write(to: TestMemory(byteCount: 1024).memory))
  }

  /// Whether ACPICA's compiler is installed, to read the tables as another program than this one.
  static let hasIASL = access("/usr/bin/iasl", X_OK) == 0

  @Test(
    "ACPICA disassembles the tables without a complaint, and compiles the result",
    .enabled(if: hasIASL, "iasl is not installed: install acpica-tools"),
    arguments: ["DSDT", "FACP", "XSDT", "RSDT", "FACS", "APIC", "HPET"], Machine.allCases)
  func disassembly(name: String, machine: Machine) throws {
    let addresses = [
      "DSDT": ACPITables.dsdtAddress, "FACP": ACPITables.fadtAddress, "XSDT": ACPITables.xsdtAddress,
      "RSDT": ACPITables.rsdtAddress, "FACS": ACPITables.facsAddress, "APIC": ACPITables.madtAddress,
      "HPET": ACPITables.hpetAddress,
    ]
    let isThere = machine != .old || name != "APIC" && name != "HPET"
    let tables = try Tables(machine)
    let address = try #require(addresses[name])
    guard isThere else {
      #expect(try tables.load(address, as: UInt64.self) == 0)
      return
    }
    let directory = try TemporaryDirectory()
    let table = try tables.table(at: address)
    try directory.write(table, to: "\(name).aml")
    let disassembly = try directory.run("iasl -p \(name) -d \(name).aml")
    #expect(disassembly.status == 0)
    #expect(!disassembly.output.contains("Error"), "\(disassembly.output)")
    #expect(!disassembly.output.contains("Warning"), "\(disassembly.output)")
    let source = try directory.read("\(name).dsl")
    #expect(!source.contains("Invalid"), "\(source)")
    #expect(!source.contains("Incorrect"), "\(source)")
    let compilation = try directory.run("iasl -p again \(name).dsl")
    #expect(compilation.status == 0, "\(compilation.output)")
    guard name == "DSDT" else { return }

    #expect(compilation.output.contains("0 Errors, 0 Warnings"), "\(compilation.output)")
    var expected = [
      "Name (_S5, Package (0x04)", "Device (PIC)", "Device (TMR)", "Device (RTC)", "Device (COM1)",
      #"EisaId ("PNP0000")"#, #"EisaId ("PNP0100")"#, #"EisaId ("PNP0B00")"#, #"EisaId ("PNP0501")"#,
      "0x03F8,             // Range Minimum", "{4}", "{8}", "Device (FWCF)", #"Name (_HID, "QEMU0002")"#,
      "0x0510,             // Range Minimum", "Device (MBRD)", #"EisaId ("PNP0C02")"#,
      "0x0600,             // Range Minimum", "0x0CF9,             // Range Minimum",
    ]
    #expect(source.contains("0x0608,             // Range Minimum") == (machine != .old))
    if machine != .old { expected += ["Device (C000)", #""ACPI0007""#, "Device (HPET)", "0xFED00000"] }
    if machine == .largest { expected += ["Device (C03F)"] }
    for text in expected { #expect(source.contains(text), "\(text) in \(source)") }
    #expect(source.contains("Device (C0") == (machine != .old))
  }
}
