import VMCS

/// The verdicts of all checks on one VMCS.
public struct EntryReport: EntryCheckVisitor, Sendable {
  /// The checks that failed, in the order in which the processor makes them, and why.
  public private(set) var failures: [(check: EntryCheck, finding: EntryFinding)] = []
  /// The checks that cannot be decided, and what is missing.
  public private(set) var undecidable: [(check: EntryCheck, missing: EntryInput)] = []
  /// How many checks passed.
  public private(set) var passedCount = 0
  /// What the processor will do.
  public private(set) var prediction = EntryPrediction()

  /// Evaluates all checks on `state`.
  public init<State: VMCSState>(_ state: State, capabilities: EntryCapabilities, facts: EntryFacts) {
    self = EntryChecks.visit(state, capabilities: capabilities, facts: facts, with: Self())
  }

  private init() {}

  /// Takes a check into the report.
  public mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
    let verdict = verdict()
    prediction.visit(check) { verdict }
    switch verdict {
    case .passed: passedCount += 1
    case .failed(let finding): failures.append((check, finding))
    case .undecidable(let missing): undecidable.append((check, missing))
    }
  }
}

/// Writes the checks that fail, in the order in which the processor makes them, and needs no heap.
public struct EntryFailureWriter<Output: ByteOutput>: EntryCheckVisitor {
  /// Where the text goes.
  public var output: Output
  /// How many checks failed.
  public private(set) var failureCount = 0
  /// How many could not be decided.
  public private(set) var undecidableCount = 0

  /// Makes a visitor that writes to `output`.
  public init(to output: Output) { self.output = output }

  /// Writes the check if it fails: five lines, each ended by a line feed.
  public mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
    switch verdict() {
    case .passed: return
    case .undecidable: undecidableCount += 1
    case .failed(let finding):
      failureCount += 1
      check.id.write(to: &output)
      output.write("\n  ")
      check.statement.write(to: &output)
      output.write("\n  ")
      finding.write(to: &output)
      output.write("\n  SDM, \"")
      output.write(check.section.title)
      output.write("\"\n  ")
      check.outcome.write(to: &output)
      output.write("\n")
    }
  }
}

extension EntryFinding {
  /// Writes one line without its end: where it is, what was found, and the smallest change.
  public func write<Output: ByteOutput>(to output: inout Output) {
    subject.write(to: &output)
    output.write(" is ")
    output.write(hexadecimal: found, digits: subject.digits)
    output.write("; the smallest change makes it ")
    output.write(hexadecimal: required, digits: subject.digits)
  }
}

extension EntryFinding.Subject {
  /// Writes where the finding is.
  public func write<Output: ByteOutput>(to output: inout Output) {
    switch self {
    case .field(let encoding):
      output.write(VMCSFieldDescription(encoding: encoding)?.title ?? "?")
    case .memory(let address):
      output.write("the quadword at ")
      output.write(hexadecimal: address.rawValue)
    case .msrLoadEntry(let number):
      output.write("bits 63:0 of VM-entry MSR-load entry ")
      output.write(decimal: UInt64(number))
    case .msrLoadData(let number):
      output.write("bits 127:64 of VM-entry MSR-load entry ")
      output.write(decimal: UInt64(number))
    case .fact(let fact): output.write(fact.title)
    }
  }

  /// How many hexadecimal digits a value has.
  var digits: Int {
    switch self {
    case .field(let encoding): encoding.width.bitWidth / 4
    case .fact: 1
    default: 16
    }
  }
}

extension EntryOutcome {
  /// Writes what happens, in the SDM's words.
  public func write<Output: ByteOutput>(to output: inout Output) {
    switch self {
    case .invalidOpcode: output.write("#UD")
    case .generalProtection: output.write("#GP(0)")
    case .vmFailInvalid: output.write("VMfailInvalid")
    case .vmFailValid(let error):
      output.write("VMfailValid, VM-instruction error ")
      output.write(decimal: UInt64(error.rawValue))
    case .invalidGuestState(let qualification):
      output.write("exit reason 33, VM-entry failure due to invalid guest state, exit qualification ")
      output.write(decimal: qualification.rawValue)
    case .msrLoading: output.write("exit reason 34, VM-entry failure due to MSR loading, exit qualification: the entry")
    }
  }
}
