import ArgumentParser
import Launcher

/// `skep run`: boots a kernel as a guest in the emulator.
struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Boot a Linux or Multiboot kernel as a guest of Skep in the Bochs emulator.",
    discussion: """
      The guest's console is this terminal; Ctrl-A X ends the run, Ctrl-A Ctrl-A types a Ctrl-A. With --expect, \
      standard input is not read, and the run ends when the last text has been seen, unless a --send belongs to it.

      EXAMPLES:
        skep run --kernel vmlinuz --initrd initrd.img
        skep run --kernel vmlinuz --append "console=ttyS0 root=/dev/ram0" --memory 512M
        skep run --kernel test.elf --module 'data.txt its command line'
        skep run --kernel vmlinuz --initrd initrd.img --expect '# ' --send 'poweroff\\n' --timeout 5m

      EXIT STATUS:
      A guest that writes a value to port 0xf4 ends the run with the status 2 * value + 1, modulo 256. Otherwise:
      \(ExitStatus.allCases.map { "  \($0.rawValue)\t\($0.summary)" }.joined(separator: "\n"))
      """)

  @OptionGroup var guest: GuestOptions

  @Option(help: ArgumentHelp("The emulated processor: a model of Bochs.", valueName: "name"))
  var cpuModel = Emulator.defaultModel

  @Option(
    help: ArgumentHelp(
      "Instructions that make a second of the emulated clock, by which the guest lives.", valueName: "count"))
  var instructionsPerSecond = Emulator.defaultInstructionsPerSecond

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Wait for this text on the console; may be repeated.", valueName: "text"))
  var expect: [String] = []

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Type this after the --expect of the same position; \\n, \\r, \\t, \\e, \\\\ and \\xHH are replaced.",
      valueName: "text"))
  var send: [String] = []

  @Option(help: ArgumentHelp("End the run after this time: seconds, or a number with s, m or h.", valueName: "time"))
  var timeout: TimeLimit?

  @Option(help: ArgumentHelp("The guest's clock at the start, in seconds since 1970.", valueName: "seconds"))
  var startTime: Int?

  @Option(help: ArgumentHelp("Keep the emulator's log.", valueName: "file"))
  var log: String?

  @Flag(help: "Boot the kernel on the emulated processor itself, without Skep, for comparison.")
  var native = false

  func validate() throws {
    guard (1_000_000...1_000_000_000).contains(instructionsPerSecond) else {
      throw ValidationError("--instructions-per-second is 1000000 to 1000000000")
    }
    if let startTime, !Emulator.isStartTime(startTime) {
      throw ValidationError("--start-time is 0 or 3 to \(Int32.max)")
    }
  }

  func run() async throws {
    let emulator = Emulator(model: cpuModel, instructionsPerSecond: instructionsPerSecond, startTime: startTime)
    let run = Run(
      boot: try guest.boot(native: native), emulator: emulator,
      script: try script(), limit: timeout, log: log)
    let status = try await run.execute()
    if status != ExitStatus.success.rawValue { throw ExitCode(status) }
  }

  private func script() throws -> ConsoleScript {
    if send.count > expect.count {
      throw LaunchProblem(
        "there are \(send.count) --send but \(expect.count) --expect",
        remedy: "Each --send is typed after the --expect of the same position.")
    }
    if expect.contains("") { throw LaunchProblem("--expect needs a text that is not empty") }
    let typed = try send.map { text in
      guard let bytes = unescape(text) else {
        throw LaunchProblem(
          "--send \(text) has an unknown \\ sequence", remedy: "Known are \\n \\r \\t \\e \\\\ \\xHH.")
      }
      return bytes
    }
    return ConsoleScript(
      expect.enumerated().map { .init(expect: $1, type: $0 < typed.count ? typed[$0] : nil) })
  }
}
