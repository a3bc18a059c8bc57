import VMCS

/// A guest's memory type range registers (SDM, "Memory Type Range Registers (MTRRs)").
///
/// They are stored and checked but change nothing: the extended page tables make all memory write-back, and the guest's
/// PAT applies on top.
@frozen
public struct MTRRs: Sendable {
  /// The number of pairs of IA32_MTRR_PHYSBASEn and IA32_MTRR_PHYSMASKn.
  public static var variableRangeCount: UInt32 { 8 }

  /// IA32_MTRRCAP: eight variable ranges, fixed ranges, write combining.
  public static var capability: UInt64 { UInt64(variableRangeCount) | 1 << 8 | 1 << 10 }

  private var variable: InlineArray<16, UInt64> = InlineArray(repeating: 0)
  private var fixed: InlineArray<11, UInt64>
  private var defaultType: UInt64
  private let physicalAddressMask: UInt64

  /// Makes the registers as firmware leaves them: MTRRs enabled, write-back by default, the video memory from A0000H and
  /// the gigabyte below 4 GiB, where devices are, uncacheable, the ROMs write-protected.
  ///
  /// - Parameter physicalAddressWidth: the number of bits of a guest-physical address; at least 32.
  public init(physicalAddressWidth: UInt8) {
    physicalAddressMask = (1 << UInt64(physicalAddressWidth)) - 1
    let writeBack: UInt64 = 0x0606_0606_0606_0606
    let writeProtected: UInt64 = 0x0505_0505_0505_0505
    fixed = InlineArray(repeating: writeProtected)
    fixed[0] = writeBack
    fixed[1] = writeBack
    fixed[2] = 0
    defaultType = Self.enable | Self.fixedRangeEnable | UInt64(MemoryType.writeBack.rawValue)
    variable[0] = 0xC000_0000
    variable[1] = physicalAddressMask & ~0x3FFF_FFFF | Self.valid
  }

  /// The value of `msr`, nil if it is not one of the registers.
  public func read(_ msr: MSR) -> UInt64? {
    switch Self.register(msr) {
    case .capability: Self.capability
    case .defaultType: defaultType
    case .variable(let index): variable[index]
    case .fixed(let index): fixed[index]
    case nil: nil
    }
  }

  /// Gives `msr` a value; false, which means #GP(0), if it is not one of the registers, if it is read-only, or if the value
  /// has a reserved bit or memory type.
  public mutating func write(_ msr: MSR, _ value: UInt64) -> Bool {
    switch Self.register(msr) {
    case .defaultType:
      guard value & ~(Self.enable | Self.fixedRangeEnable | 0xFF) == 0, Self.isMemoryType(value) else { return false }
      defaultType = value
    case .variable(let index):
      let isMask = index & 1 != 0
      let allowed = physicalAddressMask & ~0xFFF | (isMask ? Self.valid : 0xFF)
      guard value & ~allowed == 0, isMask || Self.isMemoryType(value) else { return false }
      variable[index] = value
    case .fixed(let index):
      for shift in stride(from: UInt64(0), to: 64, by: 8) where !Self.isMemoryType(value >> shift) { return false }
      fixed[index] = value
    case .capability, nil: return false
    }
    return true
  }

  private static var enable: UInt64 { 1 << 11 }
  private static var fixedRangeEnable: UInt64 { 1 << 10 }
  private static var valid: UInt64 { 1 << 11 }

  /// UC, WC, WT, WP, WB.
  private static func isMemoryType(_ value: UInt64) -> Bool {
    switch value & 0xFF {
    case 0, 1, 4, 5, 6: true
    default: false
    }
  }

  private enum Register {
    case capability
    case defaultType
    case variable(Int)
    case fixed(Int)
  }

  private static func register(_ msr: MSR) -> Register? {
    switch msr.rawValue {
    case MSR.ia32MTRRCAP.rawValue: .capability
    case MSR.ia32MTRRDEFTYPE.rawValue: .defaultType
    case 0x200..<0x200 + 2 * variableRangeCount: .variable(Int(msr.rawValue - 0x200))
    case MSR.ia32MTRRFIX64K00000.rawValue: .fixed(0)
    case MSR.ia32MTRRFIX16K80000.rawValue: .fixed(1)
    case MSR.ia32MTRRFIX16KA0000.rawValue: .fixed(2)
    case 0x268...0x26F: .fixed(Int(3 + msr.rawValue - 0x268))
    default: nil
    }
  }
}
