import ArgumentParser
import EntryProbe
import Foundation
import Launcher
import VMCS
import VMEntryChecks

/// Holds the checks against an emulated processor: `make differential`.
@main
struct Differential: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "differential",
    abstract: "Enters with VMCS states in Bochs and compares each outcome with what VMEntryChecks predicts.")

  @Option(help: "What decides the states.")
  var seed: UInt64 = 1

  @Option(help: "How many states each model runs.")
  var count = 10_000

  @Option(help: "The number of the first state.")
  var first = 0

  @Option(help: "CPU models of Bochs, separated by commas.")
  var models = "corei7_skylake_x,corei7_sandy_bridge_2600k"

  @Option(help: "The probe's image.")
  var image = "build/probe.elf"

  @Option(help: "How many disagreements of each kind are shown.")
  var examples = 2

  @Flag(help: "Show which check was confirmed how often, and what Bochs logged then.")
  var confirmations = false

  @Flag(help: "Print every state and what Bochs did.")
  var states = false

  func run() async throws {
    do {
      let image = try InputFile(image, role: "probe's image")
      var failed = false
      var all: [Comparison] = []
      try await withThrowingTaskGroup(of: Comparison.self) { group in
        var waiting = models.split(separator: ",").map(String.init)[...]
        for _ in 0..<2 { if let model = waiting.popFirst() { group.addTask { try await compare(model, image) } } }
        while let comparison = try await group.next() {
          failed = report(comparison) || failed
          all.append(comparison)
          if let model = waiting.popFirst() { group.addTask { try await compare(model, image) } }
        }
      }
      if conclude(all) || failed { throw ExitCode.failure }
    } catch let problem as LaunchProblem {
      print("differential: \(problem)")
      throw ExitCode.failure
    }
  }

  private func compare(_ model: String, _ image: InputFile) async throws -> Comparison {
    let comparison = Comparison(model: model, seed: seed, first: first)
    comparison.printsStates = states
    try await comparison.run(count: count, image: image)
    return comparison
  }

  private func report(_ comparison: Comparison) -> Bool {
    let entered = comparison.enteredBases.count
    print("\(comparison.model): seed \(seed), states \(first) to \(comparison.next - 1)")
    print(
      "  entered \(count(comparison, .entered)), VMfailValid \(count(comparison, .failValid)), VMfailInvalid \(count(comparison, .failInvalid)), invalid guest state \(count(comparison, .invalidGuestState)), MSR loading \(count(comparison, .msrLoading)); modes entered: \(entered) of \(ProbeBase.allCases.count)"
    )
    print(
      "  in another order that the SDM allows: \(comparison.reorderedCount); known deviations of Bochs: \(comparison.deviations.values.reduce(0, +))"
    )
    print("  disagreements: \(comparison.disagreementCount); states that ended Bochs: \(comparison.fatal.count)")
    for (check, number) in comparison.undecided.sorted(by: { $0.key < $1.key }) {
      print("  could not be decided: \(CheckList.ids[check]) (\(number) states)")
    }
    for fatal in comparison.fatal.prefix(20) {
      print("  Bochs ended in state \(fatal.number): \(fatal.changes.joined(separator: ", "))")
      for line in fatal.log { print("      \(line)") }
    }
    show(comparison.disagreements)
    return comparison.disagreementCount > 0
  }

  private func count(_ comparison: Comparison, _ kind: ProbeOutcome.Kind) -> Int { comparison.outcomes[kind] ?? 0 }

  private func show(_ disagreements: [Comparison.Disagreement]) {
    let kinds = Dictionary(grouping: disagreements) { disagreement in
      "predicted \(text(disagreement.expected)), Bochs: \(text(disagreement.observed)); "
        + disagreement.failed.map { CheckList.ids[$0] }.joined(separator: " ") + " | "
        + disagreement.log.joined(separator: " / ")
    }
    for (kind, members) in kinds.sorted(by: { $0.value.count > $1.value.count }).prefix(150) {
      print("  \(members.count) × \(kind)")
      for member in members.sorted(by: { $0.changes.count < $1.changes.count }).prefix(examples) {
        print("      state \(member.number): \(member.base): \(member.changes.joined(separator: ", "))")
      }
    }
  }

  private func text(_ outcome: ProbeOutcome) -> String {
    switch outcome.kind {
    case .entered: "entered"
    case .failInvalid: "VMfailInvalid"
    case .failValid: "VMfailValid \(outcome.number)"
    case .invalidGuestState: "33 (qualification \(outcome.number))"
    case .msrLoading: "34 (entry \(outcome.number))"
    case .otherEntryFailure: "entry failure with exit reason \(outcome.number)"
    case .end, .mark: "?"
    }
  }

  /// Shows what the runs say together; true if the list of checks that Bochs does not make is wrong.
  private func conclude(_ all: [Comparison]) -> Bool {
    for (number, deviation) in BochsDeviation.all.enumerated() {
      let uses = all.reduce(0) { $0 + ($1.deviations[number] ?? 0) }
      print("deviation \(number + 1), \(uses) states: \(deviation.statement)")
    }
    let confirmations = Confirmations(all)
    print(
      "checks confirmed: \(confirmations.counts.count) of \(CheckList.ids.count); listed with a reason why not: \(ChecksBochsDoesNotMake.reasons.count)"
    )
    for contradiction in confirmations.contradictions { print("  \(contradiction)") }
    guard self.confirmations else { return !confirmations.contradictions.isEmpty }
    for check in CheckList.ids.indices {
      let number = confirmations.counts[check] ?? 0
      let messages = all.reduce(into: [String: Int]()) {
        $0.merge($1.messages[check] ?? [:], uniquingKeysWith: +)
      }
      let text =
        ChecksBochsDoesNotMake.reasons[check]?.description
        ?? messages.sorted { $0.value > $1.value }.prefix(3).map(\.key).joined(separator: " / ")
      print("\(number)\t\(CheckList.ids[check])\t\(text)")
    }
    return !confirmations.contradictions.isEmpty
  }
}
