import VMCS
import VMCSDump
import VMEntryChecks

extension Explanation {
  /// The explanation as an object of the schema `skep.explain/1`, which the article "Explaining a Dump" describes.
  public func json(file: String?) -> JSONValue {
    .object([
      ("schema", .string("skep.explain/1")),
      ("file", .optional(file)),
      ("format", .string(String(dump.format.name))),
      ("lines", .array([.number(dump.firstLine), .number(dump.lastLine)])),
      ("domain", dump.domain.map { .number($0) } ?? .null),
      ("vcpu", dump.virtualProcessor.map { .number($0) } ?? .null),
      ("claim", claimJSON),
      ("verdict", .string(verdict.rawValue)),
      ("headline", .string(headline)),
      ("consistent", isConsistent.map { .boolean($0) } ?? .null),
      ("failed", .array(failed.map { json(of: $0) })),
      ("decoded", .object(decodedLines.map { ($0.0, .string($0.1)) })),
      ("passed", .number(UInt64(passedCount))),
      (
        "candidates",
        .array(
          candidates.map { check, missing in
            .object([
              ("check", .string(check.id.description)), ("statement", .string(check.statement.description)),
              ("needs", .string(missing.title)),
            ])
          })
      ),
      (
        "undecidable",
        .array(
          undecidableGroups.map { group in
            .object([("needs", .string(group.missing)), ("checks", .array(group.checks.map { .string($0) }))])
          })
      ),
      ("notes", .array(notes.map { .string($0) })),
      (
        "unread",
        .array(
          dump.unread.map { unread in
            .object([
              ("line", .number(unread.line)), ("partly", .boolean(unread.isReadInPart)),
              ("text", .string(String(decoding: unread.text, as: UTF8.self))),
            ])
          })
      ),
      ("unreadCount", .number(UInt64(dump.unreadCount))),
    ])
  }

  private var claimJSON: JSONValue {
    guard let claim else { return .null }
    let kind: String
    switch claim {
    case .exit: kind = "exit-reason"
    case .instructionError: kind = "instruction-error"
    case .hardwareErrorZero: kind = "hardware-error"
    }
    return .object([
      ("kind", .string(kind)), ("value", .hexadecimal(UInt64(claim.number))), ("failure", .boolean(claim.isFailure)),
      ("text", .string(claim.text)),
    ])
  }

  private func json(of failed: FailedCheck) -> JSONValue {
    let finding = failed.finding
    var field: JSONValue = .null
    if case .field(let encoding) = finding.subject {
      field = .optional(VMCSFieldDescription(encoding: encoding).map { String($0.name) })
    }
    let lines = fields(of: failed.check).compactMap { field -> JSONValue? in
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
