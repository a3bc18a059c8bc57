import VMCS

/// A VMX instruction that can fail.
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
  /// A VM entry that fails after its basic checks with a VM exit: basic reason 33 or 34, or 41 for a machine check, and
  /// the exit qualification.
  ///
  /// Other instructions cannot fail so, and ignore it.
  case entryFailure(BasicExitReason, qualification: UInt64)
}

/// A failure that waits for its instruction.
struct FaultInjection {
  var instruction: VMXInstruction
  var field: VMCSFieldEncoding?
  /// How many more executions there are until this one strikes.
  var countdown: Int
  var failure: InjectedFailure
}

extension ProcessorModel {
  /// Makes an instruction fail.
  ///
  /// - Parameters:
  ///   - failure: how it fails.
  ///   - instruction: which instruction.
  ///   - occurrence: which execution from now on, the next one being number 1.
  ///   - field: the encoding of the VMREADs or VMWRITEs that count; nil counts all.
  public func inject(
    _ failure: InjectedFailure, into instruction: VMXInstruction, occurrence: Int = 1, field: VMCSFieldEncoding? = nil
  ) {
    injections.append(
      FaultInjection(instruction: instruction, field: field, countdown: occurrence, failure: failure))
  }

  /// Counts an execution of `instruction`; gives the failure that it has to suffer now, nil if none is due.
  func injectedFailure(_ instruction: VMXInstruction, _ field: VMCSFieldEncoding? = nil) -> InjectedFailure? {
    var due: InjectedFailure?
    for index in injections.indices where injections[index].matches(instruction, field) {
      injections[index].countdown -= 1
      if injections[index].countdown == 0, due == nil { due = injections[index].failure }
    }
    injections.removeAll { $0.countdown <= 0 }
    return due
  }

  /// How the injected failure that `instruction` has to suffer now ends it; nil if none is due.
  func injectedOutcome(_ instruction: VMXInstruction, _ field: VMCSFieldEncoding? = nil) -> VMXOutcome? {
    injectedFailure(instruction, field).flatMap(outcome)
  }

  /// Gives the VM-instruction error field its value; nil for a failure that is a VM exit.
  func outcome(of failure: InjectedFailure) -> VMXOutcome? {
    switch failure {
    case .failInvalid: return .failInvalid
    case .failValid(let error):
      current?[.vmInstructionError] = error
      return .failValid
    case .entryFailure: return nil
    }
  }
}

extension FaultInjection {
  func matches(_ instruction: VMXInstruction, _ field: VMCSFieldEncoding?) -> Bool {
    self.instruction == instruction && (self.field == nil || self.field == field)
  }
}
