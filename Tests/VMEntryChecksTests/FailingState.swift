import Testing
import VMCS
import VMEntryChecks

/// The smallest change to a valid state that makes a check fail, and only it.
struct FailingState: Sendable, CustomTestStringConvertible {
  /// The identifier of the check.
  var id: String
  /// The valid state.
  var base: BaseState
  /// Checks that cannot but fail as well.
  var also: [String]
  /// What the change is, where a check has several.
  var note: String
  var change: @Sendable (inout TestState) -> Void

  init(
    _ id: String, _ base: BaseState, _ note: String = "", also: [String] = [],
    _ change: @escaping @Sendable (inout TestState) -> Void
  ) {
    (self.id, self.base, self.note, self.also, self.change) = (id, base, note, also, change)
  }

  var state: TestState { base.state.with(change) }
  var testDescription: String { "\(id) in \(base)\(note.isEmpty ? "" : ": \(note)")" }

  /// What is otherwise than that the check, and only it, fails, and decides what the processor does.
  var disagreements: [String] {
    let state = state
    let report = state.report
    var disagreements: [String] = []
    let failures = Set(report.failures.map(\.check.id.description))
    if failures != Set([id] + also) { disagreements.append("fails: \(failures.sorted())") }
    for finding in report.failures.map(\.finding) {
      guard case .fact(let fact) = finding.subject, finding.mask != (fact == .cpl ? 3 : 1) else { continue }
      disagreements.append("the mask of \(fact) is \(finding.mask)")
    }
    guard let first = report.failures.first?.check else { return disagreements }
    if !report.prediction.allows(first.outcome) { disagreements.append("\(first.outcome) is not allowed") }
    if !first.isOptional, report.prediction.outcome != first.outcome { disagreements.append("not \(first.outcome)") }
    let prediction = EntryPrediction(state, capabilities: state.capabilities, facts: state.facts)
    if prediction.outcome != report.prediction.outcome { disagreements.append("the report predicts otherwise") }
    return disagreements
  }

  static let all: [FailingState] = joined(
    basic, executionControls, eptControls, extensionControls, exitAndEntryControls, eventInjection, executiveVMCS,
    hostRegisters, hostSegments, addressSpaceSize, guestRegisters, guestMSRs, guestSelectorsAndBases, guestAccessRights,
    guestSystemSegments, guestRIPAndRFLAGS, guestNonRegisterState, guestDebugAndLink, guestPDPTEs, msrLoading)

  /// A failing state for each of some numbers.
  static func each(_ numbers: [UInt64], _ make: (UInt64) -> FailingState) -> [FailingState] { numbers.map(make) }

  static func joined(_ parts: [FailingState]...) -> [FailingState] { parts.flatMap { $0 } }
}

/// A physical address that a processor with 46 bits cannot have.
let beyondWidth: UInt64 = 1 << 46

/// The bit that makes a canonical address that is not, and whose inversion mends it.
let bit63: UInt64 = 1 << 63

extension FailingState {
  /// The two failing states of each address: not aligned, and too wide.
  static func address<Value>(
    _ aligned: String, _ width: String, _ field: VMCSField<Value, ReadWrite>, low: UInt64 = 0x800, also: [String] = []
  ) -> [FailingState] {
    [
      FailingState(aligned, .rich) { $0[field] |= low },
      FailingState(width, .rich, also: also) { $0[field] |= beyondWidth },
    ]
  }

  static let basic: [FailingState] = [
    FailingState("basic.mode", .long) { $0.facts.isInVirtual8086OrCompatibilityMode = true },
    FailingState("basic.cpl", .long) { $0.facts.cpl = 3 },
    FailingState("basic.current-vmcs", .long) { $0.facts.hasCurrentVMCS = false },
    FailingState("basic.shadow-vmcs", .long) { $0.facts.isShadowVMCS = true },
    FailingState("basic.blocking-by-mov-ss", .long) { $0.facts.isBlockedByMOVSS = true },
    FailingState("basic.vmlaunch-launch-state", .long) { $0.facts.isLaunched = true },
    FailingState("basic.vmresume-launch-state", .long) { $0.facts.isVMRESUME = true },
  ]

  /// A VM entry that returns from SMM.
  static func returnFromSMM(_ state: inout TestState) {
    state.facts.isInSMM = true
    state[.executiveVMCSPointer] = 0xE000
    state.memory[0xE000] = 0x2B
  }

  static let executiveVMCS: [FailingState] = [
    FailingState("control.executive-vmcs.alignment", .long) {
      returnFromSMM(&$0)
      $0[.executiveVMCSPointer] = 0xE800
      $0.memory[0xE800] = 0x2B
    },
    FailingState("control.executive-vmcs.width", .long) {
      returnFromSMM(&$0)
      $0[.executiveVMCSPointer] |= beyondWidth
      $0.memory[0xE000 | beyondWidth] = 0x2B
    },
    FailingState("control.executive-vmcs.revision-identifier", .long) {
      returnFromSMM(&$0)
      $0.memory[0xE000] = 0x8000_002B
    },
    FailingState("control.executive-vmcs.vmxon-pointer", .long) {
      returnFromSMM(&$0)
      $0[.vmEntryControls] |= 1 << 11
      $0.facts.vmxonPointer = PhysicalAddress(0xD000)
    },
  ]
}
