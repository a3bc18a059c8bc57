import Machine
import Testing

@Suite("Linux loader")
struct LinuxLoaderTests {
  /// What a load gives, in a guest with memory of its own.
  struct Load {
    let ram: TestMemory
    let entry: LinuxEntry

    init(
      _ kernel: SyntheticKernel, initrd: [UInt8]? = nil, commandLine: [UInt8] = [], rsdp: UInt64 = 0,
      mebibytes: UInt64 = 64
    ) throws {
      let ram = TestMemory(byteCount: mebibytes << 20)
      self.ram = ram
      // What has been there before must not show.
      ram.memory.bytes(at: 0, count: 0xA0000)?.initializeMemory(as: UInt8.self, repeating: 0xA5)
      entry = try kernel.bytes.withUnsafeBytes { file in
        try commandLine.withUnsafeBytes { commandLine in
          let kernel = try LinuxKernel(file)
          guard let initrd else {
            return try LinuxLoader.load(kernel, initrd: nil, commandLine: commandLine, rsdp: rsdp, into: ram.memory)
          }
          return try initrd.withUnsafeBytes {
            try LinuxLoader.load(kernel, initrd: $0, commandLine: commandLine, rsdp: rsdp, into: ram.memory)
          }
        }
      }
    }

    subscript<Value>(field: LinuxBootField<Value>) -> Value? {
      ram.memory.load(entry.rsi + UInt64(field.offset), as: Value.self)
    }
  }

  @Test("boot_params hold the kernel's header and what the loader adds")
  func bootParams() throws {
    let kernel = SyntheticKernel()
    let initrd = [UInt8]((0..<5000).map { UInt8(truncatingIfNeeded: $0 * 3) })
    let commandLine = Array("console=ttyS0 quiet".utf8)
    let load = try Load(kernel, initrd: initrd, commandLine: commandLine, rsdp: 0xF0000)

    #expect(load[.header] == 0x5372_6448)
    #expect(load[.version] == 0x020F)
    #expect(load[.bootFlag] == 0xAA55)
    #expect(load[.initSize] == kernel[.initSize])
    #expect(load[.prefAddress] == kernel[.prefAddress])
    #expect(load[.typeOfLoader] == 0xFF)
    #expect(load[.vidMode] == 0xFFFF)
    #expect(load[.code32Start] == 0x100_0000)
    #expect(load[.acpiRSDPAddr] == 0xF0000)
    #expect(load[.altMemK] == UInt32(63 * 1024))
    #expect(load[.ramdiskSize] == 5000)
    let initrdAddress = try #require(load[.ramdiskImage])
    #expect(load.ram.bytes(at: UInt64(initrdAddress), count: 5000) == initrd)
    let commandLineAddress = try #require(load[.cmdLinePtr])
    #expect(load.ram.bytes(at: UInt64(commandLineAddress), count: 20) == commandLine + [0])
    #expect(
      load.ram.bytes(at: 0x100_0000, count: SyntheticKernel.codeByteCount)
        == Array(kernel.bytes[SyntheticKernel.setupByteCount...]))

    #expect(load[.e820Entries] == 5)
    let entries = try (0..<5).map { index in
      let address = load.entry.rsi + 0x2D0 + UInt64(index) * 20
      let type = try #require(load.ram.memory.load(address + 16, as: UInt32.self))
      return E820Entry(
        address: try #require(load.ram.memory.load(address, as: UInt64.self)),
        byteCount: try #require(load.ram.memory.load(address + 8, as: UInt64.self)),
        type: try #require(E820Type(rawValue: type)))
    }
    #expect(entries == Array(E820Map(load.ram.memory.layout)))
  }

  @Test("Every other byte of boot_params is 0")
  func zeros() throws {
    var kernel = SyntheticKernel()
    kernel[.jumpDisplacement] = 0xFF
    kernel[.setupData] = 0x1234_5678
    kernel.bytes.replaceSubrange(0x290..<0x301, with: repeatElement(0xEE, count: 0x301 - 0x290))
    let load = try Load(kernel)
    let page = try #require(load.ram.bytes(at: load.entry.rsi, count: 4096))
    let known = [0x70..<0x78, 0x1E0..<0x1E4, 0x1E8..<0x1E9, 0x1F1..<0x290, 0x2D0..<0x2D0 + 5 * 20]
    for offset in 0..<4096 where !known.contains(where: { $0.contains(offset) }) {
      #expect(page[offset] == 0, "\(offset)")
    }
    #expect(load[.setupData] == 0)
    #expect(load[.ramdiskImage] == 0)
    #expect(load[.ramdiskSize] == 0)
  }

  @Test("The processor starts as the 64-bit boot protocol demands")
  func entry() throws {
    let load = try Load(SyntheticKernel())
    #expect(load.entry.rip == 0x100_0200)
    #expect(load.entry.rsp.isMultiple(of: 16))
    #expect(load.entry.gdtLimit == 31)
    let code = try #require(load.ram.memory.load(load.entry.gdtBase + 0x10, as: UInt64.self))
    let data = try #require(load.ram.memory.load(load.entry.gdtBase + 0x18, as: UInt64.self))
    // P, DPL 0, S, type 11 (execute, read, accessed), L; and P, DPL 0, S, type 3 (read, write, accessed), G, limit.
    #expect(code >> 40 & 0xFF == 0b1001_1011)
    #expect(code >> 53 & 0b11 == 0b01, "L is 1, D is 0")
    #expect(data >> 40 & 0xFF == 0b1001_0011)
    #expect(data == 0x00CF_9300_0000_FFFF)
  }

  @Test("The page tables map the first 4 GiB to themselves, and nothing else")
  func pageTables() throws {
    let load = try Load(SyntheticKernel())
    func translate(_ linear: UInt64) -> UInt64? {
      var table = load.entry.cr3
      for shift in [39, 30, 21] as [UInt64] {
        guard let entry = load.ram.memory.load(table + (linear >> shift & 511) * 8, as: UInt64.self), entry & 3 == 3
        else { return nil }
        if entry & 0x80 != 0 { return entry & ~0x1F_FFFF & ~0xFFF | linear & 0x1F_FFFF }
        table = entry & ~0xFFF
      }
      return nil
    }
    var generator = RandomNumbers(seed: 7)
    for _ in 0..<4096 {
      let linear = UInt64.random(in: 0..<1 << 32, using: &generator)
      #expect(translate(linear) == linear)
      let beyond = UInt64.random(in: 1 << 32..<1 << 48, using: &generator)
      #expect(translate(beyond) == nil)
    }
  }

  /// The kernel's wishes, the guest's memory in bytes, an initrd, and where the kernel and the initrd go.
  struct Place: Sendable {
    var prefAddress: UInt64 = 0x100_0000
    var alignment: UInt32 = 0x20_0000
    var relocatable: UInt8 = 1
    var initSize: UInt32 = 0x20_0000
    var initrdAddrMax: UInt32 = 0x7FFF_FFFF
    var memory: UInt64 = 64 << 20
    var initrd: UInt64?
    var kernelAddress: UInt64 = 0x100_0000
    var initrdAddress: UInt64 = 0
    var error: LinuxLoaderError?
  }

  static let places = [
    Place(),
    Place(initrd: 1, initrdAddress: 0x3FF_F000), Place(initrd: 4096, initrdAddress: 0x3FF_F000),
    Place(initrd: 4097, initrdAddress: 0x3FF_E000),
    Place(memory: 0x120_0000),
    Place(memory: 0x11F_F000, error: .tooLittleMemory(needed: 0x120_0000, available: 0x11F_F000)),
    Place(memory: 0, error: .tooLittleMemory(needed: 0x120_0000, available: 0)),
    Place(memory: 0x120_0000, initrd: 1, error: .initrdDoesNotFit(byteCount: 1, available: 0)),
    Place(memory: 0x120_1000, initrd: 4096, initrdAddress: 0x120_0000),
    Place(memory: 0x120_1000, initrd: 4097, error: .initrdDoesNotFit(byteCount: 4097, available: 4096)),
    Place(memory: 0x120_17FF, initrd: 4097, error: .initrdDoesNotFit(byteCount: 4097, available: 4096)),
    Place(initrd: .max, error: .initrdDoesNotFit(byteCount: .max, available: 0x400_0000 - 0x120_0000)),
    Place(initrd: 0, error: .emptyInitrd),
    Place(initrdAddrMax: 0x1FF_FFFF, initrd: 4096, initrdAddress: 0x1FF_F000),
    Place(initrdAddrMax: 0x1FF_EFFF, initrd: 4096, initrdAddress: 0x1FF_E000),
    Place(initrdAddrMax: 0, initrd: 1, error: .initrdDoesNotFit(byteCount: 1, available: 0)),
    Place(initrdAddrMax: .max, memory: 6 << 30, initrd: 4096, initrdAddress: 0xBFFF_F000),
    Place(prefAddress: 0, kernelAddress: 0x20_0000), Place(prefAddress: 0x100_0001, kernelAddress: 0x120_0000),
    Place(prefAddress: 0x100_1000, relocatable: 0, kernelAddress: 0x100_1000),
    Place(prefAddress: .max, error: .tooLittleMemory(needed: .max, available: 64 << 20)),
    Place(prefAddress: .max & ~0x1F_FFFF, error: .tooLittleMemory(needed: .max, available: 64 << 20)),
    Place(
      prefAddress: 4 << 30, memory: 8 << 30, error: .tooLittleMemory(needed: 4 << 30 + 0x20_0000, available: 3 << 30)),
    Place(initSize: .max, error: .tooLittleMemory(needed: 0x100_0000 + 0xFFFF_FFFF, available: 64 << 20)),
    Place(alignment: 1 << 31, memory: 3 << 30, kernelAddress: 1 << 31),
  ]

  @Test("Kernel and initrd have their places, or what is missing is said", arguments: places)
  func placement(place: Place) throws {
    var kernel = SyntheticKernel()
    kernel[.prefAddress] = place.prefAddress
    kernel[.kernelAlignment] = place.alignment
    kernel[.relocatableKernel] = place.relocatable
    kernel[.initSize] = place.initSize
    kernel[.initrdAddrMax] = place.initrdAddrMax
    try kernel.bytes.withUnsafeBytes { file in
      let kernel = try LinuxKernel(file)
      do throws(LinuxLoaderError) {
        let placement = try LinuxPlacement(
          kernel: kernel, initrdByteCount: place.initrd, commandLineByteCount: 0,
          layout: GuestMemoryLayout(byteCount: place.memory))
        #expect(place.error == nil)
        #expect(placement.kernelAddress == place.kernelAddress)
        #expect(placement.initrdAddress == place.initrdAddress)
      } catch {
        #expect(error == place.error)
        #expect(!error.message.description.contains("%"))
      }
    }
  }

  @Test("A command line may be as long as the kernel takes", arguments: [0, 1, 2047, 65535, 65536] as [UInt32])
  func commandLine(limit: UInt32) throws {
    var kernel = SyntheticKernel()
    kernel[.cmdlineSize] = limit
    let longest = Int(min(limit, 65535))
    let load = try Load(kernel, commandLine: [UInt8](repeating: 0x61, count: longest))
    let address = UInt64(try #require(load[.cmdLinePtr]))
    #expect(load.ram.bytes(at: address, count: longest + 1) == [UInt8](repeating: 0x61, count: longest) + [0])
    #expect(throws: LinuxLoaderError.commandLineTooLong(byteCount: UInt64(longest) + 1, limit: UInt64(longest))) {
      try Load(kernel, commandLine: [UInt8](repeating: 0x61, count: longest + 1))
    }
  }

  @Test("A zero byte in the command line is refused")
  func zeroByte() {
    #expect(throws: LinuxLoaderError.zeroByteInCommandLine(offset: 2)) {
      try Load(SyntheticKernel(), commandLine: [0x61, 0x61, 0, 0x61])
    }
  }

  @Test("A load that fails writes nothing")
  func failedLoad() throws {
    let ram = TestMemory(byteCount: 8 << 20)
    let kernel = SyntheticKernel()
    kernel.bytes.withUnsafeBytes { file in
      _ = #expect(throws: LinuxLoaderError.tooLittleMemory(needed: 0x120_0000, available: 8 << 20)) {
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        _ = try LinuxLoader.load(
          LinuxKernel(file), initrd: nil, commandLine: empty, rsdp: 0, into: ram.memory)
      }
    }
    #expect(ram.bytes(at: 0, count: 8 << 20)!.allSatisfy { $0 == 0 })
  }
}
