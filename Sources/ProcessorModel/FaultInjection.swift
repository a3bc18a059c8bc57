import VMCS

/// A VMX instruction that can fail by CF or ZF.
public enum VMXInstruction: String, CaseIterable, Sendable {
  /// The mnemonics.
  case vmxon = "VMXON"
  case vmxoff = "VMXOFF"
  case vmclear = "VMCLEAR"
  case vmptrld = "VMPTRLD"
  case vmread = "VMREAD"
  case vmwrite = "VMWRITE"
  case invept = "INVEPT"
  case invvpid = "INVVPID"
  case vmlaunch = "VMLAUNCH"
  case vmresume = "VMRESUME"
}

/// How an instruction is made to fail.
public enum InjectedFailure: Hashable, Sendable {
  /// CF is 1.
  case failInvalid
  /// ZF is 1, and the VM-instruction error field of the current VMCS, if there is one, gets the error.
  case failValid(VMInstructionError)
}

/// A failure that waits for its instruction.
struct FaultInjection {
  var instruction: VMXInstruction
  var field: VMCSFieldEncoding?
  /// How many more matching executions succeed or fail by themselves before this one strikes, plus one.
  var countdown: Int
  var failure: InjectedFailure
}
