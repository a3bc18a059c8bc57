import Testing

@testable import Launcher

/// A run of the emulator that a test starts itself, to have another machine than `skep run` makes, or Bochs' debugger.
struct EmulatorRun {
  /// What Skep wrote to the report channel.
  var report: String
  /// What the debugger printed.
  var debugger: String

  /// Boots `kernel` as a guest of the image that `make image` has built.
  ///
  /// - Parameters:
  ///   - options: more of `skep image`.
  ///   - machineProcessors: how many the machine has; the guest has `processorCount`.
  ///   - commands: the debugger's; a magic breakpoint is an instruction `xchg %bx, %bx`.
  init(
    _ kernel: String, _ options: String = "", mebibytes: UInt64, processorCount: Int = 1, machineProcessors: Int = 1,
    commands: [String] = ["c"], in scratch: Scratch
  ) throws {
    let hypervisor = try Scratch.package() + "/build/skep.elf"
    let boot = try Boot(
      method: .hypervisor(InputFile(hypervisor, role: "hypervisor image")), kernel: InputFile(kernel, role: "kernel"),
      memory: .mebibytes(mebibytes), processorCount: processorCount)
    let configuration = Emulator().configuration(
      memory: boot.machineMemory, processorCount: machineProcessors, console: "console", report: "report")
    let lines = configuration.split(separator: "\n").map { $0.hasPrefix("com") ? Self.file($0) : String($0) }
    _ = try scratch.write(Array((lines + ["magic_break: enabled=1"]).joined(separator: "\n").utf8), to: "bochsrc")
    _ = try scratch.write(Array((commands + [""]).joined(separator: "\n").utf8), to: "commands")
    debugger = try scratch.shell(
      """
      rm -f report
      \(RunTests.skep) image -o boot.iso --hypervisor \(hypervisor) --kernel \(kernel) --memory \(mebibytes)M \
        --cpus \(processorCount) \(options) || exit
      TERM=xterm timeout 60 bochs-bin -q -f bochsrc -rc commands 2>/dev/null
      """
    ).output
    report = try scratch.shell("cat report").output
  }

  /// A serial port's line of the configuration, with a file in the place of a terminal.
  private static func file(_ line: Substring) -> String {
    line.split(separator: ",").map { $0 == " mode=term" ? " mode=file" : String($0) }.joined(separator: ",")
  }
}
