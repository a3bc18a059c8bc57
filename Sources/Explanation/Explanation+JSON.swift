import VMCS
import VMCSDump
import VMEntryChecks

extension Explanation {
  /// The explanation as an object of the schema `skep.explain/1`, which the article "Explaining a Dump" describes.
  public func json(file: String?) -> JSONValue { .object(placeJSON(file) + verdictJSON + undecidedJSON) }

  private func placeJSON(_ file: String?) -> [(String, JSONValue)] {
    [
      ("schema", .string("skep.explain/1")),
      ("file", .optional(file)),
      ("format", .string(String(dump.format.name))),
      ("lines", .array([.number(dump.firstLine), .number(dump.lastLine)])),
      ("domain", dump.domain.map { .number($0) } ?? .null),
      ("vcpu", dump.virtualProcessor.map { .number($0) } ?? .null),
    ]
  }

  private var verdictJSON: [(String, JSONValue)] {
    [
      ("claim", claimJSON),
      ("verdict", .string(verdict.rawValue)),
      ("headline", .string(headline)),
      ("consistent", isConsistent.map { .boolean($0) } ?? .null),
      ("failed", .array(failed.map { json(of: $0) })),
      ("failures", .array(dump.failures.map { json(of: $0) })),
      ("decoded", .object(decodedLines.map { ($0.0, .string($0.1)) })),
      ("passed", .number(UInt64(passedCount))),
    ]
  }

  private var undecidedJSON: [(String, JSONValue)] {
    let candidates: [JSONValue] = candidates.map { check, missing in
      .object([
        ("check", .string(check.id.description)), ("statement", .string(check.statement.description)),
        ("needs", .string(missing.title)),
      ])
    }
    let undecidable: [JSONValue] = undecidableGroups.map { group in
      .object([("needs", .string(group.missing)), ("checks", .array(group.checks.map { .string($0) }))])
    }
    let unread: [JSONValue] = dump.unread.map { unread in
      .object([
        ("line", .number(unread.line)), ("partly", .boolean(unread.isReadInPart)),
        ("text", .string(String(decoding: unread.text, as: UTF8.self))),
      ])
    }
    return [
      ("candidates", .array(candidates)),
      ("undecidable", .array(undecidable)),
      ("notes", .array(notes.map { .string($0) })),
      ("unread", .array(unread)),
      ("unreadCount", .number(UInt64(dump.unreadCount))),
    ]
  }

  private var claimJSON: JSONValue {
    guard let claim else { return .null }
    let kind: String
    switch claim {
    case .exit: kind = "exit-reason"
    case .instructionError: kind = "instruction-error"
    case .hardwareErrorZero: kind = "hardware-error"
    case .instruction: kind = "instruction"
    }
    return .object([
      ("kind", .string(kind)), ("value", claim.number.map { .hexadecimal(UInt64($0)) } ?? .null),
      ("failure", .boolean(claim.isFailure)),
      ("text", .string(claim.text)),
    ])
  }

  private func json(of failure: DumpInstructionFailure) -> JSONValue {
    func number(_ value: UInt64?) -> JSONValue { value.map { .hexadecimal($0) } ?? .null }
    return .object([
      ("instruction", .string(String(failure.instruction.mnemonic))), ("line", .number(failure.line)),
      ("operand", number(failure.operand)), ("value", number(failure.value)), ("error", number(failure.error)),
      ("field", .optional(failure.field.map { String($0.name) })), ("text", .string(failure.sentence(known))),
    ])
  }

  private func json(of failed: FailedCheck) -> JSONValue {
    let finding = failed.finding
    var field: JSONValue = .null
    if case .field(let encoding) = finding.subject {
      field = .optional(VMCSFieldDescription(encoding: encoding).map { String($0.name) })
    }
    let lines = Self.fields(of: failed.check).compactMap { field -> JSONValue? in
      guard let value = dump[field.encoding] else { return nil }
      return .object([
        ("field", .string(String(field.name))), ("line", .number(value.line)), ("value", .hexadecimal(value.bits)),
      ])
    }
    return .object([
      ("check", .string(failed.check.id.description)),
      ("statement", .string(failed.check.statement.description)),
      ("section", .string(String(failed.check.section.title))),
      ("outcome", .string(failed.check.outcome.text)),
      ("text", .string(Headline.sentence(failed, dump))),
      ("field", field),
      ("found", .hexadecimal(finding.found)),
      ("required", .hexadecimal(finding.required)),
      ("mask", .hexadecimal(finding.mask)),
      ("restsOn", .array(lines)),
      ("unless", .optional(failed.unless.map { String($0.title) })),
    ])
  }
}
