import Testing

@testable import Machine

@Suite("Multiboot loader")
struct MultibootLoaderTests {
  typealias Synthetic = SyntheticMultiboot

  /// What a load gives, in a guest with memory of its own.
  struct Load {
    let ram: TestMemory
    let entry: MultibootEntry

    init(
      _ kernel: [UInt8], version: MultibootVersion, modules: [(contents: [UInt8], text: String)] = [],
      commandLine: String = "", mebibytes: UInt64 = 64, hasTables: Bool = true
    ) throws {
      let ram = TestMemory(byteCount: mebibytes << 20)
      self.ram = ram
      // What has been there before must not show.
      ram.memory.bytes(at: 0x40_0000, count: 1 << 20)?.initializeMemory(as: UInt8.self, repeating: 0xA5)
      if hasTables { try #require(FirmwareTables.write(GuestPlatform(layout: ram.memory.layout), to: ram.memory)) }
      entry = try Self.withModules(modules) { list in
        try kernel.withUnsafeBytes { file in
          let kernel = try #require(try MultibootKernel(version, file))
          return try Array(commandLine.utf8).withUnsafeBytes {
            try MultibootLoader.load(kernel, modules: list, commandLine: $0, into: ram.memory)
          }
        }
      }
    }

    private static func withModules<Result>(
      _ modules: [(contents: [UInt8], text: String)], _ list: BootModules = BootModules(),
      _ body: (BootModules) throws -> Result
    ) throws -> Result {
      guard let module = modules.first else { return try body(list) }
      return try module.contents.withUnsafeBytes { contents in
        try Array(module.text.utf8).withUnsafeBytes { text in
          var list = list
          let hasRoom = list.append(BootModule(contents: contents, commandLine: text))
          #expect(hasRoom)
          return try withModules(Array(modules.dropFirst()), list, body)
        }
      }
    }

    func field(_ address: UInt64) throws -> UInt32 { try #require(ram.memory.load(address, as: UInt32.self)) }

    func text(_ address: UInt64) throws -> String {
      var bytes: [UInt8] = []
      while case let byte = try #require(ram.memory.load(address + UInt64(bytes.count), as: UInt8.self)), byte != 0 {
        bytes.append(byte)
      }
      return String(decoding: bytes, as: UTF8.self)
    }

    /// The tags of version 2: their types and what is behind type and size.
    func tags() throws -> [(type: UInt32, body: [UInt8])] {
      let size = UInt64(try field(entry.information))
      #expect(try field(entry.information + 4) == 0)
      var tags: [(type: UInt32, body: [UInt8])] = []
      var position: UInt64 = 8
      while position < size {
        let address = entry.information + position
        #expect(address.isMultiple(of: 8))
        let length = Int(try field(address + 4))
        tags.append((try field(address), try #require(ram.bytes(at: address + 8, count: length - 8))))
        position += UInt64(length + 7) & ~7
      }
      #expect(position == size)
      return tags
    }
  }

  static let modules: [(contents: [UInt8], text: String)] = [
    ((0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 3) }, "first a=b"), ([7], ""),
    ([UInt8](repeating: 9, count: 4096), "third"),
  ]

  private func checkModule(_ load: Load, _ index: Int, _ first: UInt32, _ end: UInt32) throws {
    let module = Self.modules[index]
    #expect(first.isMultiple(of: 4096) && Int(end - first) == module.contents.count)
    #expect(load.ram.bytes(at: UInt64(first), count: module.contents.count) == module.contents)
    #expect(first >= 0x100_0000, "behind the kernel and its bss")
  }

  @Test("Version 1: the kernel, its zeros, and all that it is told", arguments: [false, true])
  func version1(is64Bit: Bool) throws {
    var kernel = Synthetic()
    kernel.is64Bit = is64Bit
    kernel.sections = [[1, 2, 3], Array("symbols".utf8)]
    let load = try Load(kernel.bytes, version: .one, modules: Self.modules, commandLine: "x y=z")
    #expect(load.entry.magic == 0x2BAD_B002 && load.entry.rip == 0x40_0010)
    #expect(load.ram.bytes(at: 0x40_0000, count: 4096) == Synthetic.code)
    #expect(load.ram.bytes(at: 0x40_1000, count: 1 << 20)?.allSatisfy { $0 == 0 } == true)

    let information = load.entry.information
    func field(_ offset: UInt64) throws -> UInt32 { try load.field(information + offset) }
    #expect(try field(0) == 1 << 0 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 9)
    #expect(try field(4) == 639 && field(8) == 63 * 1024)
    #expect(try load.text(UInt64(field(16))) == "kernel x y=z")
    #expect(try load.text(UInt64(field(64))) == "Skep")
    #expect(try field(20) == 3)
    for index in 0..<3 {
      let entry = UInt64(try field(24)) + UInt64(index) * 16
      try checkModule(load, index, load.field(entry), load.field(entry + 4))
      #expect(try load.text(UInt64(load.field(entry + 8))) == Self.modules[index].text)
      #expect(try load.field(entry + 12) == 0)
    }
    var position = UInt64(try field(48))
    let end = position + UInt64(try field(44))
    var map: [E820Entry] = []
    while position < end {
      map.append(
        E820Entry(
          address: try #require(load.ram.memory.load(position + 4, as: UInt64.self)),
          byteCount: try #require(load.ram.memory.load(position + 12, as: UInt64.self)),
          type: try #require(E820Type(rawValue: load.field(position + 20)))))
      position += UInt64(try load.field(position)) + 4
    }
    #expect(map == Array(E820Map(load.ram.memory.layout)))
    try checkSections(load, kernel, count: field(28), size: field(32), address: UInt64(field(36)), names: field(40))
    for offset in [12, 52, 56, 60, 68, 72, 88, 96, 112] as [UInt64] { #expect(try field(offset) == 0, "\(offset)") }
  }

  private func checkSections(
    _ load: Load, _ kernel: Synthetic, count: UInt32, size: UInt32, address: UInt64, names: UInt32
  ) throws {
    #expect(count == UInt32(3 + kernel.sections.count) && size == UInt32(kernel.sectionHeaderSize))
    #expect(names == count - 1)
    for index in 0..<Int(count) {
      let place = UInt64(try load.field(address + UInt64(index) * UInt64(size) + (kernel.is64Bit ? 16 : 12)))
      switch index {
      case 0, 2: #expect(place == 0)
      case 1: #expect(place == 0x40_0000)
      default:
        #expect(load.ram.bytes(at: place, count: kernel.sections[index - 3].count) == kernel.sections[index - 3])
      }
    }
  }

  @Test("Version 2: the kernel, and its tags", arguments: [false, true])
  func version2(is64Bit: Bool) throws {
    var kernel = Synthetic()
    kernel.is64Bit = is64Bit
    kernel.machine = 62
    kernel.header = Synthetic.version2()
    kernel.sections = [[1, 2, 3]]
    let load = try Load(kernel.bytes, version: .two, modules: Self.modules, commandLine: "x y=z")
    #expect(load.entry.magic == 0x36D7_6289 && load.entry.rip == 0x40_0010)
    #expect(load.ram.bytes(at: 0x40_0000, count: 4096) == Synthetic.code)
    let tags = try load.tags()
    #expect(tags.map(\.type) == [1, 2, 3, 3, 3, 4, 6, 9, 14, 15, 13, 0])
    #expect(tags[0].body == Array("x y=z\0".utf8))
    #expect(tags[1].body == Array("Skep\0".utf8))
    func word(_ body: [UInt8], _ offset: Int) -> UInt32 {
      body[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    for index in 0..<3 {
      let body = tags[2 + index].body
      try checkModule(load, index, word(body, 0), word(body, 4))
      #expect(body.dropFirst(8).elementsEqual(Array(Self.modules[index].text.utf8) + [0]))
    }
    #expect(word(tags[5].body, 0) == 639 && word(tags[5].body, 4) == 63 * 1024)
    #expect(word(tags[6].body, 0) == 24 && tags[6].body.count == 8 + 24 * E820Map(load.ram.memory.layout).count)
    let sections = tags[7].body
    #expect(sections.count == 12 + 4 * kernel.sectionHeaderSize)
    let place = UInt64(word(sections, 12 + 3 * kernel.sectionHeaderSize + (is64Bit ? 16 : 12)))
    #expect(load.ram.bytes(at: place, count: 3) == [1, 2, 3])
    #expect(tags[8].body == load.ram.bytes(at: ACPITables.rsdpAddress, count: 20))
    #expect(tags[9].body == load.ram.bytes(at: ACPITables.rsdpAddress, count: 36))
    #expect(tags[10].body.starts(with: [2, 8]))
    #expect(tags[11].body.isEmpty)
    // Without firmware's tables, and without sections, there are no tags for them.
    kernel.sections = []
    let bare = try Load(kernel.bytes, version: .two, hasTables: false)
    #expect(try bare.tags().map(\.type) == [1, 2, 4, 6, 0])
  }

  @Test("The segments of the GDT are flat")
  func gdt() throws {
    let load = try Load(Synthetic().bytes, version: .one)
    #expect(load.entry.gdtLimit == 23)
    #expect(load.ram.memory.load(load.entry.gdtBase + 8, as: UInt64.self) == 0x00CF_9B00_0000_FFFF)
    #expect(load.ram.memory.load(load.entry.gdtBase + 16, as: UInt64.self) == 0x00CF_9300_0000_FFFF)
  }

  @Test("A kernel by its address fields, whatever the file is")
  func addressFields() throws {
    for isELF in [true, false] {
      var kernel = Synthetic()
      kernel.header = Synthetic.version1(
        flags: 1 << 16, [0x20_0800, 0x20_0000, 0x20_1800, 0x20_3000, 0x20_1000])
      var bytes = kernel.bytes
      if !isELF { bytes.replaceSubrange(0..<64, with: repeatElement(0x90, count: 64)) }
      let load = try Load(bytes, version: .one)
      #expect(load.entry.rip == 0x20_1000)
      #expect(load.ram.bytes(at: 0x20_0000, count: 0x1800) == Array(bytes[..<0x1800]))
      #expect(load.ram.bytes(at: 0x20_1800, count: 0x1800)!.allSatisfy { $0 == 0 })
      #expect(try load.field(load.entry.information) & (1 << 5) == 0, "no sections")
    }
  }

  struct Move: Sendable {
    var relocation: [UInt32]
    var address: UInt64?
    var linked: UInt64 = 0x40_0000
  }

  @Test(
    "A relocatable kernel goes where it may",
    arguments: [
      Move(relocation: [0, .max, 4096, 0], address: 0x40_0000),
      Move(relocation: [0, .max, 4096, 1], address: 0x1000),
      Move(relocation: [0, .max, 4096, 2], address: 0x3FF_E000),
      Move(relocation: [0x50_0000, 0x5F_FFFF, 4096, 0], address: 0x50_0000),
      Move(relocation: [0x50_0001, 0x5F_FFFF, 0x10_0000, 1], address: nil),
      Move(relocation: [0x50_0001, 0x60_1FFF, 0x10_0000, 1], address: 0x60_0000),
      Move(relocation: [0x50_0001, 0x60_1FFE, 0x10_0000, 1], address: nil),
      Move(relocation: [0xA_0000, .max, 1, 1], address: 0x10_0000),
      Move(relocation: [0x500_0000, .max, 1, 0], address: nil),
      Move(relocation: [0, .max, 0, 2], address: 0x3FF_E000),
      Move(relocation: [0x10_0000, .max, 3, 1], address: 0x10_0002),
      Move(relocation: [.max, 0, 4096, 1], address: nil),
      Move(relocation: [0x10_0000, .max, 4096, 0], address: 0x10_0000, linked: 0xFF00_0000),
    ])
  func relocation(move: Move) throws {
    var kernel = Synthetic()
    kernel.header = Synthetic.version2(tags: [Synthetic.tag(10, move.relocation)])
    kernel.segments[0].physical = move.linked
    kernel.segments[0].linear = move.linked
    kernel.segments[0].size = 0x2000
    kernel.entry = move.linked + 0x10
    guard let address = move.address else {
      #expect(throws: MultibootError.noPlace(byteCount: 0x2000)) { try Load(kernel.bytes, version: .two) }
      return
    }
    let load = try Load(kernel.bytes, version: .two)
    #expect(load.entry.rip == address + 0x10)
    #expect(load.ram.bytes(at: address, count: 4096) == Synthetic.code)
    let base = try #require(try load.tags().first { $0.type == 21 })
    #expect(base.body.reversed().reduce(0) { $0 << 8 | UInt64($1) } == address)
  }

  @Test("Everything is in free RAM, and nothing over anything else")
  func placement() throws {
    var random = RandomNumbers(seed: 0x2BAD)
    for _ in 0..<400 {
      var kernel = Synthetic()
      kernel.sections = (0..<Int.random(in: 0..<3, using: &random)).map { _ in [UInt8](repeating: 1, count: 5000) }
      kernel.segments = (0..<Int.random(in: 1..<6, using: &random)).map { _ in
        let address =
          random.chance(40)
          ? UInt64.random(in: 0..<0x9_F000, using: &random) : UInt64.random(in: 0x10_0000..<0x3F_0000, using: &random)
        return Synthetic.Segment(
          offset: Synthetic.codeOffset, linear: address, physical: address, fileSize: 100,
          size: UInt64.random(in: 100..<0x3_0000, using: &random))
      }
      kernel.entry = kernel.segments[0].linear
      let bytes = kernel.bytes
      let layout = GuestMemoryLayout(byteCount: 4 << 20)
      try bytes.withUnsafeBytes { bytes in
        let parsed = try #require(try MultibootKernel(.one, bytes))
        var sizes = BootModuleSizes()
        sizes.add(byteCount: UInt64.random(in: 0..<0x20_0000, using: &random), commandLineByteCount: 10)
        let placement: MultibootPlacement
        do throws(MultibootError) {
          placement = try MultibootPlacement(kernel: parsed, modules: sizes, commandLineByteCount: 5, layout: layout)
        } catch {
          guard case .missingMemory(let start, let end) = error else { return }
          #expect(
            !E820Map(layout).contains { $0.type == .memory && $0.address <= start && $0.address + $0.byteCount >= end })
          return
        }
        var ranges = kernel.segments.map { $0.physical..<$0.physical + $0.size }
        ranges.append(placement.informationAddress..<placement.informationAddress + placement.informationByteCount)
        ranges.append(placement.modulesAddress..<placement.modulesAddress + sizes.byteCount)
        ranges.append(placement.sectionsAddress..<placement.sectionsAddress + UInt64(kernel.sections.count * 0x2000))
        for (index, range) in ranges.enumerated() where !range.isEmpty {
          #expect(
            E820Map(layout).contains {
              $0.type == .memory && $0.address <= range.lowerBound && $0.address + $0.byteCount >= range.upperBound
            })
          // Segments may lie over each other; that is the linker's business.
          for other in ranges[(index + 1)...].dropFirst(max(0, kernel.segments.count - index - 1)) {
            #expect(!range.overlaps(other))
          }
        }
      }
    }
  }

  @Test(
    "What does not fit is said",
    arguments: [
      (15, 0, .missingMemory(start: 0x40_0000, end: 0x100_0000)), (16, 1 << 20, nil), (17, 0xE_0000, nil),
      (16, 4 << 20, .modulesDoNotFit(byteCount: 4 << 20)),
    ] as [(UInt64, Int, MultibootError?)])
  func doesNotFit(mebibytes: UInt64, moduleSize: Int, error: MultibootError?) throws {
    let modules = moduleSize == 0 ? [] : [(contents: [UInt8](repeating: 1, count: moduleSize), text: "")]
    let load = {
      _ = try Load(Synthetic().bytes, version: .one, modules: modules, mebibytes: mebibytes)
    }
    if let error { #expect(throws: error, performing: load) } else { try load() }
  }

  @Test("A kernel over the range of the ROM, or with a zero byte in its command line, is refused")
  func refused() {
    var kernel = Synthetic()
    kernel.segments[0].physical = 0x9_0000
    #expect(throws: MultibootError.missingMemory(start: 0x9_0000, end: 0x9_0000 + 12 << 20)) {
      try Load(kernel.bytes, version: .one)
    }
    #expect(throws: MultibootError.zeroByteInCommandLine(offset: 1)) {
      try Load(Synthetic().bytes, version: .one, commandLine: "a\0b")
    }
    #expect(throws: MultibootError.zeroByteInCommandLine(offset: 2)) {
      try Load(Synthetic().bytes, version: .one, modules: [([1], "ab\0")])
    }
  }

  @Test("No file traps, and what is accepted can be loaded", arguments: 0..<8)
  func fuzz(seed: Int) throws {
    var random = RandomNumbers(seed: UInt64(seed))
    let ram = TestMemory(byteCount: 20 << 20)
    var base = Synthetic()
    base.is64Bit = seed & 1 != 0
    base.header =
      seed & 2 != 0
      ? Synthetic.version2(tags: [
        Synthetic.tag(10, [0, .max, 4096, UInt32(seed >> 2)]), Synthetic.tag(3, [0x40_0000]), Synthetic.tag(6),
      ]) : Synthetic.version1(flags: 3, [0x40_0000, 0x40_0000, 0, 0, 0x40_0000])
    base.segments[0].size = 0x2000
    base.segments.append(.init(offset: 0x10_0000, linear: 0x2000, physical: 0x2000, fileSize: 0, size: 0x1000))
    base.sections = [[1, 2], [3]]
    let original = base.bytes
    let interesting =
      Array(0..<0x100) + Array(Synthetic.headerOffset..<Synthetic.headerOffset + 0x50)
      + Array(original.count - 6 * base.sectionHeaderSize..<original.count)
    var accepted = 0
    #if DEBUG
      let count = 200
    #else
      let count = 2000
    #endif
    for _ in 0..<count {
      var bytes = original
      for _ in 0..<Int.random(in: 1..<4, using: &random) {
        let offset = interesting.randomElement(using: &random)!
        bytes[offset] =
          random.chance(50)
          ? UInt8.random(in: 0...255, using: &random) : bytes[offset] ^ 1 << UInt8.random(in: 0..<8, using: &random)
      }
      if random.chance(10) { bytes.removeLast(Int.random(in: 0...bytes.count, using: &random)) }
      if random.chance(70), bytes.count > Synthetic.headerOffset + 16 { Self.correctChecksum(&bytes) }
      try bytes.withUnsafeBytes { file in
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let files = BootFiles(kernel: file, initrd: nil, commandLine: empty)
        let platform = GuestPlatform(layout: ram.memory.layout)
        do throws(KernelLoaderError) {
          try KernelLoader.check(
            file, initrdByteCount: nil, modules: BootModuleSizes(), commandLineByteCount: 0, layout: ram.memory.layout)
        } catch {
          #expect(throws: error) { try KernelLoader.load(files, on: platform, into: ram.memory) }
          return
        }
        _ = try KernelLoader.load(files, on: platform, into: ram.memory)
        accepted += 1
      }
    }
    #expect(accepted > count / 20)
  }

  /// Makes the checksum of the header right, so that the search finds what else is wrong.
  private static func correctChecksum(_ bytes: inout [UInt8]) {
    func field(_ index: Int) -> UInt32 {
      bytes[SyntheticMultiboot.headerOffset + index * 4..<SyntheticMultiboot.headerOffset + index * 4 + 4].reversed()
        .reduce(0) { $0 << 8 | UInt32($1) }
    }
    let count = field(0) == 0x1BAD_B002 ? 2 : 3
    let sum = 0 &- (0..<count).reduce(0) { $0 &+ field($1) }
    for byte in 0..<4 {
      bytes[SyntheticMultiboot.headerOffset + count * 4 + byte] = UInt8(truncatingIfNeeded: sum >> UInt32(byte * 8))
    }
  }
}
