/// A change of the checks, and where it is.
struct Mutant: Sendable, Equatable {
  /// The number that chooses it at run time, from 1.
  var number: Int
  var file: String
  /// The line, counted from 1; 0 for a check that is changed as a whole.
  var line: Int
  /// The file or the check, and the change; no two mutants have the same.
  var name: String
  /// Whether what is changed is the same each time.
  var isConstant = false

  var place: String { line == 0 ? file : "\(file):\(line)" }

  /// Mutants with names: a change that occurs several times in a file is told apart by a number.
  static func named(_ mutants: [MutatedSource.Mutant], in file: String) -> [Mutant] {
    var occurrences: [String: Int] = [:]
    return mutants.map { mutant in
      let name = "\(file): \(mutant.what)"
      occurrences[name, default: 0] += 1
      let occurrence = occurrences[name]!
      return Mutant(
        number: mutant.number, file: file, line: mutant.line, name: occurrence == 1 ? name : "\(name) (\(occurrence))",
        isConstant: mutant.isConstant)
    }
  }
}

/// The mutants that cannot behave otherwise than the original, with the reasons.
struct EquivalentMutants: Sendable {
  private(set) var reasons: [String: String] = [:]

  /// Reads a list: a reason after "# ", then the names of mutants that it holds for, each in a line of its own.
  init(_ text: String) {
    var (reason, isNew) = ("", true)
    for line in text.split(separator: "\n") {
      if line.hasPrefix("#") {
        let words = line.drop { "# ".contains($0) }
        reason = isNew ? String(words) : "\(reason) \(words)"
        isNew = false
      } else {
        reasons[String(line)] = reason
        isNew = true
      }
    }
  }
}

/// What became of the mutants.
struct MutationSummary {
  let equivalents: EquivalentMutants
  /// Whether every mutant is tested.
  let isComplete: Bool
  private var noticed: [Mutant] = []
  private var survivors: [Mutant] = []
  private var equivalent: [Mutant] = []
  private var absentCount = 0

  init(equivalents: EquivalentMutants, isComplete: Bool) {
    (self.equivalents, self.isComplete) = (equivalents, isComplete)
  }

  var count: Int { noticed.count + survivors.count + equivalent.count + absentCount }

  /// Takes a mutant into account; a line about it if it is worth one at once.
  mutating func add(_ mutant: Mutant, _ outcome: MutantTests.Outcome) -> String? {
    switch outcome {
    case .noticed: noticed.append(mutant)
    case .absent: absentCount += 1
    case .survived where equivalents.reasons[mutant.name] != nil: equivalent.append(mutant)
    case .survived:
      survivors.append(mutant)
      return "survived: \(mutant.place): \(mutant.name)"
    }
    return nil
  }

  /// The names of equivalents that are not: a test notices them, or there are no such mutants.
  private var mistaken: [String] {
    let found = Set(equivalent.map(\.name))
    let wrong = Set(noticed.map(\.name))
    return equivalents.reasons.keys.filter { isComplete ? !found.contains($0) : wrong.contains($0) }.sorted()
  }

  var isSuccess: Bool { survivors.isEmpty && mistaken.isEmpty }

  /// The result, its last line with the numbers.
  var lines: [String] {
    let tested = noticed.count + survivors.count + equivalent.count
    return survivors.sorted { ($0.file, $0.line) < ($1.file, $1.line) }.map { "survived: \($0.place): \($0.name)" }
      + mistaken.map { "not equivalent: \($0)" }
      + [
        "\(tested) mutants: \(noticed.count) noticed, \(survivors.count) survived, \(equivalent.count) equivalent"
      ]
  }
}
