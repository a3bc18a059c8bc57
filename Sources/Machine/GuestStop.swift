import VMCS
import VMX

/// Why a guest does not run any more.
public enum GuestStop: Sendable {
  /// It turned its machine off.
  case powerOff
  /// It restarted its machine.
  case reset(ResetSource)
  /// It ended the run with an exit status of its own.
  case exit(status: UInt8)
  /// Its processor shut down: an exception could not be delivered, nor the double fault that followed.
  case tripleFault
  /// It halted its processor with interrupts off, and nothing can wake it.
  case haltedForEver
  /// The time that it was given has passed.
  case timeLimit
  /// It touched a guest-physical address where there is no memory.
  case missingMemory(guestPhysicalAddress: UInt64, EPTViolationQualification)
  /// It accessed registers of a device by an instruction that Skep does not emulate.
  case unsupportedInstruction(InstructionBytes, guestPhysicalAddress: UInt64)
  /// Skep's own bug: an entry of the extended page tables, which it alone writes, that no processor accepts.
  case eptMisconfiguration(guestPhysicalAddress: UInt64)
  /// A VM entry failed with an exit reason: 33, 34 or 41.
  case entryFailure(ExitReason, qualification: UInt64)
  /// VMLAUNCH or VMRESUME failed; nil is VMfailInvalid.
  case entryInstructionFailed(VMInstructionError?)
  /// It did what Skep does not emulate.
  case unsupported(StaticString)
  /// It exited for a reason that Skep does not handle.
  case unknownExit(ExitReason)
}

extension GuestStop {
  /// An access in the guest's stead to a guest-physical address where there is no memory.
  static func missingMemory(at address: UInt64, isWrite: Bool) -> Self {
    var qualification = EPTViolationQualification(rawValue: 0)
    qualification.read = !isWrite
    qualification.write = isWrite
    return .missingMemory(guestPhysicalAddress: address, qualification)
  }

  /// The word for it in the protocol between the image and the launcher.
  public var kind: StaticString {
    switch self {
    case .powerOff: "power-off"
    case .reset: "reset"
    case .exit: "exit"
    case .tripleFault: "triple-fault"
    case .haltedForEver: "halted"
    case .timeLimit: "time-limit"
    case .eptMisconfiguration: "panic"
    default: "stopped"
    }
  }

  /// Says in one sentence what happened.
  public func write<Output: ByteOutput & ~Copyable>(to output: inout Output) {
    switch self {
    case .powerOff: output.write("the guest turned its machine off")
    case .reset(let source):
      output.write("the guest restarted its machine by ")
      switch source {
      case .keyboardController: output.write("the keyboard controller")
      case .systemControlPortA: output.write("port 0x92")
      case .resetControlRegister: output.write("port 0xcf9")
      case .initialize: output.write("an INIT of the bootstrap processor")
      }
    case .exit(let status):
      output.write("the guest ended the run with exit status ")
      output.write(decimal: UInt64(status))
    case .tripleFault: output.write("the guest's processor shut down after a triple fault")
    case .haltedForEver: output.write("the guest halted its processor with RFLAGS.IF = 0; nothing can wake it")
    case .timeLimit: output.write("the guest has not ended in the time that it was given")
    case .missingMemory(let address, let qualification):
      output.write("the guest ")
      output.write(qualification.write ? "wrote to " : qualification.fetch ? "fetched an instruction from " : "read ")
      output.write(hexadecimal: address)
      output.write(", where it has no memory")
    case .unsupportedInstruction(let bytes, let address):
      output.write("the guest accessed ")
      output.write(hexadecimal: address)
      output.write(", where it has no memory, by an instruction that Skep does not emulate:")
      for index in 0..<bytes.count {
        output.write(" ")
        output.write(hexadecimal: UInt64(bytes[index]), digits: 2)
      }
    case .eptMisconfiguration(let address):
      output.write("Skep's extended page tables have an entry that no processor accepts, for guest-physical address ")
      output.write(hexadecimal: address)
    case .entryFailure(let reason, let qualification):
      output.write("VM entry failed: exit reason ")
      output.write(decimal: UInt64(reason.basicReason.rawValue))
      output.write(", ")
      output.write(reason.basicReason.title ?? "unknown")
      output.write(", exit qualification ")
      output.write(hexadecimal: qualification)
    case .entryInstructionFailed(let error):
      output.write("VM entry failed: ")
      guard let error else { return output.write("VMfailInvalid, there was no current VMCS") }
      output.write("VM-instruction error ")
      output.write(decimal: UInt64(error.rawValue))
      output.write(", ")
      output.write(error.title ?? "unknown")
    case .unsupported(let what): output.write(what)
    case .unknownExit(let reason):
      output.write("the guest exited for a reason that Skep does not handle: ")
      output.write(hexadecimal: UInt64(reason.rawValue), digits: 8)
      output.write(" ")
      output.write(reason.basicReason.title ?? "unknown")
    }
  }
}
