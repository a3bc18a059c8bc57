import EntryProbe
import Launcher
import VMCS
import VMEntryChecks

/// What one CPU model did, held against what the checks say.
final class Comparison: @unchecked Sendable {
  /// A state that went differently, and in which way.
  struct Disagreement {
    var number: Int
    var expected: ProbeOutcome
    var observed: ProbeOutcome
    var failed: [Int]
    var log: [String]
    var changes: [String]
    var base: ProbeBase
  }

  /// For each check that is listed to fail only with another, that other.
  private static let companions = ChecksBochsDoesNotMake.reasons.compactMapValues { reason in
    if case .failsOnly(let other) = reason { CheckList.ids.firstIndex(of: other) } else { nil as Int? }
  }

  let model: String
  let seed: UInt64
  /// The number of the first state.
  let first: Int
  /// Whether each state is printed.
  var printsStates = false
  private(set) var environment: ProbeEnvironment?
  private var generator: ProbeGenerator?
  private let storage = UnsafeMutablePointer<UInt64>.allocate(capacity: ProbeGenerator.storageCount)
  private let values = UnsafeMutablePointer<UInt64>.allocate(capacity: VMCSFieldDescription.count)
  private var listener = ProbeListener()
  /// Whether the launch state of the probe's VMCS is "launched".
  private var isLaunched = false

  /// The number of the state whose outcome comes next.
  private(set) var next: Int
  private(set) var isEnded = false
  private(set) var outcomes: [ProbeOutcome.Kind: Int] = [:]
  private(set) var enteredBases: Set<ProbeBase> = []
  /// How often the emulator did what just one of the checks that failed says.
  private(set) var confirmations: [Int: Int] = [:]
  /// What the emulator logged then.
  private(set) var messages: [Int: [String: Int]] = [:]
  /// Checks that failed without the one that is listed to fail with them.
  private(set) var failedAlone: Set<Int> = []
  /// How often the emulator deviated as it is known to, by the number of the deviation.
  private(set) var deviations: [Int: Int] = [:]
  /// How often the emulator's order of checks was another one that the SDM allows.
  private(set) var reorderedCount = 0
  private(set) var disagreements: [Disagreement] = []
  private(set) var disagreementCount = 0
  private(set) var undecided: [Int: Int] = [:]
  /// States during which the emulator ended, and the last lines of its log.
  private(set) var fatal: [(number: Int, changes: [String], log: [String])] = []

  /// Makes a comparison that begins with the state `first`.
  init(model: String, seed: UInt64, first: Int = 0) {
    (self.model, self.seed, self.first, next) = (model, seed, first, first)
  }

  deinit {
    storage.deallocate()
    values.deallocate()
  }

  /// Runs the next `count` states; the emulator is started again behind each state that ends it, and in front of one during
  /// which it fell silent for the first time, as it may on a busy machine.
  func run(count: Int, image: InputFile) async throws {
    let end = next + count
    var silentState: Int?
    while next < end, !isEnded, fatal.count < 100 {
      let machine = ProbeMachine(
        image: image, commandLine: "seed=\(seed) first=\(next) count=\(end - next)", model: model,
        memory: .mebibytes(128), isLogged: true)
      listener = ProbeListener()
      if try await machine.run({ self.take($0) }) == .silent, silentState != next {
        silentState = next
        continue
      }
      if !isEnded, next < end, !skip() {
        throw LaunchProblem("the probe said nothing on \(model)", remedy: "Is it a processor with VMX?")
      }
    }
  }

  /// Takes what the emulator has written; false when the run is over or senseless.
  private func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
    listener.take(bytes) { event in
      switch event {
      case .environment(let environment):
        self.environment = environment
        isLaunched = false
        generator = ProbeGenerator(environment: environment, seed: seed, storage: storage)
      case .outcome(let outcome, let log): compare(outcome, log)
      case .end: isEnded = true
      }
    }
    return !isEnded && !listener.isOutOfStep
  }

  /// Notes that the emulator ended during the state `next`, and goes on behind it.
  ///
  /// False if it said nothing at all.
  private func skip() -> Bool {
    guard let generator else { return false }
    fatal.append((next, description(of: generator.probeCase(next)), Array(listener.lastLines.suffix(4))))
    next += 1
    return true
  }

  private func compare(_ observed: ProbeOutcome, _ log: [String]) {
    guard let generator, let environment else { return }
    let probeCase = generator.probeCase(next)
    let state = ProbedState(
      environment: environment, fields: ProbeState(values), entry: probeCase.entry, isLaunched: isLaunched)
    isLaunched = !probeCase.entry.isElsewhere && (isLaunched || observed.kind == .entered)
    for index in 0..<VMCSFieldDescription.count { values[index] = generator.value(of: index, in: probeCase.base) }
    for index in 0..<probeCase.count { values[probeCase.mutations[index].field] = probeCase.mutations[index].value }
    let checks = EntryChecks.visit(
      state, capabilities: environment.capabilities, facts: state.facts, with: FailedChecks())
    outcomes[observed.kind, default: 0] += 1
    if observed.kind == .entered { enteredBases.insert(probeCase.base) }
    for check in checks.failed {
      if let other = Self.companions[check], !checks.failed.contains(other) { failedAlone.insert(check) }
    }
    let expected = ProbeOutcome(checks.prediction)
    if checks.prediction.outcome == nil, let check = checks.undecided {
      undecided[check, default: 0] += 1
    } else if expected.matches(observed) {
      if let check = confirmedCheck(observed, checks, state) {
        confirmations[check, default: 0] += 1
        for line in log { messages[check, default: [:]][line, default: 0] += 1 }
      }
    } else if isAllowed(observed, checks, state) {
      reorderedCount += 1
    } else if let deviation = BochsDeviation.explanation(of: observed, checks: checks, state: state) {
      for number in deviation { deviations[number, default: 0] += 1 }
    } else {
      disagreementCount += 1
      if disagreements.count < 5000 {
        disagreements.append(
          Disagreement(
            number: next, expected: expected, observed: observed, failed: checks.failed, log: log,
            changes: description(of: probeCase), base: probeCase.base))
      }
    }
    if printsStates { print(next, probeCase.base, description(of: probeCase), observed.kind, observed.number) }
    next += 1
  }

  /// The check that alone, of all that failed and of what the emulator is known to add, explains what was observed.
  private func confirmedCheck(_ observed: ProbeOutcome, _ checks: FailedChecks, _ state: ProbedState) -> Int? {
    if observed.kind == .entered || BochsDeviation.all.contains(where: { $0.added != nil && $0.condition(state) }) {
      return nil
    }
    let causes = checks.failed.filter {
      ProbeOutcome(CheckList.all[$0].outcome, msrLoadEntry: UInt32(observed.number)).matches(observed)
    }
    return causes.count == 1 ? causes[0] : nil
  }

  /// Whether the SDM lets a processor do what was observed, since another check of the same group failed too.
  private func isAllowed(_ observed: ProbeOutcome, _ checks: FailedChecks, _ state: ProbedState) -> Bool {
    let outcome: EntryOutcome
    switch observed.kind {
    case .failValid: outcome = .vmFailValid(VMInstructionError(rawValue: UInt32(observed.number)))
    case .invalidGuestState:
      outcome = .invalidGuestState(VMEntryFailureQualification(rawValue: UInt64(observed.number)))
    default: return false
    }
    return checks.prediction.outcome != nil && checks.prediction.allows(outcome)
  }

  private func description(of probeCase: ProbeCase) -> [String] {
    let changes = (0..<probeCase.count).map { position in
      let mutation = probeCase.mutations[position]
      let old = generator?.value(of: mutation.field, in: probeCase.base) ?? 0
      return
        "\(VMCSFieldDescription.all[mutation.field].name) 0x\(String(old, radix: 16)) -> 0x\(String(mutation.value, radix: 16))"
    }
    return probeCase.entry == .regular ? changes : ["\(probeCase.entry)"] + changes
  }
}
