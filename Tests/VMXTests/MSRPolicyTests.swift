import Testing
import VMCS

@testable import VMX

@Suite struct MSRPolicyTests {
  static func policy() -> MSRPolicy { MSRPolicy(physicalAddressWidth: 46, tscFrequency: 3_500_000) }

  /// The MSRs that can be read, with their first values, and whether a write of that same value is accepted.
  static let readable: [(msr: UInt32, value: UInt64, isWritable: Bool)] =
    [
      (0x0, 0, false), (0x1, 0, false),  // IA32_P5_MC_ADDR, IA32_P5_MC_TYPE
      (0x17, 0, false),  // IA32_PLATFORM_ID
      (0x1B, 0xFEE0_0100, true),  // IA32_APIC_BASE
      (0x34, 0, false),  // MSR_SMI_COUNT
      (0x3A, 1, false),  // IA32_FEATURE_CONTROL
      (0x8B, 0, true),  // IA32_BIOS_SIGN_ID
      (0xCE, 0x23 << 8 | 0x23 << 40, false),  // MSR_PLATFORM_INFO
      (0xFE, 0x508, false),  // IA32_MTRRCAP
      (0x179, 0, false),  // IA32_MCG_CAP
      (0x17A, 0, true),  // IA32_MCG_STATUS
      (0x1A0, 0x1801, true),  // IA32_MISC_ENABLE
      (0x1AD, 0x2323_2323_2323_2323, false),  // MSR_TURBO_RATIO_LIMIT
      (0x200, 0xC000_0000, true), (0x201, 0x3FFF_C000_0800, true),  // IA32_MTRR_PHYSBASE0, _PHYSMASK0
      (0x250, 0x0606_0606_0606_0606, true),  // IA32_MTRR_FIX64K_00000
      (0x258, 0x0606_0606_0606_0606, true), (0x259, 0, true),  // IA32_MTRR_FIX16K_80000, _A0000
      (0x277, 0x0007_0406_0007_0406, true),  // IA32_PAT
      (0x2FF, 0xC06, true),  // IA32_MTRR_DEF_TYPE
    ] + (0x202...0x20F).map { ($0, 0, true) } + (0x268...0x26F).map { ($0, 0x0505_0505_0505_0505, true) }

  /// The MSRs that cannot be read but can be written: IA32_TIME_STAMP_COUNTER, whose reads do not exit, and
  /// IA32_BIOS_UPDT_TRIG.
  static let writeOnly: Set<UInt32> = [0x10, 0x79]
  /// IA32_DEBUGCTL is a field of the VMCS.
  static let inVMCS: Set<UInt32> = [0x1D9]
  /// IA32_TSC_ADJUST follows from the TSC offset.
  static let tscAdjust: UInt32 = 0x3B
  /// IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC's.
  static let ofLocalAPIC = Set([0x1B, 0x6E0] + Array(0x800...0x8FF) as [UInt32])

  @Test("An MSR has its value after power-up, and takes it back if it is not read-only", arguments: readable)
  func values(msr: UInt32, value: UInt64, isWritable: Bool) {
    var policy = Self.policy()
    #expect(policy.read(MSR(rawValue: msr)) == .value(value))
    #expect(policy.write(MSR(rawValue: msr), value) == (isWritable ? .done : .generalProtection))
    #expect(policy.read(MSR(rawValue: msr)) == .value(value))
  }

  @Test("Every other MSR causes #GP(0)")
  func unknown() {
    var policy = Self.policy()
    let known = Set(Self.readable.map(\.msr)).union(Self.inVMCS).union([Self.tscAdjust])
    let ranges: [ClosedRange<UInt32>] = [
      0...0x2FFF, 0xC000_0000...0xC000_2FFF, 0xC001_0000...0xC001_1FFF, 0x4000_0000...0x4000_01FF,
      0x4B56_4D00...0x4B56_4DFF, 0xFFFF_FF00...0xFFFF_FFFF,
    ]
    for msr in ranges.joined() where !known.contains(msr) {
      #expect(policy.read(MSR(rawValue: msr)) == .generalProtection, "RDMSR of \(String(msr, radix: 16))")
      guard !Self.writeOnly.contains(msr) else { continue }
      for value in [0, 1, ~0] as [UInt64] {
        #expect(policy.write(MSR(rawValue: msr), value) == .generalProtection, "WRMSR to \(String(msr, radix: 16))")
      }
    }
  }

  @Test("A local APIC answers for its own MSRs, and for no other")
  func localAPIC() {
    var policy = MSRPolicy(physicalAddressWidth: 46, tscFrequency: 3_500_000, hasLocalAPIC: true)
    for index in (0...0x2FFF as ClosedRange<UInt32>) {
      let msr = MSR(rawValue: index)
      let isIts = Self.ofLocalAPIC.contains(index)
      #expect((policy.read(msr) == .localAPIC) == isIts && MSRPolicy.isOfLocalAPIC(msr) == isIts)
      for value in [0, 0xFEE0_0900, ~0] as [UInt64] { #expect((policy.write(msr, value) == .localAPIC) == isIts) }
    }
  }

  @Test("F13 IA32_TSC_ADJUST is the vCPU's", arguments: [0, 1, ~0] as [UInt64])
  func timestampCounterAdjustment(_ value: UInt64) {
    var policy = Self.policy()
    #expect(policy.read(.ia32TSCADJUST) == .timestampCounterAdjustment)
    #expect(policy.write(.ia32TSCADJUST, value) == .timestampCounterAdjustment(value))
  }

  @Test("A refused write changes nothing")
  func refused() {
    for (msr, value, _) in Self.readable {
      for bit in 0..<64 as Range<UInt64> {
        var policy = Self.policy()
        if policy.write(MSR(rawValue: msr), value ^ 1 << bit) != .generalProtection { continue }
        #expect(policy.read(MSR(rawValue: msr)) == .value(value))
      }
    }
  }

  @Test(
    "F13 a write to the time-stamp counter is the vCPU's", arguments: [0, 1, 0x1234_5678_9ABC_DEF0, ~0] as [UInt64])
  func timestampCounter(_ value: UInt64) {
    var policy = Self.policy()
    #expect(policy.write(.ia32TIMESTAMPCOUNTER, value) == .timestampCounter(value))
  }

  @Test(
    "IA32_DEBUGCTL takes BTF, and no bit of a feature that CPUID hides",
    arguments: (0..<64).map { ($0, $0 == 1) } as [(UInt64, Bool)])
  func debugControl(bit: UInt64, isAccepted: Bool) {
    var policy = Self.policy()
    #expect(policy.read(.ia32DEBUGCTL) == .debugControl)
    #expect(policy.write(.ia32DEBUGCTL, 0) == .debugControl(0))
    #expect(policy.write(.ia32DEBUGCTL, 1 << bit) == (isAccepted ? .debugControl(1 << bit) : .generalProtection))
  }

  @Test("IA32_APIC_BASE can be neither moved nor enabled", arguments: 0..<64 as Range<UInt64>)
  func apicBase(bit: UInt64) {
    var policy = Self.policy()
    #expect(policy.write(.ia32APICBASE, 0xFEE0_0100 ^ 1 << bit) == .generalProtection)
  }

  @Test(
    "IA32_MISC_ENABLE: fast strings switch, XD disable is ignored, nothing else moves",
    arguments: 0..<64 as Range<UInt64>)
  func miscellaneousEnable(bit: UInt64) {
    var policy = Self.policy()
    let value: UInt64 = 0x1801 ^ 1 << bit
    let result = policy.write(.ia32MISCENABLE, value)
    #expect(result == (bit == 0 || bit == 34 ? .done : .generalProtection))
    #expect(policy.read(.ia32MISCENABLE) == .value(bit == 0 ? 0x1800 : 0x1801))
  }

  @Test("IA32_PAT takes the memory types that PAT encodes in each of its entries", arguments: 0..<8 as Range<UInt64>)
  func pat(entry: UInt64) {
    for type in 0...255 as ClosedRange<UInt64> {
      var policy = Self.policy()
      let value: UInt64 = 0x0007_0406_0007_0406 & ~(0xFF << (8 * entry)) | type << (8 * entry)
      let isLegal = [0, 1, 4, 5, 6, 7].contains(type)
      #expect(policy.write(.ia32PAT, value) == (isLegal ? .done : .generalProtection))
      #expect(policy.read(.ia32PAT) == .value(isLegal ? value : 0x0007_0406_0007_0406))
    }
  }

  @Test("IA32_MCG_STATUS has three bits", arguments: 0..<64 as Range<UInt64>)
  func machineCheckStatus(bit: UInt64) {
    var policy = Self.policy()
    #expect(policy.write(.ia32MCGSTATUS, 1 << bit) == (bit < 3 ? .done : .generalProtection))
    #expect(policy.read(.ia32MCGSTATUS) == .value(bit < 3 ? 1 << bit : 0))
  }

  @Test("Writes that ask for the microcode's revision, or for an update, change nothing")
  func microcode() {
    var policy = Self.policy()
    #expect(policy.write(.ia32BIOSSIGNID, ~0) == .done && policy.read(.ia32BIOSSIGNID) == .value(0))
    #expect(policy.write(.ia32BIOSUPDTTRIG, 0x1234) == .done && policy.read(.ia32BIOSUPDTTRIG) == .generalProtection)
  }

  /// What Linux 6.1 reads and writes without catching #GP on an Intel processor of family 6 with the features that
  /// `CPUIDPolicy` shows: verify_cpu.S, intel.c, common.c, mtrr, pat, mce/core.c.
  @Test("Linux 6.1 does without exceptions what it does not catch")
  func linux() {
    var policy = Self.policy()
    func reads(_ msrs: [UInt32]) -> Bool {
      msrs.allSatisfy { if case .value = policy.read(MSR(rawValue: $0)) { true } else { false } }
    }
    let mtrrs = [0xFE, 0x2FF, 0x250, 0x258, 0x259] + Array(0x268...0x26F) + Array(0x200...0x20F) as [UInt32]
    #expect(reads([0x1A0, 0x17, 0x8B, 0x1B, 0x3A, 0x179, 0x17A, 0x277] + mtrrs))
    #expect(policy.write(.ia32BIOSSIGNID, 0) == .done)
    #expect(policy.write(.ia32MCGSTATUS, 0) == .done)
    #expect(policy.write(.ia32DEBUGCTL, 0) == .debugControl(0))
    // pat_bp_init: WB, WC, UC-, UC, WB, WP, UC-, WT.
    #expect(policy.write(.ia32PAT, 0x0407_0506_0007_0106) == .done)
    // prepare_set and post_set around every change of MTRRs: disabled, then as before.
    #expect(policy.write(.ia32MTRRDEFTYPE, 0x000) == .done)
    #expect(policy.write(.ia32MTRRDEFTYPE, 0xC06) == .done)
  }
}
