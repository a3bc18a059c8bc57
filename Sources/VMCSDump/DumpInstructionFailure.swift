import VMCS

/// A VMX instruction other than VM entry that a hypervisor says has failed.
@frozen
public struct DumpInstructionFailure: Equatable, Sendable {
  /// The instructions.
  @frozen
  public enum Instruction: UInt8, CaseIterable, Sendable {
    /// VMREAD.
    case vmread
    /// VMWRITE.
    case vmwrite
    /// VMCLEAR.
    case vmclear
    /// VMPTRLD.
    case vmptrld
    /// INVEPT.
    case invept
    /// INVVPID.
    case invvpid

    /// The mnemonic.
    public var mnemonic: StaticString {
      switch self {
      case .vmread: "VMREAD"
      case .vmwrite: "VMWRITE"
      case .vmclear: "VMCLEAR"
      case .vmptrld: "VMPTRLD"
      case .invept: "INVEPT"
      case .invvpid: "INVVPID"
      }
    }
  }

  /// The instruction.
  public var instruction: Instruction
  /// The encoding that VMREAD or VMWRITE named, the address that was the operand of VMCLEAR or VMPTRLD, or the type of
  /// invalidation; nil if it is not printed.
  public var operand: UInt64?
  /// What VMWRITE was to write; nil if it is not printed.
  public var value: UInt64?
  /// The number in the VM-instruction error field; nil if it is not printed.
  public var error: UInt64?
  /// Whether it is printed that there was no current VMCS (VMfailInvalid).
  public var isInvalid = false
  /// The line of the input, counted from 1.
  public var line: UInt64

  /// Whether `other` is the same failure, which kernels print once with a stack trace and once more.
  func isRepeated(by other: Self) -> Bool {
    (instruction, operand, value) == (other.instruction, other.operand, other.value)
  }
}
