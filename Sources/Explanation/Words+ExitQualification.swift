import VMCS

extension Words {
  /// An exit qualification in words; empty if it is 0 or a number that means itself.
  static func exitQualification(_ value: UInt64, of reason: ExitReason) -> String {
    if reason.vmEntryFailure {
      switch reason.basicReason {
      case .vmEntryFailureMSRLoading: return "entry \(value) of the VM-entry MSR-load area, counted from 1"
      case .vmEntryFailureInvalidGuestState:
        return value == 0 ? "" : String(VMEntryFailureQualification(rawValue: value).title, or: "not defined")
      default: return ""
      }
    }
    guard let type = qualificationType(of: reason.basicReason) else { return "" }
    return DecodedBits.all(in: value, of: type).filter { $0.value != 0 }.map { bits in
      let name = String(bits.field.name)
      if let meaning = bits.meaning { return "\(name)=\(meaning)" }
      return bits.field.high == bits.field.low ? name : "\(name)=\(String(hexadecimal: bits.value))"
    }.joined(separator: " ")
  }

  /// The type that names the bits of the exit qualification; nil where it is an address, a number or nothing.
  private static func qualificationType(of reason: BasicExitReason) -> ValueType? {
    switch reason {
    case .exceptionOrNMI: nil
    case .taskSwitch: .taskSwitchQualification
    case .controlRegisterAccess: .controlRegisterAccessQualification
    case .movDR: .movdrQualification
    case .ioInstruction: .ioInstructionQualification
    case .apicAccess: .apicAccessQualification
    case .eptViolation: .eptViolationQualification
    default: nil
    }
  }
}
