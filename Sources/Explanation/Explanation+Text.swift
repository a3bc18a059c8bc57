import VMCS
import VMCSDump
import VMEntryChecks

extension Explanation {
  /// The explanation for people, ended by a line feed.
  ///
  /// - Parameter file: the name of the input; nil for standard input.
  public func text(file: String?, style: Style) -> String {
    var lines: [String] = []
    lines.append(style.faint(place(file: file)))
    lines.append("")
    lines.append("  " + styledHeadline(style))
    if let first = failed.first {
      lines.append("")
      lines += details(of: first)
    }
    let width = decodedLines.map(\.0.count).max() ?? 0
    lines += decodedLines.isEmpty ? [] : [""] + decodedLines.map { "  \($0.0.padded(to: width))  \($0.1)" }
    if failed.count > 1 {
      lines += [
        "", "  " + style.strong(String(failed.count - 1, "other check") + (failed.count == 2 ? " fails:" : " fail:")),
      ]
      for other in failed.dropFirst() { lines += ["", "  - \(Headline.sentence(other, dump))"] + details(of: other) }
    }
    lines += notes.isEmpty ? [] : [""] + notes.map { "  Note: \($0)" }
    lines += candidateLines(style)
    lines += undecidableLines(style)
    lines += unreadLines(style)
    return lines.joined(separator: "\n") + "\n"
  }

  private func styledHeadline(_ style: Style) -> String {
    switch verdict {
    case .failed: style.bad(headline)
    case .healthy: style.good(headline)
    case .undecided, .unusable: style.unsure(headline)
    }
  }

  /// Where the dump is and what it claims.
  private func place(file: String?) -> String {
    var text = "\(file ?? "standard input"):\(dump.firstLine)-\(dump.lastLine): \(dump.format.name)"
    if let domain = dump.domain { text += ", domain \(domain)" }
    if let processor = dump.virtualProcessor { text += ", vCPU \(processor)" }
    if let claim { text += ", \(claim.text)" }
    return text
  }

  private func details(of failed: FailedCheck) -> [String] {
    let check = failed.check
    var rows = [
      ("check", "\(check.id)"),
      ("requires", "\(check.statement)"),
      ("SDM", "“\(check.section.title)”"),
      ("then", check.outcome.text),
    ]
    for (position, line) in restsOn(check).enumerated() { rows.append((position == 0 ? "rests on" : "", line)) }
    rows.append(("change", Self.change(failed.finding)))
    if let unless = failed.unless { rows.append(("unless", "the processor's \(unless.title) says otherwise")) }
    return rows.map { "    \($0.0.padded(to: 10))  \($0.1)" }
  }

  /// The lines of the dump that a check reads.
  private func restsOn(_ check: EntryCheck) -> [String] {
    Self.fields(of: check).compactMap { field in
      guard let value = dump[field.encoding] else { return nil }
      let meaning = field.meaning(of: value.bits)
      return "line \(value.line): \(field.title) = \(String(hexadecimal: value.bits, digits: field.encoding.digits))"
        + (meaning.isEmpty ? "" : "  \(meaning)")
    }
  }

  /// The fields that a check reads.
  static func fields(of check: EntryCheck) -> [VMCSFieldDescription] {
    check.inputs.description.split(separator: " ").compactMap { fieldsByName[String($0)] }
  }

  private static let fieldsByName = Dictionary(
    uniqueKeysWithValues: VMCSFieldDescription.all.map { (String($0.name), $0) })

  static func change(_ finding: EntryFinding) -> String {
    guard case .field(let field) = finding.subject else {
      return "\(String(hexadecimal: finding.found, digits: 16)) to \(String(hexadecimal: finding.required, digits: 16))"
    }
    let (found, required) = (
      String(hexadecimal: finding.found, digits: field.digits),
      String(hexadecimal: finding.required, digits: field.digits)
    )
    return "\(field.title) from \(found) to \(required)"
  }

  /// The exit and the events, in words.
  var decodedLines: [(String, String)] {
    func bits(_ field: VMCSFieldEncoding) -> UInt64? { dump[field]?.bits }
    var lines: [(String, String)] = []
    if let value = bits(VMCSField.exitReason.encoding) {
      let reason = ExitReason(rawValue: UInt32(truncatingIfNeeded: value))
      let failure = reason.vmEntryFailure ? ", VM-entry failure" : ""
      lines.append(("exit reason", "\(String(hexadecimal: value, digits: 8))  \(Words.exitReason(reason))\(failure)"))
      if let qualification = bits(VMCSField.exitQualification.encoding) {
        let meaning = Words.exitQualification(qualification, of: reason)
        if qualification != 0 || !meaning.isEmpty {
          lines.append(("qualification", "\(String(hexadecimal: qualification))  \(meaning)"))
        }
      }
    }
    if let value = bits(VMCSField.vmExitInterruptionInformation.encoding), value >> 31 & 1 == 1 {
      let field = VMCSField.vmExitInterruptionInformation.encoding
      lines.append(("exits with", "\(String(hexadecimal: value, digits: 8))  \(Words.event(field, value) ?? "")"))
    }
    if let value = bits(VMCSField.vmEntryInterruptionInformation.encoding), value >> 31 & 1 == 1 {
      let field = VMCSField.vmEntryInterruptionInformation.encoding
      lines.append(("injects", "\(String(hexadecimal: value, digits: 8))  \(Words.event(field, value) ?? "")"))
    }
    if let value = bits(VMCSField.idtVectoringInformation.encoding), value >> 31 & 1 == 1 {
      let field = VMCSField.idtVectoringInformation.encoding
      lines.append(("IDT vectoring", "\(String(hexadecimal: value, digits: 8))  \(Words.event(field, value) ?? "")"))
    }
    if let value = bits(VMCSField.vmInstructionError.encoding), value != 0 {
      let title = VMInstructionError(rawValue: UInt32(truncatingIfNeeded: value)).title
      lines.append(("VM-instruction error", "\(value)  \(String(title, or: "not a number that the SDM defines"))"))
    }
    return lines
  }

  /// The checks that could explain a failure that nothing else does: of those that one unknown field keeps from being
  /// decided, the ones of which something that is known applies.
  var candidates: [(check: EntryCheck, missing: VMCSFieldEncoding)] {
    guard let claim, claim.isFailure, failed.isEmpty else { return [] }
    return undecidable.compactMap { check, missing in
      guard case .field(let missing) = missing, claim.isExplained(by: check.outcome) else { return nil }
      let others = Self.fields(of: check).filter { $0.encoding != missing }.map { dump.contents(of: $0.encoding) }
      return others.contains { $0 ?? 0 != 0 } && !others.contains(nil) ? (check, missing) : nil
    }
  }

  private func candidateLines(_ style: Style) -> [String] {
    let candidates = candidates
    if candidates.isEmpty { return [] }
    var lines = ["", "  " + style.strong("One more field would decide these:")]
    for (check, missing) in candidates.prefix(8) {
      lines.append("    \(missing.title): \(check.statement)  (\(check.id))")
    }
    if candidates.count > 8 { lines.append("    and \(candidates.count - 8) more") }
    return lines
  }

  private func undecidableLines(_ style: Style) -> [String] {
    let groups = undecidableGroups
    guard !groups.isEmpty, verdict != .unusable, dump.valueCount > 0 else { return [] }
    let shown = groups.prefix(8)
    var lines = [
      "",
      "  "
        + style.strong(
          "Cannot be decided from this dump: \(String(undecidable.count, "check")) of \(undecidable.count + passedCount + failed.count)."
        ),
    ]
    for group in shown {
      lines.append("    \(String(group.checks.count, "check").padded(to: 10))  needs \(group.missing)")
    }
    if groups.count > shown.count {
      let rest = groups.dropFirst(shown.count)
      let count = rest.reduce(0) { $0 + $1.checks.count }
      lines.append("    \(String(count, "check").padded(to: 10))  needs one of \(rest.count) other things")
    }
    return lines
  }

  /// The checks that cannot be decided by what they need, those with most checks first.
  var undecidableGroups: [(missing: String, checks: [String])] {
    var groups: [(input: EntryInput, checks: [String])] = []
    for (check, missing) in undecidable {
      if let position = groups.firstIndex(where: { $0.input == missing }) {
        groups[position].checks.append(check.id.description)
      } else {
        groups.append((missing, [check.id.description]))
      }
    }
    // Sorting by size keeps the order of the checks within a size.
    return groups.enumerated()
      .sorted { ($1.element.checks.count, $0.offset) < ($0.element.checks.count, $1.offset) }
      .map { ($0.element.input.text, $0.element.checks) }
  }

  private func unreadLines(_ style: Style) -> [String] {
    guard dump.unreadCount > 0 else { return [] }
    var lines = ["", "  " + style.strong("Not understood: \(String(dump.unreadCount, "line")) of the dump.")]
    for unread in dump.unread.prefix(8) {
      let text = String(decoding: unread.text.filter { $0 >= 0x20 && $0 != 0x7F }, as: UTF8.self)
      lines.append("    line \(unread.line)\(unread.isReadInPart ? " (read in part)" : ""): \(text)")
    }
    if dump.unreadCount > 8 { lines.append("    and \(dump.unreadCount - 8) more") }
    return lines
  }
}

extension EntryOutcome {
  /// What happens, in the SDM's words.
  var text: String {
    var output = ByteBuffer()
    write(to: &output)
    return String(decoding: output.bytes, as: UTF8.self)
  }
}

extension EntryInput {
  /// What is needed.
  var text: String {
    switch self {
    case .field(let field): field.title
    case .capability(let capability): "the processor's \(capability.title)"
    case .fact(let fact): "to know whether \(fact.title)"
    case .memory(let address): "the memory at \(String(hexadecimal: address.rawValue))"
    }
  }
}
