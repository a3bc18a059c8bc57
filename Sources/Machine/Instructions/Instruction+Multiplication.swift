import VMCS
import VMX

extension Instruction {
  /// MUL, IMUL: the product of the memory operand and rAX in rDX and rAX, or in a register.
  ///
  /// CF and OF say whether the upper half matters; the other flags, which are undefined, stay.
  func multiply(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    let accumulator = RegisterOperand(RegisterFile.rax)
    let other = operation == .imulRegister ? operand(registers) : registers.read(accumulator, size: memorySize)
    let (high, low) = product(value, other)
    let extended = operation == .mul ? low & mask(ofSize: memorySize) : signExtended(low, fromSize: memorySize)
    let isWhole = low == extended && high == (operation == .mul || Int64(bitPattern: low) >= 0 ? 0 : ~0)
    (rflags.cf, rflags.of) = (!isWhole, !isWhole)
    if operation == .imulRegister {
      registers.write(low, to: register, size: registerSize)
    } else {
      writePair(upper: memorySize == 8 ? high : low &>> (8 &* UInt64(truncatingIfNeeded: memorySize)), low, registers)
    }
    return value
  }

  /// The product in 128 bits, which for operands of less than 8 bytes is in the lower half.
  private func product(_ a: UInt64, _ b: UInt64) -> (high: UInt64, low: UInt64) {
    if operation == .mul { return a.multipliedFullWidth(by: b) }
    let (first, second) = (signExtended(a, fromSize: memorySize), signExtended(b, fromSize: memorySize))
    let product = Int64(bitPattern: first).multipliedFullWidth(by: Int64(bitPattern: second))
    return (UInt64(bitPattern: product.high), product.low)
  }

  /// Whether DIV or IDIV by `value` raises #DE: by 0, or with a quotient that does not fit.
  func raisesDivideError(_ value: UInt64, _ registers: RegisterFile) -> Bool {
    operation == .div || operation == .idiv ? quotient(by: value, registers) == nil : false
  }

  /// DIV, IDIV; all flags are undefined, and stay.
  ///
  /// What raises #DE changes nothing.
  func divide(_ value: UInt64, _ registers: RegisterFile) -> UInt64 {
    if let (quotient, remainder) = quotient(by: value, registers) {
      writePair(upper: remainder, quotient, registers)
    }
    return value
  }

  private func quotient(by value: UInt64, _ registers: RegisterFile) -> (UInt64, UInt64)? {
    var (high, low) = dividend(registers)
    if operation == .div { return Self.quotient(high, low, by: value, limit: mask(ofSize: memorySize)) }
    let divisor = signExtended(value, fromSize: memorySize)
    let isNegative = Int64(bitPattern: high) < 0
    let differs = isNegative != (Int64(bitPattern: divisor) < 0)
    if isNegative { (high, low) = (~high &+ (low == 0 ? 1 : 0), 0 &- low) }
    // One more is possible for a negative quotient.
    let limit = mask(ofSize: memorySize) >> 1 &+ (differs ? 1 : 0)
    guard let (quotient, remainder) = Self.quotient(high, low, by: Int64(bitPattern: divisor).magnitude, limit: limit)
    else { return nil }
    return (differs ? 0 &- quotient : quotient, isNegative ? 0 &- remainder : remainder)
  }

  /// Nil if the quotient is above `limit`.
  private static func quotient(
    _ high: UInt64, _ low: UInt64, by divisor: UInt64, limit: UInt64
  ) -> (UInt64, UInt64)? {
    guard high < divisor else { return nil }
    let (quotient, remainder) = divisor.dividingFullWidth((high, low))
    return quotient <= limit ? (quotient, remainder) : nil
  }

  /// AX, or rDX and rAX, in 128 bits; sign-extended for IDIV.
  private func dividend(_ registers: RegisterFile) -> (high: UInt64, low: UInt64) {
    let (rax, rdx) = (registers[RegisterFile.rax], registers[RegisterFile.rdx])
    if memorySize == 8 { return (rdx, rax) }
    let bits = 8 &* UInt64(truncatingIfNeeded: memorySize)
    let low =
      memorySize == 1 ? rax & 0xFFFF : (rdx & mask(ofSize: memorySize)) &<< bits | rax & mask(ofSize: memorySize)
    if operation == .div { return (0, low) }
    let extended = signExtended(low, fromSize: 2 &* memorySize)
    return (Int64(bitPattern: extended) < 0 ? ~0 : 0, extended)
  }

  /// Writes AH and AL, or rDX and rAX.
  private func writePair(upper: UInt64, _ lower: UInt64, _ registers: RegisterFile) {
    let rax = RegisterOperand(RegisterFile.rax)
    if memorySize == 1 { return registers.write((upper & 0xFF) << 8 | lower & 0xFF, to: rax, size: 2) }
    registers.write(lower, to: rax, size: memorySize)
    registers.write(upper, to: RegisterOperand(RegisterFile.rdx), size: memorySize)
  }
}
