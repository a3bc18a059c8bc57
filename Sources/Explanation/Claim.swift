import VMCS
import VMCSDump
import VMEntryChecks

/// What happened to the VM entry, as the dump tells it.
public enum Claim: Hashable, Sendable {
  /// A VM exit with this exit reason, of which bit 31 says that the VM entry failed.
  case exit(ExitReason)
  /// VMfailValid with this VM-instruction error.
  case instructionError(VMInstructionError)
  /// QEMU's "hardware error 0x0".
  case hardwareErrorZero
  /// A VMX instruction other than VM entry failed.
  case instruction(DumpInstructionFailure.Instruction)

  /// What the dump's claims say; without one, what its exit reason says.
  ///
  /// Nil if it says nothing.
  init?(_ dump: Dump) {
    for claim in dump.claims {
      let value = UInt32(truncatingIfNeeded: claim.value)
      switch claim.kind {
      case .exitReason: self = .exit(ExitReason(rawValue: value))
      case .instructionError: self = .instructionError(VMInstructionError(rawValue: value))
      case .hardwareError where claim.value == 0: self = .hardwareErrorZero
      case .hardwareError where value >> 31 == 1: self = .exit(ExitReason(rawValue: value))
      case .hardwareError: self = .instructionError(VMInstructionError(rawValue: value))
      case .msrLoadEntryFrom0, .msrLoadEntryFrom1: continue
      }
      return
    }
    if dump.format == .message, let failure = dump.failures.first {
      self = .instruction(failure.instruction)
      return
    }
    guard let reason = dump[VMCSField.exitReason.encoding] else { return nil }
    self = .exit(ExitReason(rawValue: UInt32(truncatingIfNeeded: reason.bits)))
  }

  /// Whether the VM entry, or another VMX instruction, failed.
  public var isFailure: Bool {
    if case .exit(let reason) = self { return reason.vmEntryFailure }
    return true
  }

  /// Whether a check that fails with this outcome explains the claim.
  func isExplained(by outcome: EntryOutcome) -> Bool {
    switch (self, outcome) {
    case (.exit(let reason), .invalidGuestState): reason.basicReason == .vmEntryFailureInvalidGuestState
    case (.exit(let reason), .msrLoading): reason.basicReason == .vmEntryFailureMSRLoading
    case (.instructionError(let error), .vmFailValid(let other)): error == other
    case (.hardwareErrorZero, .vmFailInvalid): true
    default: false
    }
  }

  /// The claim in words.
  public var text: String {
    switch self {
    case .exit(let reason):
      (reason.vmEntryFailure ? "VM entry failed, exit reason " : "exit reason ") + Words.exitReason(reason)
    case .instructionError(let error):
      "VM-instruction error \(error.rawValue): \(String(error.title, or: "not a number that the SDM defines"))"
    case .hardwareErrorZero: "hardware error 0x0, which is no VM-instruction error"
    case .instruction(let instruction): "\(String(instruction.mnemonic)) failed"
    }
  }

  /// The number, as hypervisors print it; nil if there is none.
  public var number: UInt32? {
    switch self {
    case .exit(let reason): reason.rawValue
    case .instructionError(let error): error.rawValue
    case .hardwareErrorZero: 0
    case .instruction: nil
    }
  }
}
