import ArgumentParser
import Foundation
import Machine
import Testing
import VMX

@testable import Launcher
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

  /// Each optional control, its name for `--without`, and the word for Skep when all others are used.
  static let controls: [(name: String, control: OptionalControls, word: String)] = [
    ("use-tpr-shadow", .useTPRShadow, "controls=126"),
    ("virtualize-apic-accesses", .virtualizeAPICAccesses, "controls=125"),
    ("virtualize-x2apic-mode", .virtualizeX2APICMode, "controls=123"),
    ("apic-register-virtualization", .apicRegisterVirtualization, "controls=119"),
    ("virtual-interrupt-delivery", .virtualInterruptDelivery, "controls=111"),
    ("process-posted-interrupts", .processPostedInterrupts, "controls=95"),
    ("activate-vmx-preemption-timer", .activateVMXPreemptionTimer, "controls=63"),
  ]

  @Test("Skep uses each control but those of --without")
  func without() throws {
    // The least kernel that there is: a header of Multiboot 1 with the addresses of what is loaded.
    let (magic, flags, address) = (0x1BAD_B002, 1 << 16, 0x10_0000) as (UInt32, UInt32, UInt32)
    let header = [magic, flags, 0 &- magic &- flags, address, address, 0, 0, address]
    let kernel = FileManager.default.temporaryDirectory.appending(path: "skep-test-\(UUID()).kernel")
    try header.withUnsafeBytes { try Data($0).write(to: kernel) }
    defer { try? FileManager.default.removeItem(at: kernel) }

    /// The word of Skep's command line after these are taken away, and what Skep makes of the line.
    func told(_ names: [String]) throws -> (word: String?, controls: OptionalControls) {
      let options = names.flatMap { ["--without", $0] }
      let command = try RunCommand.parse(["--kernel", kernel.path, "--hypervisor", kernel.path] + options)
      let line = try #require(try command.guest.boot().configuration.split(separator: "\n").first)
      let words = line.split(separator: " ").map { $0.filter { $0 != "'" } }
      var bytes = Array(words.joined(separator: " ").utf8)
      return bytes.withUnsafeMutableBytes { bytes in
        (words.first { $0.hasPrefix("controls=") }, HypervisorOptions(parsing: bytes).optionalControls)
      }
    }
    #expect(try told([]) == ("controls=127", .all))
    #expect(try told(Self.controls.map(\.name)) == ("controls=0", []))
    for (name, control, word) in Self.controls {
      #expect(try told([name]) == (word, OptionalControls.all.subtracting(control)), "\(name)")
    }
    #expect(Self.controls.map(\.name) == OptionalControlName.allCases.map(\.rawValue))
  }

  @Test("The help has examples and every exit status")
  func help() {
    let text = RunCommand.helpMessage(columns: 200)
    #expect(text.contains("EXAMPLES"))
    for status in ExitStatus.allCases { #expect(text.contains(status.summary)) }
  }
}
