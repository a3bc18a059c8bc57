import ArgumentParser
import Launcher
import Testing

@testable import skep

/// The command line of `skep run` and `skep image`.
@Suite("Command line")
struct RunCommandTests {
  @Test("The options and their defaults")
  func options() throws {
    let plain = try RunCommand.parse(["--kernel", "k"])
    #expect(plain.cpuModel == Emulator.defaultModel)
    #expect(plain.guest.memory == .mebibytes(256))
    #expect(plain.guest.append == nil && plain.guest.module.isEmpty)
    #expect(plain.guest.metered)
    #expect(plain.timeout == nil && plain.expect.isEmpty && plain.send.isEmpty && !plain.native)
    let full = try RunCommand.parse([
      "--kernel", "k", "--initrd", "i", "--append", "a b", "--memory", "1G", "--cpu-model", "m", "--expect", "e",
      "--send", "s", "--expect", "f", "--timeout", "2m", "--native", "--no-metered", "--on-demand", "--log", "l",
      "--hypervisor", "h", "--start-time", "7",
    ])
    #expect(full.guest.memory == .mebibytes(1024))
    #expect(full.expect == ["e", "f"] && full.send == ["s"])
    #expect(full.timeout == TimeLimit("120"))
    #expect(full.native && !full.guest.metered && full.guest.onDemand)
  }

  @Test(
    "What cannot be parsed is refused",
    arguments: [
      [], ["--kernel"], ["--kernel", "k", "--memory", "much"], ["--kernel", "k", "--timeout", "0"],
      ["--kernel", "k", "--nonsense"], ["--kernel", "k", "extra"], ["--kernel", "k", "--memory", "1ß"],
    ])
  func refused(arguments: [String]) {
    #expect(throws: (any Error).self) { try RunCommand.parse(arguments) }
  }

  @Test(
    "A time at the start is one that the emulator can have",
    arguments: [
      (0, true), (1, false), (2, false), (3, true), (1_700_000_000, true), (Int(Int32.max), true),
      (Int(Int32.max) + 1, false), (-1, false), (.max, false), (.min, false),
    ])
  func startTime(seconds: Int, isAccepted: Bool) throws {
    #expect(
      (try? RunCommand.parse(["--kernel", "k", "--start-time=\(seconds)"]))?.startTime == (isAccepted ? seconds : nil))
  }

  @Test("A text may begin with -", arguments: ["-v", "--kernel", "-", "single", ""])
  func text(value: String) throws {
    let run = try RunCommand.parse([
      "--append", value, "--kernel", "k", "--restart", value, "--module", value, "--module", value, "--expect", value,
      "--send", value, "--expect", value,
    ])
    #expect(run.guest.append == value && run.guest.restart == value && run.guest.kernel == "k")
    #expect(run.guest.module == [value, value] && run.expect == [value, value] && run.send == [value])
  }

  @Test("The help has examples and every exit status")
  func help() {
    let text = RunCommand.helpMessage(columns: 200)
    #expect(text.contains("EXAMPLES"))
    for status in ExitStatus.allCases { #expect(text.contains(status.summary)) }
  }
}
