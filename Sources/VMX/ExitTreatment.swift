import VMCS

/// What Skep does about a VM exit.
@frozen
public enum ExitTreatment: UInt8, Sendable, CaseIterable {
  /// Skep does what the guest's instruction, or the event, asks for.
  case emulated
  /// The guest goes on, with an event injected or memory mapped.
  case resumed
  /// The guest's local APIC deals with it.
  case localAPIC
  /// The instruction does nothing.
  case ignored
  /// The guest gets #UD.
  case invalidOpcode
  /// The guest gets #GP(0).
  case generalProtection
  /// The guest gets the exception that it exited for.
  case reflected
  /// The host deals with it, and the guest goes on.
  case hostEvent
  /// The virtual machine stops, with a report.
  case guestStops
  /// No guest of Skep can cause it; if it came, the virtual machine would stop, with a report.
  case impossible

  /// The treatment in a few words.
  public var description: StaticString {
    switch self {
    case .emulated: "emulated"
    case .resumed: "resumed"
    case .localAPIC: "local APIC"
    case .ignored: "ignored"
    case .invalidOpcode: "#UD"
    case .generalProtection: "#GP(0)"
    case .reflected: "reflected"
    case .hostEvent: "host event"
    case .guestStops: "guest stops"
    case .impossible: "impossible"
    }
  }
}

/// What Skep does about the VM exits of one basic exit reason, and why.
///
/// `VMExit` takes from here what it does not tell apart by its own cases, and `VMX.docc` has it as a table.
@frozen
public struct ExitReasonTreatment: Sendable {
  /// What Skep does.
  public var treatment: ExitTreatment
  /// Why, or what there is to know.
  public var why: StaticString

  init(_ treatment: ExitTreatment, _ why: StaticString) { (self.treatment, self.why) = (treatment, why) }

  /// The treatment of `reason`; nil for a reason that the SDM does not have.
  public init?(of reason: BasicExitReason) {
    switch reason.rawValue {
    case 0...9: self.init(event: reason.rawValue)
    case 10...32: self.init(instruction: reason.rawValue)
    case 33...49: self.init(entryFailureOrAPIC: reason.rawValue)
    default: self.init(laterReason: reason.rawValue)
    }
  }

  private init?(event number: UInt16) {
    switch number {
    case 0: self.init(.reflected, "but an NMI is the host's, and a machine check stops the guest")
    case 1: self.init(.hostEvent, "the exit has acknowledged it")
    case 2: self.init(.guestStops, "the guest's processor shuts down")
    case 3: self.init(.guestStops, "the host's processor is being reset")
    case 4: self.init(.impossible, "a guest that waits for a SIPI is not entered")
    case 5, 6: self.init(.impossible, "there is no SMM monitor")
    case 7: self.init(.resumed, "the interrupt that waits is injected")
    case 8: self.init(.resumed, "the NMI that waits is injected")
    case 9: self.init(.emulated, "by CALL, JMP, IRET and task gates, with TSSs of 16 and 32 bits")
    default: return nil
    }
  }

  private init?(instruction number: UInt16) {
    switch number {
    case 10: self.init(.emulated, "from a table")
    case 11: self.init(.invalidOpcode, "CPUID hides SMX")
    case 12: self.init(.emulated, "the host waits for an event of the guest's")
    case 13: self.init(.ignored, "the guest's memory is coherent with what Skep and the devices see")
    case 14: self.init(.impossible, "“INVLPG exiting” is 0")
    case 15: self.init(.generalProtection, "CPUID hides performance monitoring")
    case 16: self.init(.impossible, "“RDTSC exiting” is 0")
    case 17: self.init(.invalidOpcode, "the guest is never in SMM")
    case 18...27: self.init(.invalidOpcode, "CPUID hides VMX; some exit whatever the privilege level is")
    case 28: self.init(.emulated, "MOV to CR0, CR4 and CR8, MOV from CR8, CLTS and LMSW")
    case 29: self.init(.impossible, "“MOV-DR exiting” is 0")
    case 30: self.init(.emulated, "by the devices")
    case 31, 32: self.init(.emulated, "where CPUID shows the MSR's feature; otherwise #GP(0)")
    default: return nil
    }
  }

  private init?(entryFailureOrAPIC number: UInt16) {
    switch number {
    case 33, 34: self.init(.guestStops, "with the check that failed")
    case 36, 39: self.init(.invalidOpcode, "CPUID hides MONITOR")
    case 37: self.init(.resumed, "blocking by STI has ended, for which an NMI waits")
    case 40: self.init(.impossible, "“PAUSE exiting” and “PAUSE-loop exiting” are 0")
    case 41: self.init(.guestStops, "a machine check of the host's")
    case 43: self.init(.localAPIC, "an interrupt may not be masked any more")
    case 44: self.init(.localAPIC, "the access is emulated")
    case 45: self.init(.localAPIC, "the I/O APIC gets the EOI")
    case 46, 47: self.init(.impossible, "“descriptor-table exiting” is 0")
    case 48: self.init(.resumed, "memory is mapped, or the access to a device is emulated")
    case 49: self.init(.guestStops, "a bug of Skep's")
    default: return nil
    }
  }

  private init?(laterReason number: UInt16) {
    switch number {
    case 50, 53: self.init(.invalidOpcode, "CPUID hides VMX; it exits whatever the privilege level is")
    case 51: self.init(.impossible, "“RDTSC exiting” is 0")
    case 52: self.init(.hostEvent, "a deadline of the guest's is reached")
    case 54: self.init(.ignored, "the guest's memory is coherent with what Skep and the devices see")
    case 55: self.init(.emulated, "for values of XCR0 that CPUID shows; otherwise #GP(0)")
    case 56: self.init(.localAPIC, "the register has the value already")
    case 57, 61: self.init(.impossible, "“RDRAND exiting” and “RDSEED exiting” are 0")
    case 58: self.init(.impossible, "“INVLPG exiting” is 0")
    case 59: self.init(.invalidOpcode, "“enable VM functions” is 0")
    case 60, 70: self.init(.invalidOpcode, "CPUID hides SGX")
    case 62: self.init(.impossible, "“enable PML” is 0")
    case 63, 64: self.init(.impossible, "“enable XSAVES/XRSTORS” is 0, so that they are #UD without an exit")
    case 65: self.init(.invalidOpcode, "CPUID hides PCONFIG")
    case 66: self.init(.impossible, "“sub-page write permissions for EPT” is 0")
    case 67, 68: self.init(.invalidOpcode, "CPUID hides WAITPKG")
    case 69: self.init(.invalidOpcode, "CPUID hides Key Locker")
    case 72, 73: self.init(.invalidOpcode, "CPUID hides ENQCMD")
    case 74: self.init(.impossible, "“VMM bus-lock detection” is 0")
    case 75: self.init(.impossible, "“instruction timeout” is 0")
    case 76, 77: self.init(.invalidOpcode, "there is no TDX module")
    case 78, 79: self.init(.invalidOpcode, "CPUID hides the MSR-list instructions")
    case 80, 81: self.init(.invalidOpcode, "CPUID hides the user-level MSR instructions")
    case 84, 85: self.init(.invalidOpcode, "CPUID hides the immediate forms")
    default: return nil
    }
  }

  /// Writes all treatments as a table in Markdown.
  public static func writeTable<Output: ByteOutput & ~Copyable>(to output: inout Output) {
    output.write("| reason | | what Skep does | |\n|---|---|---|---|\n")
    for number in 0...UInt16(0xFF) {
      let reason = BasicExitReason(rawValue: number)
      guard let row = Self(of: reason), let title = reason.title else { continue }
      output.write("| ")
      output.write(decimal: UInt64(number))
      output.write(" | ")
      output.write(title)
      output.write(" | ")
      output.write(row.treatment.description)
      output.write(" | ")
      output.write(row.why)
      output.write(" |\n")
    }
  }
}
