import VMCS

// What becomes of the numbers of a line that was understood.

extension DumpStream {
  /// Reads a value in Skep's list of failed checks, like "Guest RFLAGS is 0x0000000000000000; the smallest change …"; the
  /// other lines of the list say which check it is, and have no values.
  mutating func readFinding(_ line: TextLine, from start: Int, _ number: UInt64) {
    let start = line.skippingBlanks(from: start)
    var end = start
    while end < line.count, !line.has(" is 0x", at: end) { end += 1 }
    guard end < line.count else { return }
    var (value, position) = (UInt64(0), end + 6)
    while position < line.count, position - end < 22, let digit = hexadecimalDigit(line[position]) {
      value = value << 4 | digit
      position += 1
    }
    guard line.has("; the smallest change makes it 0x", at: position) else { return }
    for index in 0..<VMCSFieldDescription.count {
      let field = VMCSFieldDescription(at: index)
      guard field.title.utf8CodeUnitCount == end - start, line.has(field.title, at: start) else { continue }
      let width = field.width.bitWidth
      guard width == 64 || value >> UInt64(width) == 0 else { return }
      dump?.set(field.encoding, DumpValue(bits: value, line: number, quality: .exact))
      dump?.lastLine = number
      lastLine = number
    }
  }

  /// Takes a failure of VMREAD or VMWRITE into an open dump that is another's: KVM has them while it prints a dump, or just
  /// before; false if there is none.
  mutating func takeFailure(_ match: RowMatch, _ row: DumpRow, _ number: UInt64) -> Bool {
    guard let dump else { return false }
    var taken = Dump(format: .message, line: number)
    for position in 0..<match.numberCount where position < row.targets.count && row.constant == nil {
      store(match.numbers[position], row.targets[position], number, in: &taken)
    }
    guard let failure = taken.failures.first else { return false }
    let isRepeated = dump.failures.contains { $0.isRepeated(by: failure) }
    guard isRepeated || dump.format != .message && number - dump.lastLine <= Self.traceLimit else { return false }
    self.dump?.add(failure)
    self.dump?.lastLine = number
    lastLine = number
    return true
  }

  mutating func store(_ match: RowMatch, _ row: DumpRow, firstTarget: Int, _ number: UInt64) {
    // Moved out and back, so that the values are not copied.
    guard var dump else { return }
    self.dump = nil
    defer { self.dump = dump }
    dump.lastLine = number
    lastLine = number
    var firstTarget = firstTarget
    if let constant = row.constant, let first = row.targets.first {
      if firstTarget == 0 { store(constant, first, number, in: &dump) }
      firstTarget += 1
    }
    for position in 0..<match.numberCount where firstTarget + position < row.targets.count {
      store(match.numbers[position], row.targets[firstTarget + position], number, in: &dump)
    }
  }

  private mutating func store(_ value: UInt64, _ target: DumpTarget, _ line: UInt64, in dump: inout Dump) {
    if let field = target.field {
      if let quality = target.quality(of: value) {
        dump.set(field, DumpValue(bits: target.bits(value), line: line, quality: quality))
      }
    } else if let claim = target.claim {
      if claim != .instructionError || value != 0 {
        dump.claims.append(DumpClaim(kind: claim, value: value, line: line))
      }
    } else if let instruction = target.failure {
      let operand = value == ~0 ? nil : value
      dump.add(DumpInstructionFailure(instruction: instruction, operand: operand, line: line))
    } else if let other = target.other {
      store(value, other, line, in: &dump)
    }
  }

  private mutating func store(_ value: UInt64, _ other: DumpTarget.Other, _ line: UInt64, in dump: inout Dump) {
    switch other {
    case .encoding: encoding = VMCSFieldEncoding(rawValue: UInt32(truncatingIfNeeded: value))
    case .value: if let encoding { dump.set(encoding, DumpValue(bits: value, line: line, quality: .exact)) }
    case .virtualProcessor: dump.virtualProcessor = value
    case .domain: dump.domain = value
    case .smm: dump.isInSMM = value != 0
    case .basicExitReason:
      // 33, 34 and 41 are VM-entry failures only, so bit 31 was 1; 0 is also printed when there was no VM exit.
      let isFailure = value == 33 || value == 34 || value == 41
      if isFailure { dump.claims.append(DumpClaim(kind: .exitReason, value: value | 1 << 31, line: line)) }
      dump.set(
        VMCSField.exitReason.encoding,
        DumpValue(bits: isFailure ? value | 1 << 31 : value, line: line, quality: isFailure ? .exact : .truncated))
    case .entryFailureReason:
      dump.claims.append(DumpClaim(kind: .exitReason, value: value | 1 << 31, line: line))
      dump.set(VMCSField.exitReason.encoding, DumpValue(bits: value | 1 << 31, line: line, quality: .exact))
    case .msrIndex: msr = MSR(rawValue: UInt32(truncatingIfNeeded: value))
    case .msrValue: dump.add(DumpMSREntry(area: area, msr: msr, value: value, line: line))
    case .failureOperand, .failureValue, .failureError, .failureOutcome: storeFailure(value, other, in: &dump)
    case .eventType: event = 1 << 31 | value << 8
    case .eventVector, .eventErrorCode: storeEvent(value, other, line, in: &dump)
    }
  }

  private func storeFailure(_ value: UInt64, _ other: DumpTarget.Other, in dump: inout Dump) {
    guard let last = dump.failures.indices.last else { return }
    switch other {
    case .failureOperand: dump.failures[last].operand = value
    case .failureValue: dump.failures[last].value = value
    case .failureError: dump.failures[last].error = value
    default: dump.failures[last].isInvalid = value == 1
    }
  }

  /// Composes the VM-exit interruption information of its parts; bit 12 is not printed.
  private mutating func storeEvent(
    _ value: UInt64, _ other: DumpTarget.Other, _ line: UInt64, in dump: inout Dump
  ) {
    if other == .eventErrorCode {
      event |= 1 << 11
      dump.set(
        VMCSField.vmExitInterruptionErrorCode.encoding, DumpValue(bits: value, line: line, quality: .exact))
    } else {
      event |= value
    }
    dump.set(
      VMCSField.vmExitInterruptionInformation.encoding, DumpValue(bits: event, line: line, quality: .view))
  }
}
