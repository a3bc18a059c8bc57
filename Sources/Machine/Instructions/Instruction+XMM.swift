import VMCS

// SDM, "Intel SSE and SSE2 Data Transfer Instructions".

extension Instruction {
  /// Whether the register operand is an XMM register, which is moved and not calculated with.
  public var isMoveOfXMM: Bool {
    switch operation {
    case .movups, .movaps, .movlps, .movhps: true
    default: false
    }
  }

  /// What a move from memory leaves in an XMM register.
  ///
  /// - Parameters:
  ///   - memory: the operand in memory; bits above its size are 0.
  ///   - old: what the register has.
  func loaded(_ memory: XMMRegister, over old: XMMRegister) -> XMMRegister {
    switch operation {
    case .movlps: XMMRegister(low: memory.low, high: old.high)
    case .movhps: XMMRegister(low: old.low, high: memory.low)
    default: memory
    }
  }

  /// What a move of an XMM register writes to memory; bits above the operand's size do not count.
  func stored(_ register: XMMRegister) -> XMMRegister {
    operation == .movhps ? XMMRegister(low: register.high, high: 0) : register
  }
}
