import Glibc
import Testing

@testable import Launcher

/// Guests that look closely at local APICs, the I/O APIC and interrupts between processors.
///
/// Needs what `make image test-guests` makes. These start the emulator, so `make test` asks for them by
/// SKEP_BOCHS_TESTS=1.
@Suite(
  "Guests about local APICs in Bochs",
  .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"), .serialized)
struct LocalAPICGuestTests {
  let scratch: Scratch
  private let package: String

  init() throws {
    scratch = try Scratch()
    package = try Scratch.package()
  }

  /// No control that could help.
  private static let withoutAll =
    ControlUse.all.map(\.control).filter { !$0.isEmpty }.map { "--without \($0)" }.joined(separator: " ")
    + " --without process-posted-interrupts"

  /// With all controls, without each, and without all.
  private static let withoutEach =
    ControlUse.all.map { $0.control.isEmpty ? "" : "--without \($0.control)" } + [withoutAll]

  private func run(_ guest: String, _ options: String) throws -> (status: Int32, output: String) {
    try scratch.shell(
      "\(RunTests.skep) run --hypervisor \(package)/build/skep.elf --kernel \(package)/build/test-guests/\(guest) "
        + "--memory 64M --timeout 5m --no-metered \(options)")
  }

  private func passes(_ guest: String, _ options: String, status expected: Int32 = 0) throws {
    let (status, output) = try run(guest, options)
    #expect(status == expected, "\(output)")
    #expect(output.contains("PASS\n") && !output.contains("FAIL"), "\(output)")
  }

  @Test("Task priority by CR8, memory and MSR; interrupts nest by their classes", arguments: withoutEach)
  func taskPriority(options: String) throws { try passes("task-priority", options) }

  @Test(
    "Level-triggered interrupts end by EOI, and come again; the 8259As' come by a pin of the I/O APIC",
    arguments: ["", "--without virtual-interrupt-delivery", withoutAll])
  func levelTriggered(options: String) throws { try passes("level-triggered", options) }

  @Test(
    "A kernel like those for QEMU starts processors by broadcasts and sends them every kind of interrupt",
    arguments: [
      (1, ""), (2, ""), (8, ""), (2, "--without virtualize-apic-accesses"), (2, withoutAll),
    ])
  func processors(count: Int, options: String) throws {
    // The kernel writes 0x10 to isa-debug-exit.
    try passes("multiboot-processors", "--cpus \(count) \(options)", status: 0x21)
  }
}
