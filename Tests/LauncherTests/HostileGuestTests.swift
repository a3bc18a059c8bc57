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
  /// What the processor can do for Skep, but for the VMX-preemption timer: without that, the time limit cannot end a guest
  /// that is lost with RFLAGS.IF = 0.
  static let controls = [
    "use-tpr-shadow", "virtualize-apic-accesses", "virtualize-x2apic-mode", "apic-register-virtualization",
    "virtual-interrupt-delivery", "process-posted-interrupts",
  ]

  @Test(
    "The host does not panic, its memory stays as it is, and a second processor goes on", arguments: [1, 2])
  func survives(processors: Int) throws {
    let scratch = try Scratch()
    let guests = try Scratch.package() + "/build/test-guests"
    let programs = RunTests.skep.split(separator: "/").dropLast().map { "/" + $0 }.joined()
    var rounds = 0
    for seed in 20...23 {
      // Half of them have Skep deliver interrupts and emulate the local APIC.
      let without = seed < 22 ? "" : Self.controls.map { " --without \($0)" }.joined()
      let (status, output) = try scratch.shell(
        "\(programs)/hostile --skep \(RunTests.skep) --guest \(guests)/hostile --preload \(guests)/srand.so "
          + "--seed \(seed) --time 1 --rounds 200 --limit 5 --cpus \(processors)" + without)
      #expect(status == 0, "\(output)")
      // A run that takes longer than a minute has interim ones, too.
      let summary = try #require(output.matches(of: /about ([0-9]+) rounds, 0 failed/).last, "\(output)")
      rounds += try #require(Int(summary.1))
    }
    // One guest may end in its first rounds. If all did, nothing would have been tried.
    #expect(rounds >= 64)
  }
}
