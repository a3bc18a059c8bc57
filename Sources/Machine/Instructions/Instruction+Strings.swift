import VMCS
import VMX

extension Instruction {
  /// Whether a string instruction has nothing left to do: it is repeated, and rCX is 0.
  public func isExhausted(_ registers: RegisterFile) -> Bool {
    repetition != .none && registers[RegisterFile.rcx] & mask(ofSize: memory.addressSize) == 0
  }

  /// Counts an element of a string instruction that has been executed (SDM, "REP/REPE/REPZ/REPNE/REPNZ—Repeat String
  /// Operation Prefix").
  ///
  /// - Returns: whether it was the last one.
  public func finishElement(_ registers: RegisterFile, _ rflags: RFLAGS) -> Bool {
    guard repetition != .none else { return true }
    step(RegisterFile.rcx, by: ~0, registers)
    if isExhausted(registers) { return true }
    guard operation == .cmps || operation == .scas else { return false }
    return rflags.zf != (repetition == .repe)
  }

  /// One element: what is compared or moved, and rSI and rDI.
  func executeString(
    _ value: UInt64, _ second: UInt64, _ registers: RegisterFile, _ rflags: inout RFLAGS
  ) -> UInt64 {
    let size = UInt64(truncatingIfNeeded: memorySize)
    let distance = rflags.df ? 0 &- size : size
    let accumulator = RegisterOperand(RegisterFile.rax)
    if operation != .stos && operation != .scas { step(RegisterFile.rsi, by: distance, registers) }
    if operation != .lods { step(RegisterFile.rdi, by: distance, registers) }
    switch operation {
    case .cmps: rflags.take(.difference(value, second, size: memorySize))
    case .scas: rflags.take(.difference(registers.read(accumulator, size: memorySize), value, size: memorySize))
    case .lods: registers.write(value, to: accumulator, size: memorySize)
    case .stos: return registers.read(accumulator, size: memorySize)
    default: break
    }
    return value
  }

  /// Changes the part of a register that the address size uses.
  private func step(_ register: UInt8, by distance: UInt64, _ registers: RegisterFile) {
    registers.write(registers[register] &+ distance, to: RegisterOperand(register), size: memory.addressSize)
  }
}
