import ArgumentParser
import Foundation

/// Changes each condition of the checks, one at a time, and sees whether a test notices: `make mutate`.
@main
struct Mutate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mutate",
    abstract: "Changes each condition of VMEntryChecks, one at a time, and lists the mutants that no test notices.",
    discussion: """
      The mutants: every check never fails, or fails with another outcome; a condition is negated, always true or always \
      false; a comparison's boundary moves by one; a mask that something is required of loses its lowest bit, loses its \
      highest, gains the bit above or the bit below, where the field has one; a required value differs in the mask's \
      lowest or highest bit; a required range begins or ends one earlier or later; any other number is one more or one \
      less, and so are those of a mask that is made of several with |. Left alone are texts, and the \
      numbers in findings, which say how a failure could be mended.

      A mutant that cannot behave otherwise than the original is named, with the reason, in the file of equivalents. The \
      exit status is 1 if any other mutant survives, or if one that is named there is noticed or does not exist.
      """)

  @Option(help: "Only every n-th mutant.")
  var step = 1

  @Option(help: "Only the mutants whose name has this text in it, like the name of a file or a check.")
  var only: String?

  @Option(help: "Where the scratch package is built.")
  var scratch = "build/mutate"

  @Option(help: "The file that names the equivalent mutants.")
  var equivalents = "Sources/mutate/equivalents.txt"

  @Option(help: "How many mutants are tested at a time.")
  var parallel = 2

  @Flag(help: "List the mutants and test none.")
  var list = false

  func run() async throws {
    let equivalents = try EquivalentMutants(String(contentsOfFile: equivalents, encoding: .utf8))
    let package = ScratchPackage(directory: scratch)
    let mutants = try package.write()
    let named = mutants.filter { only.map($0.name.contains) ?? true }
    let chosen = stride(from: 0, to: named.count, by: max(1, step)).map { named[$0] }
    say("\(chosen.count) of \(mutants.count) mutants in \(Set(chosen.map(\.file)).count) files")
    if list {
      for mutant in chosen { say("\(mutant.place): \(mutant.name)") }
      return
    }
    try package.build()
    let tests = MutantTests(executable: URL(fileURLWithPath: scratch).path + package.tests)
    guard case .survived = try await tests.outcome(of: 0) else {
      say("mutate: the tests fail without any mutant")
      throw ExitCode.failure
    }
    var summary = MutationSummary(equivalents: equivalents, isComplete: chosen.count == mutants.count)
    let batches = stride(from: 0, to: chosen.count, by: 100).map { Array(chosen[$0..<min(chosen.count, $0 + 100)]) }
    try await withThrowingTaskGroup(of: [(Mutant, MutantTests.Outcome)].self) { group in
      var waiting = batches[...]
      func start() {
        guard let batch = waiting.popFirst() else { return }
        group.addTask {
          let known = try await tests.outcomesOfTables(batch)
          var outcomes: [(Mutant, MutantTests.Outcome)] = []
          for mutant in batch {
            if let outcome = known[mutant.number] {
              outcomes.append((mutant, outcome))
            } else {
              outcomes.append((mutant, try await tests.outcome(of: mutant.number)))
            }
          }
          return outcomes
        }
      }
      for _ in 0..<max(1, parallel) { start() }
      while let outcomes = try await group.next() {
        for (mutant, outcome) in outcomes {
          if let line = summary.add(mutant, outcome) { say(line) }
        }
        say("\(summary.count) of \(chosen.count)")
        start()
      }
    }
    for line in summary.lines { say(line) }
    if !summary.isSuccess { throw ExitCode.failure }
  }

  /// Writes a line at once, into a file too.
  private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
}
