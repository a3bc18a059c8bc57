import VMCS

/// The default sizes of an instruction's operands and addresses (SDM, "Operand-Size and Address-Size Attributes").
@frozen
public struct SizeAttributes: Equatable, Sendable {
  /// The default address size in bytes: 2, 4, or 8 in 64-bit mode.
  public var code: Int
  /// The stack address-size attribute in bytes: 2, 4, or 8 in 64-bit mode.
  public var stack: Int

  /// Makes them.
  @inlinable
  public init(code: Int, stack: Int) {
    self.code = code
    self.stack = stack
  }

  /// 64-bit mode.
  @inlinable
  public static var long: Self { Self(code: 8, stack: 8) }

  /// Whether the code is 64-bit code.
  @inlinable
  public var is64Bit: Bool { code == 8 }
}

/// The prefixes of an instruction (SDM, "Instruction Prefixes" and "REX Prefixes").
@frozen
public struct InstructionPrefixes: Equatable, Sendable {
  /// The last of the prefixes REP and REPNE.
  @frozen
  public enum Repetition: Sendable {
    /// Neither.
    case none
    /// F3H: REP, REPE or REPZ.
    case repe
    /// F2H: REPNE or REPNZ.
    case repne
  }

  /// The segment override; nil if there is none that counts.
  public var segment: GuestSegment?
  /// Whether there is an operand-size override prefix.
  public var hasOperandSizeOverride = false
  /// Whether there is an address-size override prefix.
  public var hasAddressSizeOverride = false
  /// Whether there is a LOCK prefix.
  public var hasLock = false
  /// REP or REPNE.
  public var repetition = Repetition.none
  /// The REX prefix; 0 if there is none that counts.
  public var rex: UInt8 = 0
  /// How many bytes the prefixes have: where the opcode begins.
  public var count = 0

  /// Reads the prefixes at the beginning of `bytes`.
  @inlinable
  public init(of bytes: InstructionBytes, is64Bit: Bool) {
    while count < bytes.count {
      let byte = bytes[count]
      if is64Bit && byte & 0xF0 == 0x40 {
        rex = byte
      } else if take(byte, is64Bit: is64Bit) {
        // A REX prefix counts only where the opcode follows it.
        rex = 0
      } else {
        return
      }
      count &+= 1
    }
  }

  @inlinable
  mutating func take(_ byte: UInt8, is64Bit: Bool) -> Bool {
    switch byte {
    // ES, CS, SS and DS are ignored in 64-bit mode.
    case 0x26, 0x2E, 0x36, 0x3E: if !is64Bit { segment = GuestSegment(rawValue: Int32(byte >> 3 & 3)) }
    case 0x64: segment = .fs
    case 0x65: segment = .gs
    case 0x66: hasOperandSizeOverride = true
    case 0x67: hasAddressSizeOverride = true
    case 0xF0: hasLock = true
    case 0xF2: repetition = .repne
    case 0xF3: repetition = .repe
    default: return false
    }
    return true
  }

  /// The address size in bytes: 2, 4 or 8.
  @inlinable
  public func addressSize(_ attributes: SizeAttributes) -> Int {
    guard hasAddressSizeOverride else { return attributes.code }
    return attributes.code == 4 ? 2 : 4
  }
}
