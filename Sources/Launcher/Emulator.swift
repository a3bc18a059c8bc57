import Glibc
import Subprocess
import SystemPackage

/// The emulated machine: Bochs' configuration, and what Bochs says about itself.
public struct Emulator: Sendable {
  /// The CPU model if the user gives none.
  public static let defaultModel = "corei7_skylake_x"
  /// Instructions that make an emulated second, if the user asks for no other number.
  public static let defaultInstructionsPerSecond = 50_000_000

  private static let firmware = [
    "/usr/share/bochs/BIOS-bochs-latest", "/usr/share/bochs/VGABIOS-lgpl-latest",
  ]

  /// The CPU model by Bochs' name.
  public var model: String
  /// Instructions that make an emulated second: the guest's TSC runs at this frequency, in Hz; at least 1,000,000, as Bochs
  /// wants it.
  public var instructionsPerSecond: Int
  /// The date and time at the start, in seconds since 1970, one that ``isStartTime(_:)``; nil for the present.
  public var startTime: Int?

  /// Whether the machine can start at this time, in seconds since 1970.
  ///
  /// Bochs has 32 bits for it, and 1 and 2 are its names for the present in local time and UTC.
  public static func isStartTime(_ seconds: Int) -> Bool { seconds == 0 || 3...Int(Int32.max) ~= seconds }

  /// Makes a machine; ``check()`` says whether there can be one.
  public init(
    model: String = defaultModel, instructionsPerSecond: Int = defaultInstructionsPerSecond, startTime: Int? = nil
  ) {
    self.model = model
    self.instructionsPerSecond = instructionsPerSecond
    self.startTime = startTime
  }

  /// Checks that the emulator and its firmware are installed and that it knows the CPU model.
  public func check() async throws {
    let models = try await Self.models()
    guard models.contains(model) else {
      throw LaunchProblem(
        "--cpu-model \(model) is not a model of this emulator",
        remedy: "Choose one of: \(models.joined(separator: " "))")
    }
    for file in Self.firmware where access(file, R_OK) != 0 {
      throw Tool.emulator.missing("the emulator's firmware (\(file))")
    }
  }

  /// The CPU models that the installed emulator knows.
  static func models() async throws -> [String] {
    let (output, _) = try await Tool.emulator.collect(["--help", "cpu"])
    let lines = output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard let header = lines.firstIndex(of: "Supported CPU models:") else {
      throw LaunchProblem(
        "\(Tool.emulator.rawValue) does not list its CPU models", remedy: "Bochs 2.7 is known to work.",
        status: .emulatorDied)
    }
    return Array(lines[(header + 1)...].drop { $0.isEmpty }.prefix { !$0.isEmpty })
  }

  /// Bochs' configuration file.
  ///
  /// File names are relative to the run's own directory.
  ///
  /// - Parameter isTalkative: whether the log tells of events that are no errors: a running guest has thousands a second.
  func configuration(
    memory: MemorySize, processorCount: Int, console: String, report: String, isTalkative: Bool = true
  ) -> String {
    let mebibytes = memory.roundedUpMebibytes
    return """
      cpu: model=\(model), count=\(processorCount), ips=\(instructionsPerSecond), reset_on_triple_fault=0
      memory: guest=\(mebibytes), host=\(mebibytes)
      romimage: file=\(Self.firmware[0]), options=fastboot
      vgaromimage: file=\(Self.firmware[1])
      display_library: term, options="hideIPS"
      ata0-master: type=cdrom, path=boot.iso, status=inserted
      ata1: enabled=0
      boot: cdrom
      com1: enabled=1, mode=term, dev=\(console)
      com2: enabled=1, mode=term, dev=\(report)
      sound: waveoutdrv=dummy, waveindrv=dummy
      speaker: enabled=0
      clock: sync=none, time0=\(startTime.map(String.init) ?? "utc")
      log: bochs.log
      panic: action=fatal
      error: action=report
      info: action=\(isTalkative ? "report" : "ignore")
      debug: action=ignore

      """
  }
}
