import VMCS
import VMX

extension Instruction {
  /// Executes the instruction, or one element of a string instruction, but for its accesses to memory and for RIP.
  ///
  /// - Parameters:
  ///   - value: the memory operand, zero-extended, if `readsMemory`.
  ///   - second: the second operand in memory, zero-extended, if there is one that is read; of MOV from a segment
  ///     register, the selector.
  ///
  /// CMPXCHG16B, whose operand has 16 bytes, is `compareAndExchange16`; moves of XMM registers are `loaded` and `stored`.
  ///
  /// - Returns: what is to be written to the memory operand, if `writesMemory`, or to the second one, if
  ///   `writesSecondOperand`; bits above the operand's size do not count.
  public func execute(
    _ value: UInt64, second: UInt64 = 0, _ registers: RegisterFile, _ rflags: inout RFLAGS
  ) -> UInt64 {
    switch operation {
    case .mov, .movzx, .xlat: return move(value, registers)
    case .movsx: return move(signExtended(value, fromSize: memorySize), registers)
    case .movbe: return isDestinationMemory ? swapped(operand(registers)) : move(swapped(value), registers)
    case .cmovcc: return move(rflags.meets(condition) ? value : operand(registers), registers)
    case .setcc: return rflags.meets(condition) ? 1 : 0
    case .xchg: return exchange(value, registers)
    case .add, .or, .adc, .sbb, .and, .sub, .xor, .cmp: return calculate(value, registers, &rflags)
    case .test, .not, .neg, .inc, .dec: return calculateUnary(value, registers, &rflags)
    case .xadd:
      let result = ArithmeticResult.sum(value, operand(registers), size: memorySize)
      rflags.take(result)
      registers.write(value, to: register, size: registerSize)
      return result.value
    case .cmpxchg: return compareAndExchange(value, registers, &rflags)
    case .cmpxchg8b: return compareAndExchange8(value, registers, &rflags)
    case .rol, .ror, .rcl, .rcr, .shl, .shr, .sal, .sar, .shld, .shrd: return shift(value, registers, &rflags)
    case .mul, .imul, .imulRegister: return multiply(value, registers, &rflags)
    case .div, .idiv: return divide(value, registers)
    case .bsf, .bsr, .popcnt: return searchBits(value, registers, &rflags)
    case .tzcnt, .lzcnt: return countZeros(value, registers, &rflags)
    case .crc32: return accumulateCRC(value, registers)
    case .adcx, .adox: return addCarrying(value, registers, &rflags)
    case .movFromSegment: return second
    case .movToSegment, .clflush, .cmpxchg16b, .movups, .movaps, .movlps, .movhps: return value
    case .bt, .bts, .btr, .btc: return testBit(value, registers, &rflags)
    case .movs, .cmps, .stos, .lods, .scas: return executeString(value, second, registers, &rflags)
    case .push, .pop:
      let size = UInt64(truncatingIfNeeded: memorySize)
      let rsp = registers[RegisterFile.rsp] &+ (operation == .push ? 0 &- size : size)
      registers.write(rsp, to: RegisterOperand(RegisterFile.rsp), size: stackAddressSize)
      return operation == .push ? value : second
    }
  }

  /// The operand that is not in memory.
  func operand(_ registers: RegisterFile) -> UInt64 {
    source == .immediate ? immediate & mask(ofSize: memorySize) : registers.read(register, size: registerSize)
  }

  private func move(_ value: UInt64, _ registers: RegisterFile) -> UInt64 {
    if isDestinationMemory { return operand(registers) }
    registers.write(value, to: register, size: registerSize)
    return value
  }

  private func swapped(_ value: UInt64) -> UInt64 {
    value.byteSwapped &>> (64 &- 8 &* UInt64(truncatingIfNeeded: memorySize))
  }

  private func exchange(_ value: UInt64, _ registers: RegisterFile) -> UInt64 {
    let result = operand(registers)
    registers.write(value, to: register, size: registerSize)
    return result
  }

  private func calculate(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    let other = operand(registers)
    let (a, b) = isDestinationMemory ? (value, other) : (other, value)
    let carry: UInt64 = rflags.cf ? 1 : 0
    let result: ArithmeticResult =
      switch operation {
      case .add: .sum(a, b, size: memorySize)
      case .or: .logical(a | b, size: memorySize)
      case .adc: .sum(a, b, carry: carry, size: memorySize)
      case .sbb: .difference(a, b, borrow: carry, size: memorySize)
      case .and: .logical(a & b, size: memorySize)
      case .xor: .logical(a ^ b, size: memorySize)
      default: .difference(a, b, size: memorySize)
      }
    rflags.take(result)
    if !isDestinationMemory && operation != .cmp {
      registers.write(result.value, to: register, size: registerSize)
    }
    return result.value
  }

  private func calculateUnary(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    let withoutCarry = ArithmeticResult.allFlags & ~ArithmeticResult.carry
    let result: ArithmeticResult
    switch operation {
    case .not: return ~value
    case .test:
      result = .logical(value & operand(registers), size: memorySize)
      rflags.take(result)
    case .neg:
      result = .difference(0, value, size: memorySize)
      rflags.take(result)
    case .inc:
      result = .sum(value, 1, size: memorySize)
      rflags.take(result, withoutCarry)
    default:
      result = .difference(value, 1, size: memorySize)
      rflags.take(result, withoutCarry)
    }
    return result.value
  }

  private func compareAndExchange(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    let accumulator = RegisterOperand(RegisterFile.rax)
    let result = ArithmeticResult.difference(
      registers.read(accumulator, size: memorySize), value, size: memorySize)
    rflags.take(result)
    if result.value == 0 { return operand(registers) }
    registers.write(value, to: accumulator, size: memorySize)
    return value
  }

  private func compareAndExchange8(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    func pair(_ high: UInt8, _ low: UInt8) -> UInt64 { registers[high] << 32 | registers[low] & 0xFFFF_FFFF }
    rflags.zf = pair(RegisterFile.rdx, RegisterFile.rax) == value
    if rflags.zf { return pair(RegisterFile.rcx, RegisterFile.rbx) }
    registers[RegisterFile.rax] = value & 0xFFFF_FFFF
    registers[RegisterFile.rdx] = value >> 32
    return value
  }

  /// CMPXCHG16B: what is to be written to the memory operand.
  func compareAndExchange16(
    low: UInt64, high: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS
  ) -> (low: UInt64, high: UInt64) {
    rflags.zf = registers[RegisterFile.rax] == low && registers[RegisterFile.rdx] == high
    if rflags.zf { return (registers[RegisterFile.rbx], registers[RegisterFile.rcx]) }
    registers[RegisterFile.rax] = low
    registers[RegisterFile.rdx] = high
    return (low, high)
  }

  /// BSF, BSR and POPCNT; of 0, BSF and BSR leave the register as it is.
  private func searchBits(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    var result = UInt64(truncatingIfNeeded: value.nonzeroBitCount)
    if operation == .popcnt {
      rflags.rawValue &= ~ArithmeticResult.allFlags
    } else {
      if value != 0 {
        let index = operation == .bsf ? value.trailingZeroBitCount : 63 &- value.leadingZeroBitCount
        result = UInt64(truncatingIfNeeded: index)
      }
    }
    rflags.zf = value == 0
    if value != 0 || operation == .popcnt { registers.write(result, to: register, size: registerSize) }
    return value
  }

  /// TZCNT and LZCNT, of which CF and ZF are defined; the other flags stay.
  private func countZeros(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    let width = 8 &* memorySize
    let leading = value.leadingZeroBitCount &- (64 &- width)
    let count = operation == .lzcnt ? leading : min(value.trailingZeroBitCount, width)
    (rflags.cf, rflags.zf) = (value == 0, count == 0)
    registers.write(UInt64(truncatingIfNeeded: count), to: register, size: registerSize)
    return value
  }

  /// CRC32: a division by the polynomial 11EDC6F41H, of which the bits are reflected here.
  private func accumulateCRC(_ value: UInt64, _ registers: RegisterFile) -> UInt64 {
    var remainder = registers.read(register, size: 4) ^ value
    for _ in 0..<8 &* memorySize { remainder = remainder >> 1 ^ (remainder & 1 == 0 ? 0 : 0x82F6_3B78) }
    registers.write(remainder, to: register, size: 4)
    return value
  }

  /// ADCX and ADOX, which use and change CF or OF alone.
  private func addCarrying(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    let carry = operation == .adcx ? rflags.cf : rflags.of
    let result = ArithmeticResult.sum(operand(registers), value, carry: carry ? 1 : 0, size: memorySize)
    let isCarried = result.flags & ArithmeticResult.carry != 0
    if operation == .adcx { rflags.cf = isCarried } else { rflags.of = isCarried }
    registers.write(result.value, to: register, size: registerSize)
    return value
  }

  private func testBit(_ value: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS) -> UInt64 {
    let number = operand(registers) & (8 &* UInt64(truncatingIfNeeded: memorySize) &- 1)
    let bit: UInt64 = 1 &<< number
    rflags.cf = value & bit != 0
    return switch operation {
    case .bts: value | bit
    case .btr: value & ~bit
    default: value ^ bit
    }
  }
}
