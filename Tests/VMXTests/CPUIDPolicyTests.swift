import ProcessorModel
import Testing
import VMCS

@testable import VMX

/// The bits of one register that a guest sees on a processor that has them all, by the SDM's numbers.
struct CPUIDRow: Sendable, CustomTestStringConvertible {
  var leaf: UInt32, subleaf: UInt32, register: CPUIDRegister
  var bits: [ClosedRange<UInt32>]
  var testDescription: String { "\(String(leaf, radix: 16)).\(subleaf) \(register.rawValue)" }

  init(_ leaf: UInt32, _ subleaf: UInt32, _ register: CPUIDRegister, _ bits: [ClosedRange<UInt32>]) {
    (self.leaf, self.subleaf, self.register, self.bits) = (leaf, subleaf, register, bits)
  }

  var mask: UInt32 {
    bits.reduce(0) { mask, range in range.reduce(mask) { $0 | 1 << $1 } }
  }

  static let all: [CPUIDRow] = [
    .init(0, 0, .ebx, [0...31]), .init(0, 0, .ecx, [0...31]), .init(0, 0, .edx, [0...31]),
    .init(1, 0, .eax, [0...31]), .init(1, 0, .ebx, [0...15]),
    .init(1, 0, .ecx, [0...1, 9...9, 12...13, 17...17, 19...20, 22...23, 25...26, 28...31]),
    .init(1, 0, .edx, [0...8, 11...17, 19...19, 23...27]),
    .init(2, 0, .eax, [0...31]), .init(2, 0, .ebx, [0...31]), .init(2, 0, .ecx, [0...31]), .init(2, 0, .edx, [0...31]),
    .init(4, 3, .eax, [0...13]), .init(4, 3, .ebx, [0...31]), .init(4, 3, .ecx, [0...31]), .init(4, 3, .edx, [0...2]),
    .init(6, 0, .eax, [2...2]),
    .init(7, 0, .eax, [0...0]),
    .init(7, 0, .ebx, [0...1, 3...3, 5...10, 13...13, 16...21, 23...24, 26...31]),
    .init(7, 0, .ecx, [0...3, 6...6, 8...12, 14...14, 22...22, 25...25, 27...28]),
    .init(7, 0, .edx, [2...4, 8...8, 14...14, 23...23]),
    .init(7, 1, .eax, [0...2, 4...6, 10...12, 23...23]),
    // x87, SSE, AVX, AVX-512, PKRU; the size up to PKRU's end.
    .init(0xD, 0, .eax, [0...2, 5...7, 9...9]), .init(0xD, 0, .ebx, [6...6, 9...9]),
    .init(0xD, 0, .ecx, [3...3, 7...7, 9...9, 11...11]),
    .init(0xD, 1, .eax, [0...0, 2...2]),
    .init(0xD, 2, .eax, [8...8]), .init(0xD, 2, .ebx, [6...6, 9...9]),
    .init(0xD, 9, .eax, [3...3]), .init(0xD, 9, .ebx, [7...7, 9...9, 11...11]),
    .init(0x8000_0001, 0, .ecx, [0...0, 5...5, 8...8]),
    .init(0x8000_0001, 0, .edx, [11...11, 20...20, 26...27, 29...29]),
    .init(0x8000_0006, 0, .ecx, [0...31]),
    .init(0x8000_0007, 0, .edx, [8...8]),
    // 48 bits of linear and of physical address.
    .init(0x8000_0008, 0, .eax, [4...5, 12...13]),
  ]
}

@Suite struct CPUIDPolicyTests {
  /// What is computed from other things than a bit of the same register; tested one by one below.
  private static func isComputed(_ leaf: UInt32, _ register: CPUIDRegister) -> Bool {
    register == .eax && (leaf == 0 || leaf == 0x8000_0000)
  }

  @Test("A guest sees exactly the bits of the whitelist", arguments: CPUIDRow.all)
  func whitelist(_ row: CPUIDRow) throws {
    let cpuid = try CPUIDFixture(.allOnes)
    #expect(cpuid(row.leaf, row.subleaf)[row.register] == row.mask)
  }

  @Test("Registers that the whitelist does not name are 0", arguments: CPUIDRegister.allCases)
  func everythingElse(_ register: CPUIDRegister) throws {
    let cpuid = try CPUIDFixture(.allOnes)
    let named = Set(CPUIDRow.all.map { "\($0.leaf).\($0.subleaf).\($0.register)" })
    let strings: Set<UInt32> = [0x8000_0002, 0x8000_0003, 0x8000_0004]
    for leaf in Array(0...0xD) + Array(0x8000_0000...0x8000_0008) as [UInt32] {
      for subleaf in 0...20 as ClosedRange<UInt32> where subleaf == 0 || [4, 7, 0xD].contains(leaf) {
        if named.contains("\(leaf).\(subleaf).\(register)") || Self.isComputed(leaf, register) { continue }
        // The other caches and components are like those of the table.
        if leaf == 4 && subleaf < 8 || leaf == 0xD && 5...7 ~= subleaf || strings.contains(leaf) { continue }
        #expect(cpuid(leaf, subleaf)[register] == 0, "leaf \(leaf), sub-leaf \(subleaf)")
      }
    }
  }

  @Test(
    "No feature appears that the processor does not have", arguments: [1, 6, 7, 0x8000_0001, 0x8000_0007] as [UInt32])
  func nothingInvented(leaf: UInt32) throws {
    var configuration = ProcessorModel.Configuration.allOnes
    configuration.cpuid[.init(leaf)] = .zero
    configuration.cpuid[.init(1)]?.ecx |= 1 << 5
    let cpuid = try CPUIDFixture(configuration)
    let result = cpuid(leaf)
    // The hypervisor bit; MCE, MTRR and MCA, which Skep emulates.
    let invented: UInt32 = leaf == 1 ? 1 << 7 | 1 << 12 | 1 << 14 : 0
    // TSC_ADJUST too.
    #expect(result.eax == 0 && result.ebx == (leaf == 7 ? 1 << 1 : 0))
    #expect(result.ecx == (leaf == 1 ? 1 << 31 : 0) && result.edx == invented)
  }

  @Test(
    "Whatever the processor is, the guest has no more than it",
    arguments: [.sandyBridge, .haswell, .skylakeX] as [ProcessorModel.Configuration])
  func subset(_ configuration: ProcessorModel.Configuration) throws {
    let cpuid = try CPUIDFixture(configuration)
    for leaf in [1, 7, 0x8000_0001] as [UInt32] {
      let (guest, host) = (cpuid(leaf), cpuid.processor.cpuid(leaf, 0))
      #expect(guest.ecx & ~(host.ecx | (leaf == 1 ? 1 << 31 : 0)) == 0)
      #expect(guest.edx & ~(host.edx | (leaf == 1 ? 0x5080 : 0)) == 0)
      #expect(guest.ebx & ~(host.ebx | (leaf == 7 ? 1 << 1 : 0)) == 0)
    }
  }

  @Test("RDTSCP, RDPID and INVPCID are shown with their controls only")
  func controls() throws {
    let rows: [(SecondaryProcessorBasedVMExecutionControls, UInt32, CPUIDRegister, UInt32)] = [
      (.enableRDTSCP, 0x8000_0001, .edx, 27), (.enableRDTSCP, 7, .ecx, 22), (.enableINVPCID, 7, .ebx, 10),
    ]
    for (control, leaf, register, bit) in rows {
      var configuration = ProcessorModel.Configuration.allOnes
      #expect(try CPUIDFixture(configuration)(leaf)[register] >> bit & 1 == 1)
      configuration.secondary.remove(control)
      #expect(try CPUIDFixture(configuration)(leaf)[register] >> bit & 1 == 0)
    }
  }

  @Test(
    "The local APIC, x2APIC, TSC-deadline and ARAT are shown if the guest has one, whatever the processor has",
    arguments: [false, true], [ProcessorModel.Configuration.allOnes, .sandyBridge])
  func localAPIC(_ hasLocalAPIC: Bool, _ configuration: ProcessorModel.Configuration) throws {
    let cpuid = try CPUIDFixture(configuration, hasLocalAPIC: hasLocalAPIC)
    let expected: UInt32 = hasLocalAPIC ? 1 : 0
    #expect(cpuid(1).edx >> 9 & 1 == expected)
    #expect(cpuid(1).ecx >> 21 & 1 == expected && cpuid(1).ecx >> 24 & 1 == expected)
    if configuration.name != "all ones" { #expect(cpuid(6).eax == expected << 2) }
  }

  @Test("The APIC bit follows IA32_APIC_BASE.EN, and no other bit does")
  func enabled() throws {
    let cpuid = try CPUIDFixture(.skylakeX, hasLocalAPIC: true)
    let shown = cpuid(1)
    cpuid.table.setLocalAPICEnabled(false)
    #expect(cpuid(1).edx == shown.edx & ~(1 << 9) && cpuid(1).ecx == shown.ecx)
    cpuid.table.setLocalAPICEnabled(true)
    #expect(cpuid(1) == shown)
  }

  @Test("Without a local APIC there is one processor, and no topology", arguments: [1, 4] as [UInt32])
  func noTopology(count: UInt32) throws {
    let cpuid = try CPUIDFixture(.allOnes, apicID: 3, count: count)
    #expect(cpuid(1).ebx >> 16 == 0 && cpuid(1).edx >> 28 & 1 == 0 && cpuid(4).eax >> 14 == 0)
    for subleaf in [0, 1, 2, 0xFF, ~0] as [UInt32] {
      #expect(cpuid(0xB, subleaf) == CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0))
    }
  }

  /// The number of logical processors, and the bits of an APIC ID that tell them apart.
  static let topologies: [(count: UInt32, bits: UInt32)] = [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (255, 8)]

  @Test("Logical processors are cores of one package", arguments: topologies)
  func topology(count: UInt32, bits: UInt32) throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    // L1 data, L1 instruction, L2, L3, and no more.
    for (subleaf, eax) in [0x121, 0x122, 0x143, 0x163, 0].enumerated() {
      configuration.cpuid[.init(4, UInt32(subleaf))] = CPUIDResult(
        eax: UInt32(eax) | (eax == 0 ? 0 : 0xFFFF_C000), ebx: 1, ecx: 2, edx: 0)
    }
    for id in Set([0, 1, count - 1]).filter({ $0 < count }) {
      let cpuid = try CPUIDFixture(configuration, hasLocalAPIC: true, apicID: id, count: count)
      #expect(cpuid(1).ebx >> 24 == id)
      #expect(cpuid(1).ebx >> 16 & 0xFF == (count > 1 ? count : 0))
      #expect(cpuid(1).edx >> 28 & 1 == (count > 1 ? 1 : 0))
      let cores: UInt32 = min((1 << bits) - 1, 63)
      for subleaf in 0..<4 as Range<UInt32> {
        let eax = cpuid(4, subleaf).eax
        #expect(eax >> 26 == cores && eax >> 14 & 0xFFF == (subleaf == 3 ? cores : 0))
      }
      #expect(cpuid(4, 4).eax == 0)
      #expect(cpuid(0xB, 0) == CPUIDResult(eax: 0, ebx: 1, ecx: 0x100, edx: id))
      #expect(cpuid(0xB, 1) == CPUIDResult(eax: bits, ebx: count, ecx: 0x201, edx: id))
      for subleaf in [2, 3, 0x1FF, ~0] as [UInt32] {
        #expect(cpuid(0xB, subleaf) == CPUIDResult(eax: 0, ebx: 0, ecx: subleaf & 0xFF, edx: id))
      }
    }
  }

  @Test("A guest with a local APIC has leaf 0BH even if the processor ends before it")
  func leafB() throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.cpuid[.init(0)]?.eax = 7
    let cpuid = try CPUIDFixture(configuration, hasLocalAPIC: true, apicID: 1, count: 2)
    #expect(cpuid(0).eax == 0xB && cpuid(0xB, 1).ebx == 2)
    #expect(try CPUIDFixture(configuration)(0).eax == 7)
  }
}

@Suite struct CPUIDTableTests {
  @Test("The highest leaves are the processor's, up to 0DH and 80000008H")
  func highestLeaves() throws {
    for (basic, expected) in [(0xD, 0xD), (0x20, 0xD), (0xB, 0xB)] as [(UInt32, UInt32)] {
      var configuration = ProcessorModel.Configuration.allOnes
      configuration.cpuid[.init(0)]?.eax = basic
      #expect(try CPUIDFixture(configuration)(0).eax == expected)
    }
    for (extended, expected) in [(0x8000_0008, 0x8000_0008), (0x8000_0021, 0x8000_0008), (0x8000_0004, 0x8000_0004)]
      as [(UInt32, UInt32)]
    {
      var configuration = ProcessorModel.Configuration.allOnes
      configuration.cpuid[.init(0x8000_0000)]?.eax = extended
      #expect(try CPUIDFixture(configuration)(0x8000_0000).eax == expected)
    }
  }

  @Test(
    "A leaf that the guest does not have gives the data of the highest basic leaf",
    arguments: [
      0xE, 0xF, 0x10, 0x14, 0x16, 0x20, 0x3FFF_FFFF, 0x4000_0011, 0x4000_0020, 0x4000_0100, 0x7FFF_FFFF, 0x8000_0009,
      0x8000_000F, 0x8000_0010, 0x8860_0000, 0xC000_0000, 0xFFFF_FFFF,
    ] as [UInt32])
  func outOfRange(leaf: UInt32) throws {
    let cpuid = try CPUIDFixture(.allOnes)
    for subleaf in [0, 1, 2, 9, 10, 0xFFFF_FFFF] as [UInt32] {
      #expect(cpuid(leaf, subleaf) == cpuid(0xD, subleaf))
    }
    var old = ProcessorModel.Configuration.allOnes
    old.cpuid[.init(0)]?.eax = 0xB
    old.cpuid[.init(0xB)] = .allOnes
    #expect(try CPUIDFixture(old)(leaf) == CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0))
  }

  @Test("With x2APIC mode, leaf 40000100H is that of KVM without features")
  func leafOfKVM() throws {
    let cpuid = try CPUIDFixture(.skylakeX, hasLocalAPIC: true)
    let found = cpuid(0x4000_0100)
    #expect(found == CPUIDResult(eax: 0x4000_0101, ebx: 0x4B4D_564B, ecx: 0x564B_4D56, edx: 0x4D))
    #expect(cpuid(0x4000_0101) == CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0))
  }

  @Test("Sub-leaves beyond the last are 0", arguments: [(4, 8), (7, 2), (0xD, 10)] as [(UInt32, UInt32)])
  func subleaves(leaf: UInt32, first: UInt32) throws {
    let cpuid = try CPUIDFixture(.allOnes)
    for subleaf in [first, first + 1, 0x100, 0x8000_0000, 0xFFFF_FFFF] {
      #expect(cpuid(leaf, subleaf) == CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0))
    }
  }

  @Test("A sub-leaf of leaf 7 beyond the processor's highest is 0")
  func leaf7() throws {
    var configuration = ProcessorModel.Configuration.allOnes
    configuration.cpuid[.init(7)]?.eax = 0
    let cpuid = try CPUIDFixture(configuration)
    #expect(cpuid(7, 0).eax == 0 && cpuid(7, 1) == CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0))
  }

  @Test("OSXSAVE and OSPKE mirror the guest's CR4")
  func mirrored() throws {
    let cpuid = try CPUIDFixture(.allOnes)
    for (leaf, bit, cr4Bit) in [(1, 27, 18), (7, 4, 22)] as [(UInt32, UInt32, UInt64)] {
      for cr4 in [0, 1 << cr4Bit, ~(1 << cr4Bit), ~0] as [UInt64] {
        let expected = cr4 >> cr4Bit & 1 != 0
        #expect((cpuid(leaf, cr4: cr4).ecx >> bit & 1 != 0) == expected)
      }
    }
  }

  @Test("SYSCALL is shown to 64-bit code alone")
  func syscall() throws {
    let cpuid = try CPUIDFixture(.allOnes)
    for is64Bit in [false, true] {
      #expect((cpuid(0x8000_0001, is64Bit: is64Bit).edx >> 11 & 1 != 0) == is64Bit)
      #expect(cpuid(0x8000_0001, is64Bit: is64Bit).edx | 1 << 11 == cpuid(0x8000_0001).edx)
    }
  }

  @Test("The features of the firmware's tables are those that CPUID shows", arguments: [1, 2] as [UInt32])
  func processorFeatures(count: UInt32) throws {
    let cpuid = try CPUIDFixture(.allOnes, hasLocalAPIC: true, count: count)
    let policy = CPUIDPolicy(
      support: try VMXSupport(of: cpuid.processor), tscFrequency: 0, hasLocalAPIC: true, logicalProcessorCount: count)
    #expect(policy.processorFeatures(of: ~0) == cpuid(1).edx)
  }

  @Test("CR4, XCR0 and the mode are asked for by the leaves that show them, and by no other")
  func asking() throws {
    let table = try CPUIDFixture(.allOnes).table
    for leaf in Array(0...0x20) + Array(0x4000_0000...0x4000_0012) + Array(0x8000_0000...0x8000_0009) as [UInt32] {
      var (cr4Reads, xcr0Reads, modeReads) = (0, 0, 0)
      func cr4() -> CR4 {
        cr4Reads += 1
        return CR4(rawValue: 0)
      }
      func xcr0() -> UInt64 {
        xcr0Reads += 1
        return 1
      }
      func is64Bit() -> Bool {
        modeReads += 1
        return true
      }
      _ = table.lookup(leaf: leaf, subleaf: 0, cr4: cr4(), xcr0: xcr0(), is64Bit: is64Bit())
      let isHighest =
        leaf >= 0xD && leaf < 0x4000_0000 || leaf == 0x4000_0011 || leaf == 0x4000_0012 || leaf == 0x8000_0009
      #expect(modeReads == (leaf == 0x8000_0001 ? 1 : 0), "leaf \(leaf)")
      #expect(cr4Reads == (leaf == 1 || leaf == 7 ? 1 : 0), "leaf \(leaf)")
      #expect(xcr0Reads == (isHighest ? 1 : 0), "leaf \(leaf)")
    }
  }

  @Test("The hypervisor leaves name Skep and the time-stamp counter's frequency")
  func hypervisor() throws {
    let cpuid = try CPUIDFixture(.allOnes, tscFrequency: 3_500_000)
    let first = cpuid(0x4000_0000)
    #expect(first.eax == 0x4000_0010)
    let name = [first.ebx, first.ecx, first.edx].flatMap { word in (0..<4).map { UInt8(word >> ($0 * 8) & 0xFF) } }
    #expect(String(decoding: name, as: UTF8.self) == "SkepSkepSkep")
    #expect(cpuid(0x4000_0010) == CPUIDResult(eax: 3_500_000, ebx: 0, ecx: 0, edx: 0))
    for leaf in 0x4000_0001...0x4000_000F as ClosedRange<UInt32> {
      #expect(cpuid(leaf) == CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0))
    }
  }

  @Test("Addresses have no more bits than the extended page tables and 4-level paging translate")
  func addressWidths() throws {
    for (host, guest, width) in [(0x3024, 0x3024, 36), (0x302E, 0x302E, 46), (0x3934, 0x3030, 48)]
      as [(UInt32, UInt32, UInt8)]
    {
      var configuration = ProcessorModel.Configuration.allOnes
      configuration.cpuid[.init(0x8000_0008)]?.eax = host
      let cpuid = try CPUIDFixture(configuration)
      #expect(cpuid(0x8000_0008).eax == guest)
      #expect(cpuid.table.physicalAddressWidth == width)
    }
  }

  @Test("The guest may set the bits of CR4 whose features it sees, and those only")
  func supportedCR4() throws {
    // CPUID leaf, register, bit; the bits of CR4 that come with it.
    let rows: [(UInt32, CPUIDRegister, UInt32, [UInt64])] = [
      (1, .edx, 1, [0, 1]), (1, .edx, 4, [2]), (1, .edx, 2, [3]), (1, .edx, 3, [4]), (1, .edx, 6, [5]),
      (1, .edx, 13, [7]), (1, .edx, 24, [9]), (1, .edx, 25, [10]), (7, .ecx, 2, [11]), (7, .ebx, 0, [16]),
      (1, .ecx, 17, [17]), (1, .ecx, 26, [18, 22]), (7, .ebx, 7, [20]), (7, .ebx, 20, [21]), (7, .ecx, 3, [22]),
    ]
    let all = try CPUIDFixture(.allOnes).table.supportedCR4
    #expect(all == 0x77_0FFF, "all but LA57, VMXE, SMXE, KL, CET, PKS, UINTR, LASS, LAM_SUP, FRED")
    for (leaf, register, bit, cr4Bits) in rows {
      var configuration = ProcessorModel.Configuration.allOnes
      configuration.cpuid[.init(leaf)]?[register] &= ~(1 << bit)
      let expected = cr4Bits.reduce(all) { $0 & ~(1 << $1) }
      #expect(try CPUIDFixture(configuration).table.supportedCR4 == expected, "leaf \(leaf), bit \(bit)")
    }
    for bit in 0..<23 as Range<UInt64> where bit != 13 {
      var configuration = ProcessorModel.Configuration.allOnes
      configuration.cr4Fixed1 &= ~(1 << bit)
      #expect(try CPUIDFixture(configuration).table.supportedCR4 >> bit & 1 == 0, "CR4 bit \(bit)")
    }
  }
}
