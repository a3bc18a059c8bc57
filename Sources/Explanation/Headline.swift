import VMCS
import VMCSDump
import VMEntryChecks

/// The sentence that says what is wrong, and what to know besides.
struct Headline {
  let dump: Dump
  let claim: Claim?
  let failed: [FailedCheck]
  let verdict: Explanation.Verdict

  var text: String {
    if dump.format == .vmcb { return "This is a VMCB of an AMD processor, not a VMCS: Intel's checks do not apply." }
    if dump.isInterleaved {
      return "Lines of several dumps are mixed here, and nothing in them tells the dumps apart."
    }
    if let first = failed.first {
      let sentence = Self.sentence(first, dump)
      if let unless = first.unless { return sentence + Self.unless(unless) + "." }
      return sentence + "."
    }
    if let claim, claim.isFailure { return Self.unexplained(claim, dump) }
    switch verdict {
    case .healthy: return "Nothing is wrong: every check that can be decided passes."
    case .unusable: return "Nothing can be read of this dump."
    default: return "Nothing that can be decided from this dump is wrong."
    }
  }

  private static func unless(_ capability: EntryCapability) -> String {
    switch capability {
    case .ia32VMXBASIC: ", which only processors allow whose IA32_VMX_BASIC bit 56 is 1"
    case .cpuid80000008EAX: ", unless the processor's linear addresses have 57 bits"
    default: ", as on all processors so far"
    }
  }

  /// What a failed check found, in words and with the values.
  static func sentence(_ failed: FailedCheck, _ dump: Dump) -> String {
    let id = failed.check.id.description
    func bits(_ field: VMCSFieldEncoding) -> UInt64? { dump.contents(of: field) }
    let event = bits(VMCSField.vmEntryInterruptionInformation.encoding).map {
      VMEntryInterruptionInformation(rawValue: UInt32(truncatingIfNeeded: $0))
    }
    switch id {
    case "guest.rflags.if-for-external-interrupt":
      if let event { return "RFLAGS.IF is 0 but the entry injects \(Words.event(event))" }
    case "guest.interruptibility-state.sti-if": return "There is blocking by STI but RFLAGS.IF is 0"
    case "guest.cr0.pg-for-ia-32e-mode": return "“IA-32e mode guest” is 1 but CR0.PG of the guest is 0"
    case "guest.cr0.pg-pe": return "CR0.PG of the guest is 1 but CR0.PE is 0"
    case "control.event-injection.deliver-error-code.set":
      if let event {
        let name = Words.mnemonic(ofException: event.vector) ?? Words.event(event)
        return "\(name) is injected without an error code (deliver error code is 0)"
      }
    case "control.event-injection.deliver-error-code.clear":
      if let event { return "\(Words.event(event)) is injected with an error code, but must not have one" }
    default: break
    }
    return general(failed, dump, id)
  }

  private static func general(_ failed: FailedCheck, _ dump: Dump, _ id: String) -> String {
    let finding = failed.finding
    let subject = name(of: finding.subject, dump)
    let digits: Int
    if case .field(let field) = finding.subject { digits = field.digits } else { digits = 16 }
    let found = String(hexadecimal: finding.found, digits: digits)
    if id.hasSuffix(".canonical") { return "\(subject) \(found) is not a canonical address" }
    if id.hasSuffix(".reserved"), finding.required & finding.change == 0 {
      let plural = finding.change & (finding.change - 1) != 0
      return "\(subject) is \(found), with \(plural ? "bits" : "bit") \(finding.change.bitNumbers) set that must be 0"
    }
    return "\(subject) \(found): \(settings(finding)) (\(failed.check.statement.lowercasedFirst))"
  }

  /// What has to change, by name: "unusable is 1, has to be 0".
  private static func settings(_ finding: EntryFinding) -> String {
    var parts: [String] = []
    var rest = finding.change
    if case .field(let field) = finding.subject, let description = VMCSFieldDescription(encoding: field) {
      for bits in description.valueType.bitFields where bits.mask & finding.change != 0 {
        rest &= ~bits.mask
        parts.append("\(bits.name) is \(bits.value(in: finding.found)), has to be \(bits.value(in: finding.required))")
      }
    }
    if rest != 0 { parts.append("\(rest & (rest - 1) == 0 ? "bit" : "bits") \(rest.bitNumbers) wrong") }
    return parts.joined(separator: ", ")
  }

  private static func name(of subject: EntryFinding.Subject, _ dump: Dump) -> String {
    switch subject {
    case .field(let field): return field.title
    case .msrLoadEntry(let number), .msrLoadData(let number):
      // The entry was looked at alone, so its number is in the dump and not in the finding.
      let entries = dump.msrEntries.filter { $0.area == .vmEntryLoad }
      guard entries.count == 1, number == 1 else { return "The value of an entry of the VM-entry MSR-load area" }
      return "The value of MSR \(String(hexadecimal: UInt64(entries[0].msr.rawValue))) in the VM-entry MSR-load area"
    case .memory(let address): return "The quadword at \(String(hexadecimal: address.rawValue))"
    case .fact(let fact): return String(fact.title)
    }
  }
}

extension EntryText {
  /// The text as it goes on after a colon.
  var lowercasedFirst: String {
    let text = description
    // Names of registers and of fields stay as they are.
    let isName = text.dropFirst().first.map { $0.isUppercase || $0 == "." } ?? true
    let sentence = text.hasSuffix(".") ? String(text.dropLast()) : text
    return isName ? sentence : sentence.prefix(1).lowercased() + sentence.dropFirst()
  }
}
