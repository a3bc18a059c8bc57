import Glibc
import Testing

/// One thing that the guest of task switches does, and the lines that it prints of it.
struct TaskSwitchStep: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var lines: [String]

  init(_ name: String, _ lines: String...) {
    testDescription = name
    self.lines = lines
  }

  /// What the SDM says: "Task Switching", with its table "Effect of a Task Switch on Busy Flag, NT Flag, Previous Task
  /// Link Field, and TS Flag"; "Task-State Segment (TSS)"; and the exceptions of JMP, CALL and IRET.
  ///
  /// `busy` has the busy flags of the first task, 0x18, and of the other, 0x20; `link` and `saved nt` are of the other's
  /// TSS. CR0.TS is cleared before each step. Registers are EAX, ECX, EDX, EBX, EBP, ESI and EDI.
  static let all: [TaskSwitchStep] = [
    .init("before all", "start: tr=0018 nt=0 ts=0 busy=10 link=0000 saved nt=0"),
    .init(
      "JMP to a TSS and back",
      "JMP: tr=0020 nt=0 ts=1 busy=01 link=0000 saved nt=0",
      "JMP registers: b0000001 b0000002 b0000003 b0000004 b0000006 b0000007 b0000008",
      "JMP back: tr=0018 nt=0 ts=1 busy=10 link=0000 saved nt=0"),
    .init(
      "CALL of a TSS and IRET: the caller's registers, EIP behind the CALL, ESP",
      "CALL: tr=0020 nt=1 ts=1 busy=11 link=0018 saved nt=0",
      "CALL kept: a0000001 a0000002 a0000003 a0000004 a0000005 a0000006 a0000007",
      "IRET back: tr=0018 nt=0 ts=1 busy=10 link=0018 saved nt=0",
      "CALL saved: 00000000 00000000 a0000003 a0000004 a0000005 a0000006 a0000007"),
    .init(
      "CALL of a task gate",
      "CALL task gate: tr=0020 nt=1 ts=1 busy=11 link=0018 saved nt=0",
      "CALL task gate back: tr=0018 nt=0 ts=1 busy=10 link=0018 saved nt=0"),
    .init("JMP to a task gate", "JMP task gate back: tr=0018 nt=0 ts=1 busy=10 link=0000 saved nt=0"),
    .init(
      "INT through a task gate",
      "INT: tr=0020 nt=1 ts=1 busy=11 link=0018 saved nt=0",
      "INT back: tr=0018 nt=0 ts=1 busy=10 link=0018 saved nt=0"),
    .init(
      "#GP through a task gate: its error code is on the new task's stack",
      "#GP: tr=0020 nt=1 ts=1 busy=11 link=0018 saved nt=0",
      "#GP back: tr=0018 nt=0 ts=1 busy=10 link=0018 saved nt=0",
      "#GP error code: 00000100 a0000002 a0000003 a0000004 a0000005 a0000006 a0000007"),
    .init("IRET with NT = 0", "IRET in the task: tr=0018 nt=0 ts=1 busy=10 link=0018 saved nt=0"),
    .init(
      "A TSS that is not present: #NP, and nothing has changed",
      "CALL, TSS not present: vector=0b code=0030",
      "CALL, TSS not present after: tr=0018 nt=0 ts=0 busy=10 link=0018 saved nt=0"),
    .init(
      "A TSS that is too short: #TS",
      "JMP, TSS too short: vector=0a code=0038",
      "JMP, TSS too short after: tr=0018 nt=0 ts=0 busy=10 link=0018 saved nt=0"),
    .init(
      "JMP to a system segment that is no TSS: #GP",
      "JMP, an LDT: vector=0d code=0040",
      "JMP, an LDT after: tr=0018 nt=0 ts=0 busy=10 link=0018 saved nt=0"),
    .init(
      "JMP to a busy TSS: #GP",
      "JMP, a busy task: vector=0d code=0018",
      "JMP, a busy task after: tr=0018 nt=0 ts=0 busy=10 link=0018 saved nt=0"),
    .init(
      "CALL with a selector beyond the GDT, or in the LDT: #GP",
      "CALL, beyond the GDT: vector=0d code=0100",
      "CALL, beyond the GDT after: tr=0018 nt=0 ts=0 busy=10 link=0018 saved nt=0",
      "CALL, in the LDT: vector=0d code=0024",
      "CALL, in the LDT after: tr=0018 nt=0 ts=0 busy=10 link=0018 saved nt=0"),
    .init(
      "IRET with NT = 1 to a TSS that is not busy: #TS",
      "IRET, link not busy: vector=0a code=0020",
      "IRET, link not busy after: tr=0018 nt=0 ts=0 busy=10 link=0018 saved nt=0"),
    .init(
      "IRET with NT = 1 to a TSS that is not present: #NP",
      "IRET, link not present: vector=0b code=0030",
      "IRET, link not present after: tr=0018 nt=0 ts=0 busy=10 link=0018 saved nt=0"),
    .init(
      "The T flag: #DB with DR6.BT before the new task's first instruction",
      "T flag: tr=0020 nt=0 ts=1 busy=01 link=0000 saved nt=0",
      "T flag: vector=01 code=0000",
      "T flag DR6 and EIP: 00008000 00000000 b0000003 b0000004 b0000006 b0000007 b0000008"),
    .init(
      "A new task whose SS is a code segment: #TS in that task, which stays busy; its handler's task is nested in it",
      "#TS of the new task: tr=0020 nt=1 ts=1 busy=01 link=0048 saved nt=0",
      "#TS error code and rights: 00000008 0000008b b0000003 b0000004 b0000006 b0000007 b0000008",
      "#TS back: tr=0018 nt=0 ts=1 busy=10 link=0048 saved nt=1"),
  ]
}

/// A guest that switches tasks in 32-bit protected mode: each switch is a VM exit that Skep emulates.
///
/// Needs what `make image test-guests` makes. These start the emulator, so `make test` asks for them by
/// SKEP_BOCHS_TESTS=1.
@Suite(
  "Task switches in Bochs", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"),
  .serialized)
struct TaskSwitchGuestTests {
  /// What the guest prints on a model, in one run for all tests.
  private static let output: [String: Result<[String], any Error>] = Dictionary(
    uniqueKeysWithValues: ["corei7_skylake_x", "corei7_sandy_bridge_2600k"].map { model in
      let lines = Result {
        let package = try Scratch.package()
        let (status, output) = try Scratch().shell(
          "\(RunTests.skep) run --hypervisor \(package)/build/skep.elf --kernel \(package)/build/test-guests/task-switches "
            + "--memory 64M --no-metered --timeout 2m --cpu-model \(model)")
        #expect(status == 0, "\(output)")
        return output.split(separator: "\n").map(String.init)
      }
      return (model, lines)
    })

  @Test(
    "A task switch does what the SDM says", arguments: TaskSwitchStep.all,
    ["corei7_skylake_x", "corei7_sandy_bridge_2600k"])
  func step(step: TaskSwitchStep, model: String) throws {
    let output = try #require(Self.output[model]).get()
    for line in step.lines { #expect(output.contains(line), "\(output.joined(separator: "\n"))") }
  }

  @Test("The guest prints nothing else, in this order", arguments: ["corei7_skylake_x", "corei7_sandy_bridge_2600k"])
  func order(model: String) throws {
    let output = try #require(Self.output[model]).get()
    #expect(output.filter { !$0.hasPrefix("==>") } == TaskSwitchStep.all.flatMap(\.lines) + ["over"])
  }
}
