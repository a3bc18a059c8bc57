import VMCS

/// The result of an arithmetic or logical operation on operands of 1, 2, 4 or 8 bytes, with its status flags (SDM,
/// "Status Flags").
struct ArithmeticResult {
  /// The result, zero-extended.
  var value: UInt64
  /// CF, PF, AF, ZF, SF and OF where RFLAGS has them.
  var flags: UInt64

  static var carry: UInt64 { 1 << 0 }
  private static var auxiliary: UInt64 { 1 << 4 }
  static var zero: UInt64 { 1 << 6 }
  static var overflow: UInt64 { 1 << 11 }
  /// CF, PF, AF, ZF, SF and OF.
  static var allFlags: UInt64 { 0x8D5 }

  /// `a` + `b` + `carry`, which is 0 or 1.
  static func sum(_ a: UInt64, _ b: UInt64, carry: UInt64 = 0, size: Int) -> Self {
    let value = a &+ b &+ carry
    let carries = a & b | (a | b) & ~value
    return Self(value, carries: carries, overflows: (a ^ value) & (b ^ value), size)
  }

  /// `a` - `b` - `borrow`, which is 0 or 1.
  static func difference(_ a: UInt64, _ b: UInt64, borrow: UInt64 = 0, size: Int) -> Self {
    let value = a &- b &- borrow
    let borrows = ~a & b | (~a | b) & value
    return Self(value, carries: borrows, overflows: (a ^ b) & (a ^ value), size)
  }

  /// The result of a logical operation, which clears CF and OF; AF, which is undefined, is cleared, too.
  static func logical(_ value: UInt64, size: Int) -> Self { Self(value, carries: 0, overflows: 0, size) }

  /// The result of a shift, with CF and OF, each 0 or 1; AF, which is undefined, is cleared.
  init(shifted value: UInt64, carry: UInt64, overflow: UInt64, size: Int) {
    let sign = 8 &* UInt64(truncatingIfNeeded: size) &- 1
    self.init(value, carries: carry &<< sign, overflows: overflow &<< sign, size)
  }

  /// `carries` has the carry out of each bit, `overflows` in the sign bit whether there is an overflow.
  private init(_ value: UInt64, carries: UInt64, overflows: UInt64, _ size: Int) {
    let sign = 8 &* UInt64(truncatingIfNeeded: size) &- 1
    self.value = value & mask(ofSize: size)
    // Bit n of 6996H is the parity of n.
    let nibbles = (value ^ value >> 4) & 0xF
    flags = carries &>> sign & 1
    flags |= (~(0x6996 as UInt64) &>> nibbles & 1) << 2
    flags |= (carries >> 3 & 1) << 4
    flags |= self.value == 0 ? Self.zero : 0
    flags |= (value &>> sign & 1) << 7
    flags |= (overflows &>> sign & 1) << 11
  }
}

extension RFLAGS {
  /// Takes the status flags of a result.
  mutating func take(_ result: ArithmeticResult, _ flags: UInt64 = ArithmeticResult.allFlags) {
    rawValue = rawValue & ~flags | result.flags & flags
  }

  /// Whether a condition is met (SDM, "EFLAGS Condition Codes"): bits 3:0 of the opcode of Jcc, SETcc and CMOVcc.
  func meets(_ condition: UInt8) -> Bool {
    let isMet =
      switch condition >> 1 & 7 {
      case 0: of
      case 1: cf
      case 2: zf
      case 3: cf || zf
      case 4: sf
      case 5: pf
      case 6: sf != of
      default: zf || sf != of
      }
    return isMet != (condition & 1 != 0)
  }
}
