import VMCS
import VMCSDump
import VMEntryChecks

/// The sentence that says what is wrong, and what to know besides.
struct Headline {
  let dump: Dump
  let claim: Claim?
  let failed: [FailedCheck]
  let verdict: Explanation.Verdict
  let known: KnownCapabilities
  let undecidable: [(check: EntryCheck, missing: EntryInput)]

  /// How many different things a headline names.
  private static let limit = 3

  var text: String {
    if dump.format == .vmcb { return "This is a VMCB of an AMD processor, not a VMCS: Intel's checks do not apply." }
    if dump.isInterleaved {
      return "Lines of several dumps are mixed here, and nothing in them tells the dumps apart."
    }
    if !failed.isEmpty { return failures + "." }
    if case .instruction? = claim, let failure = dump.failures.first { return failure.sentence(known) }
    if let claim, claim.isFailure { return unexplained(claim) }
    switch verdict {
    case .healthy: return "Nothing is wrong: every check that can be decided passes."
    case .unusable: return "Nothing can be read of this dump."
    default: return "Nothing that can be decided from this dump is wrong."
    }
  }

  /// What fails: all that explains the claim, or else all, each field once.
  private var failures: String {
    let explaining = failed.filter { claim?.isExplained(by: $0.check.outcome) == true }
    var groups: [[FailedCheck]] = []
    for check in explaining.isEmpty ? failed : explaining {
      if let position = groups.firstIndex(where: { Self.belongTogether($0[0], check) }) {
        groups[position].append(check)
      } else {
        groups.append([check])
      }
    }
    var text = groups.prefix(Self.limit).map(sentence).joined(separator: "; also, ")
    if groups.count > Self.limit { text += "; and \(String(groups.count - Self.limit, "other thing"))" }
    return text
  }

  /// Whether two checks are about one thing: the same field, or the segments of a guest in virtual-8086 mode.
  private static func belongTogether(_ a: FailedCheck, _ b: FailedCheck) -> Bool {
    a.finding.subject == b.finding.subject || isAboutVirtual8086(a) && isAboutVirtual8086(b)
  }

  private static func isAboutVirtual8086(_ failed: FailedCheck) -> Bool {
    failed.check.id.description.hasSuffix(".virtual-8086")
  }

  private func sentence(_ group: [FailedCheck]) -> String {
    if group.count > 1, Self.isAboutVirtual8086(group[0]), Self.isAboutVirtual8086(group[group.count - 1]) {
      return
        "RFLAGS.VM is 1, so the guest is in virtual-8086 mode, but \(group.count) values of its segments are not as "
        + "that mode requires"
    }
    // One that says what it is about in its own words says it for the others of the field.
    if let words = group.compactMap({ Self.ownWords($0, dump) }).first { return words + unless(group[0].unless) }
    if group.count == 1 { return Self.sentence(group[0], dump) + unless(group[0].unless) }
    return Self.sentence(group, dump) + unless(group.contains { $0.unless == nil } ? nil : group[0].unless)
  }

  private func unless(_ capability: EntryCapability?) -> String {
    switch capability {
    case nil: ""
    case .ia32VMXBASIC: ", which only processors allow whose IA32_VMX_BASIC bit 56 is 1"
    case .ia32VMXCR0FIXED0: ""
    case .cpuid80000008EAX: ", unless the processor's linear addresses have 57 bits"
    case .ia32VMXCR4FIXED0 where !known.likely.isEmpty: ", unless Linux hides what the processor has"
    default: ", as on all processors so far"
    }
  }

  /// What a failed check found, in words and with the values.
  static func sentence(_ failed: FailedCheck, _ dump: Dump) -> String {
    ownWords(failed, dump) ?? general(failed, dump, failed.check.id.description)
  }

  /// What several checks found in one field.
  private static func sentence(_ group: [FailedCheck], _ dump: Dump) -> String {
    let first = group[0].finding
    let digits: Int
    if case .field(let field) = first.subject { digits = field.digits } else { digits = 16 }
    let found = String(hexadecimal: first.found, digits: digits)
    var parts: [String] = []
    for part in group.map({ settings($0.finding) }) where !parts.contains(part) { parts.append(part) }
    return "\(name(of: first.subject, dump)) \(found): \(parts.joined(separator: ", "))"
  }

  private static func general(_ failed: FailedCheck, _ dump: Dump, _ id: String) -> String {
    let finding = failed.finding
    let subject = name(of: finding.subject, dump)
    let digits: Int
    if case .field(let field) = finding.subject { digits = field.digits } else { digits = 16 }
    let found = String(hexadecimal: finding.found, digits: digits)
    if isAboutCanonicalAddress(id) { return "\(subject) \(found) is not a canonical address" }
    if id.hasSuffix(".reserved"), finding.required & finding.change == 0 {
      let plural = finding.change & (finding.change - 1) != 0
      return "\(subject) is \(found), with \(plural ? "bits" : "bit") \(finding.change.bitNumbers) set that must be 0"
    }
    return "\(subject) \(found): \(settings(finding)) (\(failed.check.statement.lowercasedFirst))"
  }

  private static func isAboutCanonicalAddress(_ id: String) -> Bool {
    id.hasSuffix(".canonical") || id == "guest.rip.high-bits" || id == "address-space-size.64-bit-host.rip"
  }

  /// What has to change, by name: "P is 0, has to be 1".
  private static func settings(_ finding: EntryFinding) -> String {
    var parts: [String] = []
    var rest = finding.change
    if case .field(let field) = finding.subject, let type = VMCSFieldDescription(encoding: field)?.valueType {
      if type.isEnumeration {
        let (found, required) = (type.title(of: finding.found), type.title(of: finding.required))
        return "\(String(found, or: "not defined")), has to be \(String(required, or: "another"))"
      }
      for bits in type.bitFields where bits.mask & finding.change != 0 {
        rest &= ~bits.mask
        let name = bits.spokenName(in: type)
        parts.append("\(name) is \(bits.value(in: finding.found)), has to be \(bits.value(in: finding.required))")
      }
    }
    if rest != 0 { parts.append(unnamed(rest, finding.found)) }
    return parts.joined(separator: ", ")
  }

  /// What has to change in bits without a name: "bit 1 is 0, has to be 1".
  private static func unnamed(_ bits: UInt64, _ found: UInt64) -> String {
    let isOne = bits & (bits - 1) == 0
    let subject = "\(isOne ? "bit" : "bits") \(bits.bitNumbers)"
    guard found & bits == 0 || found & bits == bits else { return "\(subject) have to be inverted" }
    let (verb, has) = isOne ? ("is", "has") : ("are", "have")
    return "\(subject) \(verb) \(found & bits == 0 ? 0 : 1), \(has) to be \(found & bits == 0 ? 1 : 0)"
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
    let isName = text.dropFirst().first.map { !$0.isLowercase } ?? true
    let sentence = text.hasSuffix(".") ? String(text.dropLast()) : text
    return isName ? sentence : sentence.prefix(1).lowercased() + sentence.dropFirst()
  }
}

extension BitField {
  /// How a sentence calls the bits: "P", "Segment type", or “Enable VPID” for a control.
  fileprivate func spokenName(in type: ValueType) -> String {
    let title = String(self.title)
    if ControlWord.allCases.contains(where: { $0.valueType == type }) { return "“\(title)”" }
    return title.firstIndex(of: ":").map { String(title[..<$0]) } ?? title
  }
}
