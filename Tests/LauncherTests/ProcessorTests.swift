import Glibc
import Testing

@testable import Launcher

/// The machine's other processors, tried by an image of its own: they start, enter VMX operation, leave HLT when they
/// are kicked, and stand still when one of them ends the run.
///
/// Needs what `make processors` makes. These start the emulator, so `make test` asks for them by SKEP_BOCHS_TESTS=1.
@Suite(
  "Processors in Bochs", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"), .serialized)
struct ProcessorTests {
  let scratch: Scratch
  private let package: String

  init() throws {
    scratch = try Scratch()
    package = try Scratch.package()
  }

  private func run(_ count: Int, _ options: String = "") throws -> (status: Int32, lines: [Substring]) {
    let (status, output) = try scratch.shell(
      "\(RunTests.skep) run --hypervisor \(package)/build/processors.elf --kernel \(try scratch.kernel()) "
        + "--memory 64M --timeout 2m --cpus \(count) \(options)")
    return (status, output.split(separator: "\n"))
  }

  /// The line of the report that processor `index` has written as its `number`th.
  private func line(_ index: Int, _ number: Int) -> Substring { "processor \(index): line \(number)" }

  @Test(
    "Every processor enters VMX operation, answers each kick, and writes whole lines",
    arguments: [(4, "corei7_skylake_x"), (2, "corei7_sandy_bridge_2600k")])
  func work(count: Int, model: String) throws {
    let (status, lines) = try run(count, "--cpu-model \(model)")
    #expect(status == 0, "\(lines)")
    #expect(lines.contains("processor 0: all processors work"), "\(lines)")
    for index in 1..<count {
      #expect(lines.contains("processor \(index): in VMX operation"), "\(lines)")
      #expect(lines.contains("processor \(index): kicks answered: 100"), "\(lines)")
      let numbers = lines.filter { $0.hasPrefix("processor \(index): line ") }
      #expect(numbers == (0..<10).map { line(index, $0) })
    }
  }

  @Test(
    "A processor that faults is the last to write, and its report is whole",
    arguments: [("page-fault", 14, 2), ("stack-overflow", 8, 4)])
  func fault(accident: String, vector: Int, count: Int) throws {
    let (status, lines) = try run(count, "--append \(accident)")
    #expect(status == 3)
    let start = try #require(lines.firstIndex { $0.hasPrefix("exception in the host") })
    #expect(lines[start] == "exception in the host: vector \(vector), error code 0x00000000, processor 1")
    #expect(
      lines[(start + 1)...].map { $0.prefix(6) }.prefix(12).joined(separator: " ").hasPrefix("RIP    CS     RFLAGS"))
    #expect(lines.last { !$0.hasPrefix("==>") }?.hasPrefix("R14    ") == true, "\(lines)")
    for index in 0..<count {
      let numbers = lines[..<start].filter { $0.hasPrefix("processor \(index): line ") }
      #expect(numbers == numbers.indices.map { line(index, $0) })
      #expect(!numbers.isEmpty)
    }
  }

  @Test("Of eight processors that panic at once, one reports")
  func panics() throws {
    let (status, lines) = try run(8, "--append panics")
    #expect(status == 3)
    #expect(lines.filter { $0.hasPrefix("this processor panics: 0x000000000000000") }.count == 1, "\(lines)")
  }

  @Test("A machine with fewer processors than the guest is refused")
  func tooFew() throws {
    let run = try EmulatorRun(
      scratch.kernel(), mebibytes: 64, processorCount: 4, machineProcessors: 2, in: scratch)
    #expect(
      run.report == """
        skep: error the machine has 2 processors, the guest wants 4; ask for fewer with --cpus
        skep: end error

        """, "\(run.debugger)")
  }
}
