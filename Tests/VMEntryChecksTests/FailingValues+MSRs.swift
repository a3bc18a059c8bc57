import VMCS
import VMEntryChecks

extension FailingValues {
  private static let memoryTypes: [UInt64] = [0, 1, 4, 5, 6, 7]

  static let commonMSRs: [FailingValues] = joined(
    commonMSRs(
      "host", .hostIA32PERFGLOBALCTRL, .hostIA32PAT, .hostIA32SCET, .hostIA32PKRS, .hostIA32SPECCTRL,
      loaded: (off(exit, 12), off(exit, 19), off(exit, 28), off(exit, 29)),
      speculation: [off(.secondaryVMExitControls, 2), off(exit, 31)]),
    commonMSRs(
      "guest", .guestIA32PERFGLOBALCTRL, .guestIA32PAT, .guestIA32SCET, .guestIA32PKRS, .guestIA32SPECCTRL,
      loaded: (off(entry, 13), off(entry, 14), off(entry, 20), off(entry, 22)), speculation: [off(entry, 24)]))

  private static func commonMSRs(
    _ area: String, _ perf: VMCSField<UInt64, ReadWrite>, _ pat: VMCSField<IA32PAT, ReadWrite>,
    _ sCET: VMCSField<IA32SCET, ReadWrite>, _ pkrs: VMCSField<IA32PKRS, ReadWrite>,
    _ specCtrl: VMCSField<IA32SPECCTRL, ReadWrite>,
    loaded: (perf: Change, pat: Change, cet: Change, pkrs: Change), speculation notSpeculation: [Change]
  ) -> [FailingValues] {
    var all = [
      bits("\(area).pkrs.reserved", .rich, pkrs, "63:32", except: [loaded.pkrs]),
      bits("\(area).s-cet.reserved", .rich, sCET, "9:6", except: [loaded.cet]),
      bits("\(area).s-cet.reserved", .rich, sCET, "9:6, 1:0", "no shadow stacks") {
        $0[sCET] = 0
        $0.capabilities[.cpuid7ECX]? &= ~(1 << 7)
      },
      bits("\(area).s-cet.reserved", .rich, sCET, "63:2", "no indirect branch tracking") {
        $0[sCET] = 0
        $0.capabilities[.cpuid7EDX]? &= ~(1 << 20)
      },
      bits("\(area).s-cet.reserved", .rich, of: .cpuid7ECX, "7", except: [set(sCET, 0)]),
      bits("\(area).s-cet.reserved", .rich, of: .cpuid7EDX, "20", except: [set(sCET, 0)]),
      bits(
        "\(area).s-cet.suppress-and-tracker", .rich, sCET, "11", "SUPPRESS", except: [loaded.cet], setUp: on(sCET, 10)),
      bits(
        "\(area).s-cet.suppress-and-tracker", .rich, sCET, "10", "TRACKER", except: [loaded.cet], setUp: on(sCET, 11)),
    ]
    all += (0..<8).map { byte in
      values(
        "\(area).pat.memory-types", .rich, pat, of: 0...255, mask: 0xFF, shift: 8 * byte,
        (0...255).filter { !memoryTypes.contains($0) }, "byte \(byte)", except: [loaded.pat])
    }
    return all + performance(area, perf, loaded.perf) + speculation(area, specCtrl, notSpeculation)
  }

  /// IA32_PERF_GLOBAL_CTRL.
  private static func performance(
    _ area: String, _ field: VMCSField<UInt64, ReadWrite>, _ notLoaded: @escaping Change
  ) -> [FailingValues] {
    func row(_ failing: String, _ note: String, setUp: @escaping Change = { _ in }) -> FailingValues {
      bits("\(area).perf-global-ctrl.reserved", .rich, field, failing, note, except: [notLoaded]) {
        $0[field] = 0
        setUp(&$0)
      }
    }
    let counters: [(UInt64, String)] = [
      (0, ", 31:0"), (1, ", 31:1"), (31, ", 31"), (32, ""), (33, ""), (255, ""), (256, ", 31:0"),
    ]
    let contiguous: [(UInt64, String)] = [
      (0, ", 46:33"), (1, ", 46:33"), (15, ""), (16, ""), (17, ""), (31, ""), (32, ", 46:33"),
    ]
    return [
      bits("\(area).perf-global-ctrl.reserved", .rich, field, "63:49, 47:36, 31:8", except: [notLoaded]),
      row("63:36, 31:8", "no performance metrics") { $0.capabilities[.ia32PERFCAPABILITIES] = ~(1 << 15) },
      row("63:49, 47:36, 31:8", "performance metrics") { $0.capabilities[.ia32PERFCAPABILITIES] = 1 << 15 },
      row("63:48, 31:8", "17 contiguous fixed-function counters, one in use") {
        $0[field] = 1 << 32
        $0.capabilities[.cpuidAEDX] = 17
        $0.capabilities[.cpuidAECX] = 0
        $0.capabilities[.ia32PERFCAPABILITIES] = 0
      },
      row("63:48, 31:8", "17 contiguous fixed-function counters, no performance metrics") {
        $0.capabilities[.cpuidAEDX] = 17
        $0.capabilities[.cpuidAECX] = 0
        $0.capabilities[.ia32PERFCAPABILITIES] = 0
      },
      row("63:49, 31:8", "all fixed-function counters of a bit mask") {
        $0.capabilities[.cpuidAECX] = 0xFFFF_FFFF
        $0.capabilities[.cpuidAEDX] = 0
      },
    ]
      + counters.map { count, reserved in
        row("63:49, 47:36\(reserved)", "\(count) general-purpose counters") {
          $0.capabilities[.cpuidAEAX] = count << 8 | 5
        }
      }
      + contiguous.map { count, reserved in
        row("63:49, 31:8\(count == 15 ? "" : reserved)", "\(count) fixed-function counters") {
          $0.capabilities[.cpuidAEDX] = count
          $0.capabilities[.cpuidAECX] = 0x8001
        }
      }
  }

  /// IA32_SPEC_CTRL.
  private static func speculation(
    _ area: String, _ field: VMCSField<IA32SPECCTRL, ReadWrite>, _ notLoaded: [Change]
  ) -> [FailingValues] {
    func row(_ allowed: String, _ note: String, _ edx: UInt64, _ subleaf2EDX: UInt64) -> FailingValues {
      let reserved = numbers("63:0").subtracting(numbers(allowed)).sorted().map { "\($0)" }.joined(separator: ", ")
      return bits("\(area).spec-ctrl.reserved", .rich, field, reserved, note, except: notLoaded) {
        $0[field] = 0
        $0.capabilities[.cpuid7EDX] = edx
        $0.capabilities[.cpuid7Subleaf2EDX] = subleaf2EDX
      }
    }
    return [
      bits("\(area).spec-ctrl.reserved", .rich, field, "63:11, 9", except: notLoaded),
      row("1:0", "IBRS", 1 << 26, 0), row("1", "STIBP", 1 << 27, 0), row("2", "SSBD", 1 << 31, 0),
      row("7", "PSFD", 0, 1), row("4:3", "IPRED_CTRL", 0, 2), row("6:5", "RRSBA_CTRL", 0, 4), row("8", "DDPD_U", 0, 8),
      row("10", "BHI_CTRL", 0, 0x10), row("", "others", ~(1 << 26 | 1 << 27 | 1 << 31), ~0x1F),
    ]
  }

  private static func msr(
    _ suffix: String, _ indexes: [UInt64], _ failing: [UInt64], entry number: UInt64 = 2, note: String = "",
    except exceptions: [Change] = []
  ) -> FailingValues {
    FailingValues(
      id: "msr-load.\(suffix)", base: .rich, note: "entry \(number) \(note)", setUp: { _ in }, candidates: indexes,
      failing: Set(failing), exceptions: exceptions
    ) { state, index in state.memory[0x2_FFF0 + 16 * number] = index }
  }

  private static func data(
    _ index: UInt64, _ base: UInt64, _ failing: String, _ note: String = "", except exceptions: [Change] = [],
    setUp: @escaping Change = { _ in }
  ) -> FailingValues {
    bits("msr-load.value", .rich, at: 0x3_0018, failing, String(index, radix: 16) + note, except: exceptions) {
      $0.memory[0x3_0010] = index
      $0.memory[0x3_0018] = base
      setUp(&$0)
    }
  }

  private static let addressMSRs: [UInt64] = [0x175, 0x176, 0x600, 0xC000_0082, 0xC000_0083, 0xC000_0102]

  static let msrLoading: [FailingValues] = joined(
    msrIndexes, msrData, addressMSRs.map { data($0, 0, "63:47") }, addressMSRs.map { data($0, ~0, "63:47", " high") },
    (1...4).map(entryCount), msrEntries)

  private static let msrIndexes: [FailingValues] = [
    msr("fs-gs-base", [0xC000_00FF, 0xC000_0100, 0xC000_0101, 0xC000_0102], [0xC000_0100, 0xC000_0101]),
    msr("x2apic", [0x700, 0x7FF, 0x800, 0x8FF, 0x900, 0x1800], [0x800, 0x8FF]),
    msr("smm-only", [0x9A, 0x9B, 0x9C], [0x9B], except: [{ $0.facts.isInSMM = true }]),
    msr("model-specific", [0x78, 0x79, 0x7A], [0x79]),
    // The first and the last entry, and the one after it.
    msr("model-specific", [0x79], [0x79], entry: 1, except: [set(.vmEntryMSRLoadCount, 0)]),
    msr("model-specific", [0x79], [0x79], entry: 3, except: [set(.vmEntryMSRLoadCount, 0)]),
    msr("model-specific", [0x79], [], entry: 4),
    bits("msr-load.reserved", .rich, at: 0x3_0010, "63:32"),
  ]

  private static let msrData: [FailingValues] = [
    data(0xC000_0080, 0xD01, "63:12, 9:8, 7:1"),
    data(0xC000_0080, 0xD01, "63:12, 9, 7:1", " without paging") { $0[.guestCR0] &= ~(1 << 31) },
    data(0xC000_0080, 0x800, "63:12, 9:8, 7:1", " outside IA-32e mode") {
      $0[.vmEntryControls] &= ~(1 << 9)
      $0.memory[0x3_0028] = 0x800
    },
    // With 0 in every byte, bit 1 makes 2, and bits 7:3 make 8 and more.
    data(0x277, 0, "63:59, 57, 55:51, 49, 47:43, 41, 39:35, 33, 31:27, 25, 23:19, 17, 15:11, 9, 7:3, 1"),
    data(0x174, 0, "", " in no rule"),
  ]

  /// With `count` entries, those up to the last are looked at.
  private static func entryCount(_ count: UInt64) -> FailingValues {
    FailingValues(
      id: "msr-load.model-specific", base: .rich, note: "\(count) entries", setUp: set(.vmEntryMSRLoadCount, count),
      candidates: [1, 2, 3], failing: Set([1, 2, 3].filter { $0 <= count }), exceptions: []
    ) { state, number in
      state.memory[0x2_FFF0 + 16 * number] = 0x79
      state.memory[0x3_0030] = 0x174
      state.memory[0x3_0038] = 0
    }
  }

  /// Many entries, of which one cannot be loaded.
  private static func manyEntries(failing: UInt64) -> Change {
    { state in
      for number: UInt64 in 1...5000 {
        state.memory[0x2_FFF0 + 16 * number] = number == failing ? 0x79 : 0x174
        state.memory[0x2_FFF8 + 16 * number] = 0
      }
    }
  }

  private static let msrEntries: [FailingValues] = [
    // Bits 3:0 of the address are not used.
    bits("msr-load.model-specific", .rich, .vmEntryMSRLoadAddress, "3:0", undecidable: "63:4") {
      $0.memory = [0x3_0000: 0x79, 0x3_0008: 0]
    },
    // Of more than 4096 entries, none after these is looked at.
    values(
      "msr-load.model-specific", .rich, .vmEntryMSRLoadCount, of: [4095, 4096, 4097, 5000], [4096, 4097, 5000],
      setUp: manyEntries(failing: 4096)),
    values(
      "msr-load.model-specific", .rich, .vmEntryMSRLoadCount, of: [4096, 4097, 5000], [],
      setUp: manyEntries(failing: 4097)),
  ]
}
