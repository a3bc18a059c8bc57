import Testing

@testable import hostile

/// What the runner makes of what a guest has printed.
@Suite("Judging hostile guests")
struct HostileRunTests {
  /// What `skep run` prints of a guest with two processors that comes to its end.
  static let sound = """
    ==> Making the boot image: hostile (26.3 KiB) [0.0 s]
    seed 7
    round 0
    round 64
    beat 50
    alive 99
    over 100
        memory outside the guest is unchanged
        the guest's time was 1043 ms
    ==> The guest was stopped: triple fault [4.3 s]
    """

  @Test("A sound run: its rounds and its end")
  func soundRun() {
    let run = HostileRun(output: Self.sound, status: 1, processors: 2)
    #expect(run.failure == nil && run.rounds == 100 && run.end == "The guest was stopped: triple fault")
    #expect(run.summary == "100 rounds; The guest was stopped: triple fault")
  }

  @Test(
    "Why a guest was stopped belongs to its end, and numbers do not matter for the kind",
    arguments: [
      (
        "the guest fetched an instruction from 0x0000000080000123, where it has no memory\nRAX 0x0",
        "the guest fetched an instruction from … where it has no memory"
      ),
      (
        "the guest's processor shut down after a triple fault\non processor 0\nRAX 0x0",
        "the guest's processor shut down after a triple fault"
      ),
      ("the instruction is 8a 04 25 00\nRAX 0x0", "the instruction is …"),
      ("the first processor is lost in round 77", "the first processor is lost in round …"),
      (
        "the guest has destroyed what its second processor needs, which has exception 13\nover 3\nRAX 0x0",
        "the guest has destroyed what its second processor needs, which has exception …"
      ),
    ])
  func reason(report: String, kind: String) {
    let output = Self.sound.replacing("over 100", with: report).replacing(": triple fault", with: "")
    let run = HostileRun(output: output, status: 1, processors: 2)
    #expect(run.failure == nil)
    #expect(run.end == "The guest was stopped: " + report.split(separator: "\n")[0])
    #expect(run.kind == "The guest was stopped: " + kind)
  }

  @Test("A beat that noise has garbled is none before another")
  func garbledBeat() {
    let output = Self.sound.replacing("beat 50", with: "beat 550\nbeat 6").replacing("1043 ms", with: "5132 ms")
    #expect(HostileRun(output: output, status: 1, processors: 2).failure == nil)
    let none = output.replacing("beat 550", with: "beat 55")
    let run = HostileRun(output: none, status: 1, processors: 2)
    #expect(run.failure == "the second processor has stood still before the end")
  }

  @Test("Of the second processor's lines only the last is shown")
  func shortOutput() {
    let run = HostileRun(output: "round 0\r\nbeat 50\r\nbeat 100\r\nround 64\r\n", status: nil, processors: 2)
    #expect(run.shortOutput == "round 0\nbeat 100\nround 64")
  }

  @Test("Carriage returns are no part of a line")
  func carriageReturns() {
    let output = Self.sound.split(separator: "\n").joined(separator: "\r\n")
    #expect(HostileRun(output: output, status: 1, processors: 2).failure == nil)
  }

  @Test(
    "What must not happen",
    arguments: [
      (
        "    memory outside the guest is unchanged", "memory outside the guest has changed while the guest ran",
        "has changed while the guest ran"
      ),
      ("    memory outside the guest is unchanged", "", "memory was not checked"),
      ("==> The guest was stopped: triple fault [4.3 s]", "==> Skep panicked [4.3 s]", "Skep panicked"),
      ("==> The guest was stopped: triple fault [4.3 s]", "skep: the emulator died", "the run died (status 1)"),
      ("round 64", "VM entry failed: exit reason 33", "VM entry failed"),
      (
        "round 64", "the guest's processor left it for a reason that Skep does not handle",
        "a reason that Skep does not handle"
      ),
      ("alive 99", "", "the second processor does not answer"),
      ("alive 99", "the second processor stands still 3", "the second processor stands still"),
      ("beat 50", "the second processor has exception 14", "the second processor has exception"),
      (
        "beat 50", "the second processor has lost its debug registers 0",
        "the second processor has lost its debug registers"
      ),
      ("round 64", "Skep has no memory left for extended page tables", "no memory left for extended page tables"),
      (
        "round 64", "the host's processor got an INIT signal\nRAX 0x0000000000000000",
        "the host's processor got an INIT signal"
      ),
      ("round 64", "the host had a machine check while the guest ran", "the host had a machine check"),
      (
        "round 64", "    a processor has not left the guest within 100 ms", "a processor has not left the guest"
      ),
      ("round 0", "", "the guest did not come to its first round"),
    ])
  func faults(line: String, replacement: String, failure: String) {
    let output = Self.sound.split(separator: "\n").map { $0 == line ? replacement : String($0) }.joined(separator: "\n")
    #expect(output != Self.sound)
    #expect(HostileRun(output: output, status: 1, processors: 2).failure == failure)
  }

  @Test(
    "Where the guest has memory, none is missing",
    arguments: [
      ("the guest read 0x0000000000000000, where it has no memory", "it has memory at 0x0000000000000000"),
      ("the guest wrote to 0x00000000000a0000, where it has no memory", "it has memory at 0x00000000000a0000"),
      (
        "the guest fetched an instruction from 0x0000000001ffffff, where it has no memory",
        "it has memory at 0x0000000001ffffff"
      ),
      (
        "the guest accessed 0x0000000000123000, where it has no memory, by an instruction that Skep does not emulate: 0f",
        "it has memory at 0x0000000000123000"
      ),
      ("the guest read 0x0000000002000000, where it has no memory", nil),
      ("the guest wrote to 0x00000000fee00300, where it has no memory", nil),
    ] as [(String, String?)])
  func missingMemory(report: String, failure: String?) {
    let output = Self.sound.replacing("over 100", with: report)
    #expect(HostileRun(output: output, status: 1, processors: 2, mebibytes: 32).failure == failure)
    let again = Self.alone.replacing("the guest wrote to 0x0000000080000123, where it has no memory", with: report)
    #expect(HostileRun(output: again, status: 0, processors: 1, mebibytes: 32).failure == failure)
  }

  /// A guest with two processors whose time was over, after so many ticks of the second.
  static func late(ticks: Int) -> String {
    """
    seed 7
    round 0
    beat 50
    beat \(ticks)
        memory outside the guest is unchanged
        the guest's time was 30000 ms
    the guest has not ended in the time that it was given
    on processor 0, which is halted; NMIs are blocked
    RAX 0x0000000000000000
    on processor 1, which is halted
    RAX 0x0000000000000000
    ==> The guest was stopped: its time was over [43.1 s]
    """
  }

  @Test("A guest that lost its way back is stopped by the time limit, which is no failure if the second went on")
  func timeLimit() {
    let run = HostileRun(output: Self.late(ticks: 2650), status: 6, processors: 2)
    #expect(run.failure == nil)
    #expect(
      run.end == "The guest was stopped: its time was over: the guest has not ended in the time that it was given")
    let dead = HostileRun(output: Self.late(ticks: 1200), status: 6, processors: 2)
    #expect(dead.failure == "the second processor has stood still before the end")
    let changed = Self.late(ticks: 2650).replacing("is unchanged", with: "has changed while the guest ran")
    #expect(HostileRun(output: changed, status: 3, processors: 2).failure != nil)
  }

  @Test(
    "Whatever ends a guest, its second processor has to have ticked until then",
    arguments: [
      (0, 42, nil), (0, 1660, nil), (50, 1043, nil), (150, 1517, nil), (500, 5132, nil), (50, 2500, nil),
      (0, 1700, "the second processor has stood still before the end"),
      (50, 2550, "the second processor has stood still before the end"),
      (100, 5132, "the second processor has stood still before the end"),
      (500, nil, "the guest's time is not known"),
    ] as [(Int, Int?, String?)])
  func ticks(ticks: Int, milliseconds: Int?, failure: String?) {
    let ends = [
      "==> The guest was stopped: triple fault", "==> The guest was stopped", "==> The guest reset itself",
      "==> The guest ended the run", "==> The guest powered off", "==> The guest was stopped: its time was over",
    ]
    for end in ends {
      let output = Self.sound.replacing("beat 50", with: ticks == 0 ? "" : "beat \(ticks)").replacing(
        "    the guest's time was 1043 ms", with: milliseconds.map { "    the guest's time was \($0) ms" } ?? ""
      ).replacing("==> The guest was stopped: triple fault", with: end)
      #expect(HostileRun(output: output, status: 1, processors: 2).failure == failure, "\(end)")
    }
  }

  /// What `skep run` prints of a guest with one processor, which is started once more.
  static let alone = """
    ==> Making the boot image: hostile (26.3 KiB) [0.0 s]
    seed 7
    round 0
    round 64
        memory outside the guest is unchanged
        the guest is started once more: the guest wrote to 0x0000000080000123, where it has no memory
    again 3
        memory outside the guest is unchanged
    the guest wrote to 0x0000000080000123, where it has no memory
    on processor 0, which executes instructions
    RAX 0x0000000000000000
    ==> The guest powered off [4.3 s]
    """

  @Test("With one processor the guest is started once more, and its end is the first one")
  func oneProcessor() {
    let run = HostileRun(output: Self.alone, status: 0, processors: 1)
    #expect(run.failure == nil && run.rounds == 64)
    #expect(run.end == "the guest wrote to 0x0000000080000123, where it has no memory")
    #expect(run.kind == "the guest wrote to … where it has no memory")
  }

  @Test("Of a guest with one processor whose time was over is said where it was")
  func lost() {
    let lost = "the guest has not ended in the time that it was given"
    let end = "the guest wrote to 0x0000000080000123, where it has no memory"
    let output = Self.alone.replacing(end, with: lost).replacing(
      "RAX 0x0000000000000000", with: "RAX 0x0000000000000000\nRIP 0x0000000000001abc  RFL 0x0000000000000002")
    let run = HostileRun(output: output, status: 0, processors: 1)
    #expect(run.isLost && run.failure == nil)
    #expect(run.end == "\(lost): on processor 0, which executes instructions, RIP 0x0000000000001abc")
    #expect(run.kind == "\(lost): on processor … which executes instructions, RIP …")
    #expect(!HostileRun(output: Self.alone, status: 0, processors: 1).isLost)
    #expect(HostileRun(output: Self.late(ticks: 2650), status: 6, processors: 2).isLost)
  }

  @Test(
    "Of many guests no more than a quarter may be lost",
    arguments: [
      (13, 150, false), (13, 52, false), (13, 51, true), (12, 12, false), (13, 13, true), (50, 50, true),
    ], [1, 2])
  func manyLost(row: (lost: Int, guests: Int, isFailure: Bool), processors: Int) {
    let (lost, guests, isFailure) = row
    var summary = Summary(processors: processors, model: "tigerlake")
    let end = "the guest has not ended in the time that it was given"
    let sound = processors == 1 ? Self.alone : Self.sound
    // With two processors the second ends most of those that are lost.
    let alone = Self.alone.replacing("the guest wrote to 0x0000000080000123, where it has no memory", with: end)
    let reset = Self.sound.replacing("over 100", with: "the first processor is lost in round 77")
      .replacing("==> The guest was stopped: triple fault", with: "==> The guest reset itself")
    for guest in 0..<guests {
      let other = processors == 1 ? alone : guest % 8 == 0 ? Self.late(ticks: 2650) : reset
      summary.add(HostileRun(output: guest < lost ? other : sound, status: 0, processors: processors))
    }
    #expect(summary.failures == 0)
    #expect((summary.failure != nil) == isFailure)
  }

  @Test(
    "What must not happen when it is started once more",
    arguments: [
      ("    the guest is started once more: the guest", "    the guest", "it was not started once more"),
      ("again 3", "", "started once more, it does not do what it did"),
      (
        "==> The guest powered off", "==> The guest was stopped: its time was over",
        "started once more, it does not do what it did"
      ),
      (
        "again 3\n    memory outside the guest is unchanged", "again 3",
        "memory was not checked after the second start"
      ),
    ])
  func restartFaults(text: String, replacement: String, failure: String) {
    let output = Self.alone.replacing(text, with: replacement)
    #expect(output != Self.alone)
    #expect(HostileRun(output: output, status: 0, processors: 1).failure == failure)
  }

  @Test("A guest that was silent for too long has failed, whatever else it printed")
  func silent() {
    let run = HostileRun(output: Self.sound, status: 130, processors: 2, silence: 120.04)
    #expect(run.failure == "no heartbeat for 120.0 s")
  }

  @Test("The rounds are the heartbeat; the second processor's lines are not")
  func heartbeat() {
    let time = Time()
    var heartbeat = Heartbeat(patience: 10) { time.seconds }
    time.seconds = 9
    heartbeat.hear("round 64")
    time.seconds = 18
    var beats = [heartbeat.check()]
    heartbeat.hear("beat 50")
    heartbeat.hear("RAX 0x0000000000000000")
    time.seconds = 19
    beats.append(heartbeat.check())
    heartbeat.hear("over 100")
    beats.append(heartbeat.check())
    #expect(beats == [true, false, false])
    #expect(heartbeat.silence == 10)
  }

  @Test("The summary counts each kind of end, the most frequent first, and comes once a minute")
  func summary() {
    let time = Time()
    var summary = Summary(processors: 2, model: "tigerlake") { time.seconds }
    #expect(summary.text == "==> after 0 s on 2 x tigerlake: 0 guests, about 0 rounds, 0 failed")
    for end in ["The guest reset itself", "The guest powered off", "The guest powered off"] {
      summary.add(
        HostileRun(
          output: Self.sound.replacing("The guest was stopped: triple fault", with: end), status: 0, processors: 2))
    }
    summary.add(HostileRun(output: "", status: nil, processors: 2))
    let isDue = [59.0, 61, 62, 120, 121].map { seconds in
      time.seconds = seconds
      return summary.isDue()
    }
    #expect(isDue == [false, true, false, false, true])
    time.seconds = 61
    #expect(
      summary.text
        == "==> after 61 s on 2 x tigerlake: 4 guests, about 300 rounds, 1 failed; 2 x The guest powered off, "
        + "1 x FAILED: the run died (a signal), 1 x The guest reset itself")
  }

  @Test("The command that repeats a guest")
  func again() throws {
    let command = try Hostile.parse(["--cpus", "2", "--rounds", "300", "--cpu-model", "tigerlake"])
    #expect(command.again(seed: 77) == "make hostile TIME=1 SEED=77 CPUS=2 CPU_MODEL=tigerlake ROUNDS=300")
    #expect(try Hostile.parse([]).again(seed: 1) == "make hostile TIME=1 SEED=1 CPUS=1 CPU_MODEL=corei7_skylake_x")
    let less = try Hostile.parse(["--without", "use-tpr-shadow", "--without", "virtualize-apic-accesses"])
    #expect(
      less.again(seed: 1) == "make hostile TIME=1 SEED=1 CPUS=1 CPU_MODEL=corei7_skylake_x "
        + "WITHOUT=\"use-tpr-shadow virtualize-apic-accesses\"")
    #expect(
      less.arguments(seed: 1).suffix(4) == ["--without", "use-tpr-shadow", "--without", "virtualize-apic-accesses"])
  }

  /// A clock that is set by hand.
  private final class Time {
    var seconds = 0.0
  }
}
