import Glibc
import Testing

@testable import Launcher

/// A few short lives of the guest that means harm, of Tests/Hostile; `make hostile` has the long ones.
///
/// Needs what `make image test-guests` makes. These start the emulator, so `make test` asks for them by
/// SKEP_BOCHS_TESTS=1.
@Suite(
  "Hostile guests in Bochs", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"),
  .serialized)
struct HostileGuestTests {
  @Test(
    "The host does not panic, its memory stays as it is, and a second processor goes on", arguments: [1, 2])
  func survives(processors: Int) throws {
    let scratch = try Scratch()
    let guests = try Scratch.package() + "/build/test-guests"
    let programs = RunTests.skep.split(separator: "/").dropLast().map { "/" + $0 }.joined()
    var rounds = 0
    for seed in 20...23 {
      let (status, output) = try scratch.shell(
        "\(programs)/hostile --skep \(RunTests.skep) --guest \(guests)/hostile --preload \(guests)/srand.so "
          + "--seed \(seed) --time 1 --rounds 200 --limit 5 --cpus \(processors)")
      #expect(status == 0, "\(output)")
      // A run that takes longer than a minute has interim ones, too.
      let summary = try #require(output.matches(of: /about ([0-9]+) rounds, 0 failed/).last, "\(output)")
      rounds += try #require(Int(summary.1))
    }
    // One guest may end in its first rounds. If all did, nothing would have been tried.
    #expect(rounds >= 64)
  }
}
