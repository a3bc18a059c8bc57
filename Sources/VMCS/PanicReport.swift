/// What is known when Skep itself has gone wrong: a VMX instruction failed that cannot fail, or a rule of Skep's own
/// was broken.
///
/// Nothing that a guest or a user does leads here.
public struct PanicReport: Sendable {
  /// What happened, in one sentence.
  public var message: StaticString
  /// The value that broke a rule, if one did.
  public var value: UInt64?
  /// The VMX instruction that failed, if one did.
  public var failure: VMXInstructionFailure?

  /// Makes a report of a broken rule, or of a failed instruction.
  public init(_ message: StaticString, value: UInt64? = nil, _ failure: VMXInstructionFailure? = nil) {
    self.message = message
    self.value = value
    self.failure = failure
  }

  /// Writes the report as lines of text.
  public func write<Output: ByteOutput & ~Copyable>(to output: inout Output) {
    output.write(message)
    if let value {
      output.write(": ")
      output.write(hexadecimal: value)
    }
    output.write("\n")
    failure?.write(to: &output)
  }
}

/// A VMX instruction that failed although nothing of the kind was to be expected.
public struct VMXInstructionFailure: Sendable {
  /// The instruction's mnemonic.
  public var instruction: StaticString
  /// How it ended.
  public var outcome: VMXOutcome
  /// The field that VMREAD or VMWRITE named.
  public var field: VMCSFieldEncoding?
  /// What was to be written, or the physical address that was the operand.
  public var operand: UInt64?
  /// The VM-instruction error field of the current VMCS, if there is one and it could be read.
  public var instructionError: VMInstructionError?
  /// The current-VMCS pointer; all ones if there is none.
  public var currentVMCS: PhysicalAddress

  /// Collects what the processor tells about the failure of `instruction`.
  public init<P: VMXProcessor>(
    of instruction: StaticString, on processor: P, outcome: VMXOutcome, field: VMCSFieldEncoding? = nil,
    operand: UInt64? = nil
  ) {
    self.instruction = instruction
    self.outcome = outcome
    self.field = field
    self.operand = operand
    currentVMCS = processor.vmptrst()
    if outcome == .failValid {
      let error = processor.vmread(0x4400)
      instructionError = error.failed ? nil : VMInstructionError(rawValue: UInt32(truncatingIfNeeded: error.value))
    }
  }

  /// Writes one line for each thing that is known.
  public func write<Output: ByteOutput & ~Copyable>(to output: inout Output) {
    output.write("instruction           ")
    output.write(instruction)
    output.write(outcome == .failInvalid ? ": VMfailInvalid (CF = 1)\n" : ": VMfailValid (ZF = 1)\n")
    if let field {
      output.write("field                 ")
      output.write(hexadecimal: UInt64(field.rawValue), digits: 4)
      output.write(" ")
      output.write(VMCSFieldDescription(encoding: field)?.title ?? "not a field of the SDM")
      output.write("\n")
    }
    if let operand {
      output.write(field == nil ? "physical address      " : "value                 ")
      output.write(hexadecimal: operand)
      output.write("\n")
    }
    if let instructionError {
      output.write("VM-instruction error  ")
      output.write(decimal: UInt64(instructionError.rawValue))
      output.write(": ")
      output.write(instructionError.title ?? "not a number that the SDM defines")
      output.write("\n")
    }
    output.write("current VMCS          ")
    output.write(hexadecimal: currentVMCS.rawValue)
    output.write("\n")
  }
}
