import VMCS
import VMX

extension Instruction {
  /// A shift or rotate, of one operand or of two (SDM, "SAL/SAR/SHL/SHR—Shift", "RCL/RCR/ROL/ROR—Rotate",
  /// "SHLD—Double Precision Shift Left").
  ///
  /// Bit by bit: there are 63 at most. What the SDM leaves undefined is as if it were defined for one bit, but for AF,
  /// which is cleared.
  func shift(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    let count = (isCountInCL ? registers[RegisterFile.rcx] : immediate) & (memorySize == 8 ? 63 : 31)
    if count == 0 { return value }
    let sign: UInt64 = 8 &* UInt64(truncatingIfNeeded: memorySize) &- 1
    var other = operation == .shld || operation == .shrd ? operand(registers) : 0
    var result = value
    var carry: UInt64 = rflags.cf ? 1 : 0
    for _ in 0..<count {
      let out = isLeftShift ? result &>> sign & 1 : result & 1
      let isIn: UInt64
      switch operation {
      case .rol, .ror: isIn = out
      case .rcl, .rcr: isIn = carry
      case .sar: isIn = result &>> sign & 1
      case .shld:
        isIn = other &>> sign & 1
        other &<<= 1
      case .shrd:
        isIn = other & 1
        other &>>= 1
      default: isIn = 0
      }
      carry = out
      result = isLeftShift ? (result &<< 1 | isIn) & mask(ofSize: memorySize) : result >> 1 | isIn &<< sign
    }
    takeFlags(result, carry, sign, &rflags)
    return result
  }

  private var isLeftShift: Bool {
    switch operation {
    case .rol, .rcl, .shl, .sal, .shld: true
    default: false
    }
  }

  /// OF says whether the last shift by one bit changed the sign.
  ///
  /// Rotates change no others but CF.
  private func takeFlags(_ result: UInt64, _ carry: UInt64, _ sign: UInt64, _ rflags: inout RFLAGS) {
    let other = isLeftShift ? carry : result &>> (sign &- 1)
    let overflow = (result &>> sign ^ other) & 1
    let flags = ArithmeticResult(shifted: result, carry: carry, overflow: overflow, size: memorySize)
    switch operation {
    case .rol, .ror, .rcl, .rcr: rflags.take(flags, ArithmeticResult.carry | ArithmeticResult.overflow)
    default: rflags.take(flags)
    }
  }
}
