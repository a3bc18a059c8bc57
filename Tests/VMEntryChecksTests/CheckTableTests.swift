import Glibc
import Testing
import VMEntryChecks

/// The list of checks with how each is tested, which `make checks` prints.
@Suite struct CheckTableTests {
  @Test(.enabled(if: getenv("SKEP_PRINT_CHECKS") != nil, "set SKEP_PRINT_CHECKS to print the table"))
  func printTheTable() {
    let states = Dictionary(grouping: FailingState.all, by: \.id)
    for check in CheckList.all {
      let failing = states[check.id.description, default: []]
      let bases = Set(failing.map(\.base.rawValue)).sorted().joined(separator: ", ")
      let passing = "passes in \(BaseState.allCases.count) valid states"
      print("\(check.id): \(passing); fails alone after \(failing.count) smallest mutations of: \(bases)")
    }
    print("\(CheckList.all.count) checks, \(FailingState.all.count) mutations")
  }
}
