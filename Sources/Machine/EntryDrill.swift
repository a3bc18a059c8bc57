import VMCS
import VMEntryChecks

/// Makes a check of the SDM fail on purpose, so that its report can be seen.
public enum EntryDrill {
  /// How a drill was prepared.
  public enum Result: Sendable {
    /// The next VM entry fails, unless the check is one that a processor need not make.
    case ready
    /// There is no check with the identifier.
    case unknownCheck
    /// The check cannot be made to fail by a change of one field on this processor.
    case impossible
  }

  /// Changes one field of the current VMCS so that the check with the identifier `id` fails, and no other if that can be.
  ///
  /// - Parameter state: the VMCS that is current on `processor`, and its memory.
  public static func prepare<State: VMCSState, P: VMXProcessor>(
    _ id: UnsafeRawBufferPointer, _ state: State, capabilities: EntryCapabilities, facts: EntryFacts, on processor: P
  ) -> Result {
    let drill = Drill(id: id, state: state, capabilities: capabilities, facts: facts, processor: processor)
    guard let inputs = drill.evaluate().inputs else { return .unknownCheck }
    var names = InputNames()
    inputs.write(to: &names)
    return drill.change(names) ? .ready : .impossible
  }
}

/// The check that is to fail, and where.
private struct Drill<State: VMCSState, P: VMXProcessor> {
  let id: UnsafeRawBufferPointer
  let state: State
  let capabilities: EntryCapabilities
  let facts: EntryFacts
  let processor: P

  /// Evaluates the check, or all checks if `countsFailures`.
  func evaluate(countsFailures: Bool = false) -> DrillVisitor {
    EntryChecks.visit(
      state, capabilities: capabilities, facts: facts, with: DrillVisitor(id: id, countsFailures: countsFailures))
  }

  /// Tries each bit of each field that the check reads, and a few values, until the check fails alone; if it never does, takes
  /// the first change that makes it fail with others.
  ///
  /// False if there is none.
  func change(_ names: InputNames) -> Bool {
    var other: (field: UInt32, value: UInt64)?
    var position = 0
    while let name = names.next(from: &position) {
      guard let field = VMCSFieldDescription(name: name), !field.isReadOnly else { continue }
      let encoding = field.encoding.rawValue
      let old = processor.vmread(encoding)
      if old.failed { continue }
      for attempt in 0..<field.encoding.width.bitWidth + 36 {
        let value =
          attempt < field.encoding.width.bitWidth
          ? old.value ^ 1 << UInt64(attempt) : candidate(attempt - field.encoding.width.bitWidth)
        if processor.vmwrite(encoding, value) { break }
        guard evaluate().hasFailed else { continue }
        if evaluate(countsFailures: true).failureCount == 1 { return true }
        if other == nil { other = (encoding, value) }
      }
      _ = processor.vmwrite(encoding, old.value)
    }
    guard let other else { return false }
    return !processor.vmwrite(other.field, other.value)
  }

  /// A value that is worth trying: small numbers, then all ones, a valid event of each type, an address that is not canonical.
  private func candidate(_ number: Int) -> UInt64 {
    switch number {
    case 0..<24: UInt64(number)
    case 24: ~0
    case 25..<33: 1 << 31 | UInt64(number - 25) << 8
    case 33: 1 << 47
    case 34: 0x8000_0B0D
    default: 0x8000_030D
    }
  }
}

/// Looks for one check among all, and may count those that fail.
private struct DrillVisitor: EntryCheckVisitor {
  let id: UnsafeRawBufferPointer
  let countsFailures: Bool
  private(set) var inputs: EntryText?
  private(set) var hasFailed = false
  private(set) var failureCount = 0

  init(id: UnsafeRawBufferPointer, countsFailures: Bool) { (self.id, self.countsFailures) = (id, countsFailures) }

  mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
    let isWanted = inputs == nil && check.id.isEqual(to: id)
    if isWanted { inputs = check.inputs }
    guard isWanted || countsFailures, case .failed = verdict() else { return }
    failureCount += 1
    if isWanted { hasFailed = true }
  }
}

/// The names of a check's inputs, separated by spaces.
private struct InputNames: ByteOutput {
  private var bytes = InlineArray<512, UInt8>(repeating: 0)
  private var count = 0

  mutating func write(_ byte: UInt8) {
    if count == 512 { return }
    bytes[count] = byte
    count += 1
  }

  /// The name that starts at `position`, which is moved behind it; nil at the end.
  func next(from position: inout Int) -> InputName? {
    if position >= count { return nil }
    let start = position
    while position < count, bytes[position] != 0x20 { position += 1 }
    defer { position += 1 }
    return InputName(bytes: bytes, range: start..<position)
  }
}

/// One name.
private struct InputName: RandomAccessCollection {
  let bytes: InlineArray<512, UInt8>
  let range: Range<Int>

  var startIndex: Int { range.lowerBound }
  var endIndex: Int { range.upperBound }
  subscript(position: Int) -> UInt8 { bytes[position] }
}
