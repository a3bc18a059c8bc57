import Testing
import VMCS
import VMEntryChecks

/// Which of many values of one thing in a valid state make a check fail: these, and none of the others.
///
/// A mask is told by the bits whose inversion makes the check fail, so that every bit of it is tried, and every bit beside
/// it; a comparison by values on both sides of its boundary; a condition by a state in which it does not hold, where no
/// value fails.
struct FailingValues: Sendable, CustomTestStringConvertible {
  typealias Change = @Sendable (inout TestState) -> Void

  /// The identifier of the check.
  var id: String
  /// The valid state.
  var base: BaseState
  var note: String
  /// What makes the check apply.
  var setUp: Change
  /// What is tried: numbers of bits, or values.
  var candidates: [UInt64]
  /// Those that make the check fail.
  var failing: Set<UInt64>
  /// Those of which the check cannot tell.
  var undecidable: Set<UInt64> = []
  /// Changes after which the check does not apply, so that nothing fails.
  var exceptions: [Change]
  /// Where the bits are that are inverted; nil if values are set.
  ///
  /// A finding there asks for the bit that was inverted, and for no other, and is about bits that make the check fail.
  var subject: EntryFinding.Subject?
  /// The value that every finding asks for, if it is always the same.
  var required: UInt64?
  /// The bits that every finding is about, if they are always the same.
  var mask: UInt64?
  /// Inverts a bit, or sets the value.
  var apply: @Sendable (inout TestState, UInt64) -> Void

  var testDescription: String { "\(id) in \(base)\(note.isEmpty ? "" : ": \(note)")" }

  static let all: [FailingValues] = [
    controlWords, executionControls, addresses, eptControls, extensionControls, msrAreas, smmControls, eventTypes,
    eventErrorCodes, eventLengths, widths, host, fred, commonMSRs, hostSegments, addressSpaceSize,
    guestControlRegisters, guestMSRs, traceMSR, guestSelectorsAndBases, accessRights, dpls, systemSegments,
    ripAndRFLAGS, activityState, interruptibilityState, pendingDebugExceptions, linkPointer, pdptes, msrLoading,
    unknownInputs,
    requiredValues, instructions,
  ].flatMap { $0 }

  static func joined(_ parts: [FailingValues]...) -> [FailingValues] { parts.flatMap { $0 } }
}

extension FailingValues {
  /// The bits of a field whose inversion makes the check fail, like "63:22, 15, 1".
  static func bits<Value>(
    _ id: String, _ base: BaseState, _ field: VMCSField<Value, ReadWrite>, _ failing: String, _ note: String = "",
    undecidable: String = "", except exceptions: [Change] = [],
    setUp: @escaping Change = { _ in }
  ) -> Self {
    Self(
      id: id, base: base, note: note, setUp: setUp, candidates: Array(0..<UInt64(Value.Bits.bitWidth)),
      failing: numbers(failing), undecidable: numbers(undecidable), exceptions: exceptions,
      subject: .field(field.encoding)
    ) { $0[field] ^= 1 << $1 }
  }

  /// The bits of a quadword in memory whose inversion makes the check fail.
  static func bits(
    _ id: String, _ base: BaseState, at address: UInt64, _ failing: String, _ note: String = "",
    except exceptions: [Change] = [], setUp: @escaping Change = { _ in }
  ) -> Self {
    Self(
      id: id, base: base, note: note, setUp: setUp, candidates: Array(0..<64), failing: numbers(failing),
      exceptions: exceptions
    ) { $0.memory[address]? ^= 1 << $1 }
  }

  /// The bits of a capability whose inversion makes the check fail.
  static func bits(
    _ id: String, _ base: BaseState, of capability: EntryCapability, _ failing: String, _ note: String = "",
    except exceptions: [Change] = [], setUp: @escaping Change = { _ in }
  ) -> Self {
    Self(
      id: id, base: base, note: "\(capability) \(note)", setUp: setUp, candidates: Array(0..<64),
      failing: numbers(failing), exceptions: exceptions
    ) { $0.capabilities[capability]? ^= 1 << $1 }
  }

  /// The values of a field, or of its bits from `shift` on, that make the check fail.
  static func values<Value>(
    _ id: String, _ base: BaseState, _ field: VMCSField<Value, ReadWrite>, of candidates: some Sequence<UInt64>,
    mask: UInt64 = ~0, shift: UInt64 = 0, _ failing: some Sequence<UInt64>, _ note: String = "",
    undecidable: Set<UInt64> = [], except exceptions: [Change] = [], required: UInt64? = nil,
    about findingMask: UInt64? = nil, setUp: @escaping Change = { _ in }
  ) -> Self {
    Self(
      id: id, base: base, note: note, setUp: setUp, candidates: Array(candidates), failing: Set(failing),
      undecidable: undecidable, exceptions: exceptions, required: required, mask: findingMask
    ) { $0[field] = $0[field] & ~(mask << shift) | ($1 & mask) << shift }
  }

  /// The numbers in a text like "63:22, 15, 1".
  static func numbers(_ text: String) -> Set<UInt64> {
    Set(
      text.split(separator: ", ").flatMap { part in
        let ends = part.split(separator: ":").map { UInt64($0)! }
        return ends.last!...ends.first!
      })
  }

  /// Makes bits of a field 0.
  static func off<Value>(_ field: VMCSField<Value, ReadWrite>, _ bits: UInt64...) -> Change {
    { state in for bit in bits { state[field] &= ~(1 << bit) } }
  }

  /// Makes bits of a field 1.
  static func on<Value>(_ field: VMCSField<Value, ReadWrite>, _ bits: UInt64...) -> Change {
    { state in for bit in bits { state[field] |= 1 << bit } }
  }

  /// Sets a field.
  static func set<Value>(_ field: VMCSField<Value, ReadWrite>, _ value: UInt64) -> Change { { $0[field] = value } }

  /// What makes a secondary control not apply.
  static func withoutSecondary(_ control: UInt64) -> [Change] { [off(secondary, control), off(primary, 31)] }

  /// What makes a tertiary control not apply.
  static func withoutTertiary(_ control: UInt64) -> [Change] { [off(tertiary, control), off(primary, 17)] }

  static let pin: VMCSField<PinBasedVMExecutionControls, ReadWrite> = .pinBasedVMExecutionControls
  static let primary: VMCSField<PrimaryProcessorBasedVMExecutionControls, ReadWrite> =
    .primaryProcessorBasedVMExecutionControls
  static let secondary: VMCSField<SecondaryProcessorBasedVMExecutionControls, ReadWrite> =
    .secondaryProcessorBasedVMExecutionControls
  static let tertiary: VMCSField<TertiaryProcessorBasedVMExecutionControls, ReadWrite> =
    .tertiaryProcessorBasedVMExecutionControls
  static let exit: VMCSField<PrimaryVMExitControls, ReadWrite> = .primaryVMExitControls
  static let entry: VMCSField<VMEntryControls, ReadWrite> = .vmEntryControls
  static let event: VMCSField<VMEntryInterruptionInformation, ReadWrite> = .vmEntryInterruptionInformation
}
