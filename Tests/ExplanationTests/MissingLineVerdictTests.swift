import Glibc
import Testing
import VMCSDump
import VMEntryChecks

@testable import Explanation

/// A line that is missing turns no verdict of a check wrong; it may become undecidable.
@Suite("Verdicts without a line")
struct MissingLineVerdictTests {
  @Test("Real dumps", arguments: SharedDumpExplanationTests.expectations.map(\.name))
  func real(name: String) throws {
    let bytes = sharedBytes(name)
    let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    let whole = Verdicts(Explanation(try #require(dumps(in: bytes).first)))
    for removed in lines.indices {
      var rest = lines
      rest.remove(at: removed)
      for dump in dumps(in: Array(rest.joined(separator: [0x0A]))) {
        let verdicts = Verdicts(Explanation(dump))
        #expect(verdicts.failed.subtracting(whole.failed) == [], "without line \(removed + 1)")
        #expect(
          verdicts.undecidable.isSuperset(of: whole.failed.subtracting(verdicts.failed)), "without line \(removed + 1)")
      }
    }
  }

  struct Verdicts {
    /// What fails on any processor.
    let failed: Set<String>
    let undecidable: Set<String>

    init(_ explanation: Explanation) {
      failed = Set(explanation.failed.filter { $0.unless == nil }.map(\.check.id.description))
      undecidable = Set(explanation.undecidable.map(\.check.id.description))
    }
  }
}
