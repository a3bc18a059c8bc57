import VMCS
import VMCSDump
import VMEntryChecks

// What is to say of a VMX instruction other than VM entry that failed.

extension DumpInstructionFailure {
  /// The field that VMREAD or VMWRITE named; nil for other instructions and for encodings that no field has.
  var field: VMCSFieldDescription? { encoding.flatMap { VMCSFieldDescription(encoding: $0) } }

  private var encoding: VMCSFieldEncoding? {
    guard instruction == .vmread || instruction == .vmwrite else { return nil }
    return operand.flatMap { UInt32(exactly: $0) }.map { VMCSFieldEncoding(rawValue: $0) }
  }

  /// What failed and why, in one sentence.
  func sentence(_ known: KnownCapabilities) -> String {
    var sentence = subject + " failed"
    if isInvalid {
      sentence += ": there was no current VMCS (VMfailInvalid)"
    } else if let number = error {
      let error = VMInstructionError(rawValue: UInt32(truncatingIfNeeded: number))
      let title = String(error.title, or: "not a number that the SDM defines")
      sentence += ": VM-instruction error \(number), \(title)"
    }
    return ([sentence] + reasons(known)).joined(separator: ". ") + "."
  }

  private var subject: String {
    let name = String(instruction.mnemonic)
    guard let operand else { return name }
    switch instruction {
    case .vmread: return "\(name) of \(place(operand))"
    case .vmwrite: return "\(name) of \(value.map { String(hexadecimal: $0) } ?? "a value") to \(place(operand))"
    case .vmclear, .vmptrld: return "\(name) of the VMCS at \(String(hexadecimal: operand))"
    case .invept, .invvpid: return "\(name) of type \(operand)"
    }
  }

  private func place(_ operand: UInt64) -> String {
    let number = String(hexadecimal: operand, digits: 4)
    if let field { return "“\(field.title)” (\(field.name), \(number))" }
    if let encoding, encoding.isHighAccess,
      let whole = VMCSFieldDescription(encoding: VMCSFieldEncoding(rawValue: encoding.rawValue & ~1))
    {
      return "the high half of “\(whole.title)” (\(whole.name), \(number))"
    }
    return number
  }

  private func reasons(_ known: KnownCapabilities) -> [String] {
    switch instruction {
    case .vmread, .vmwrite: return fieldReasons(known)
    case .vmclear, .vmptrld:
      if error != nil { return [] }
      return ["The address is not that of a page, or is beyond the physical-address width, or is the VMXON pointer"]
    case .invept, .invvpid:
      return ["The type of invalidation is not one that IA32_VMX_EPT_VPID_CAP has, or the descriptor is not valid"]
    }
  }

  private func fieldReasons(_ known: KnownCapabilities) -> [String] {
    guard let encoding else { return [] }
    guard let field else {
      let isHigh = encoding.isHighAccess && encoding.width == .bits64
      let whole = VMCSFieldDescription(encoding: VMCSFieldEncoding(rawValue: encoding.rawValue & ~1))
      if isHigh, let whole { return existence(of: whole, known) }
      return ["No field that the SDM defines has this encoding"]
    }
    var reasons: [String] = []
    if instruction == .vmwrite, field.isReadOnly, error == nil || error == 13 {
      reasons.append("The field is read-only, and VMWRITE to such needs IA32_VMX_MISC bit 29")
    } else if error != 13 {
      reasons += existence(of: field, known)
    }
    if let value, field.width.bitWidth < 64, value >> UInt64(field.width.bitWidth) != 0 {
      reasons.append(
        "The value has more than the field's \(field.width.bitWidth) bits, of which VMWRITE takes the low ones")
    }
    return reasons
  }

  /// Whether the processor has the field.
  private func existence(of field: VMCSFieldDescription, _ known: KnownCapabilities) -> [String] {
    guard error == nil || error == 12, !isInvalid else { return [] }
    if field.condition.isAlways {
      return [
        "Every processor with VMX has this field, so there was no current VMCS, or a hypervisor below does not offer the field"
      ]
    }
    let condition = "The field is there only \(field.conditionText)"
    guard let control = field.condition.control else { return [condition + ", so this one is without"] }
    let controls = [control] + (field.condition.alternative.map { [$0] } ?? [])
    let settings = controls.map { CapabilityReport(known).setting(of: $0) }
    if settings.contains(.mayBe1) {
      return [
        condition
          + ", which it can on this processor: a hypervisor below may not offer it, or there was no current VMCS"
      ]
    }
    return [
      condition
        + (settings.allSatisfy { $0 == .is0 } ? ", which it cannot on this processor" : ": this one cannot have it")
    ]
  }
}
