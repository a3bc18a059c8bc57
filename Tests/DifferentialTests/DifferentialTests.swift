import Foundation
import Launcher
import Testing

@testable import differential

/// The checks against Bochs, which was not written by us.
///
/// Needs what `make probe` makes. It starts the emulator, so `make test` asks for it by SKEP_BOCHS_TESTS=1.
@Suite("Checks in Bochs", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"))
struct DifferentialTests {
  @Test(
    "Bochs does what the checks predict, for 10,000 states on each of two models",
    arguments: ["corei7_skylake_x", "tigerlake"])
  func agreement(model: String) async throws {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let comparison = Comparison(model: model, seed: 2026)
    try await comparison.run(count: 10_000, image: InputFile("\(package)/build/probe.elf", role: "probe's image"))
    #expect(comparison.next == 10_000)
    #expect(comparison.fatal.isEmpty)
    #expect(comparison.disagreementCount == 0, "\(comparison.disagreements.prefix(5))")
    // Every base but the one that is made to be refused.
    #expect(comparison.enteredBases.count == 16)
    #expect(comparison.confirmations.count > 220)
    #expect(Confirmations([comparison]).contradictions == [])
  }
}
