import Glibc
import Subprocess
import SystemPackage

/// Boots something in the emulator and carries its console until it ends.
public struct Run: Sendable {
  /// What is booted.
  public var boot: Boot
  /// The machine it is booted on.
  public var emulator: Emulator
  /// What is expected on the console and typed into it; if empty, the user types.
  public var script: ConsoleScript
  /// The time after which the run is ended, counted from the start of the emulator.
  public var limit: TimeLimit?
  /// Where the emulator's log is to be kept.
  public var log: String?

  /// Makes a run.
  public init(
    boot: Boot, emulator: Emulator = Emulator(), script: ConsoleScript = ConsoleScript(), limit: TimeLimit? = nil,
    log: String? = nil
  ) {
    self.boot = boot
    self.emulator = emulator
    self.script = script
    self.limit = limit
    self.log = log
  }

  /// Runs to the end and returns the status to exit with, an ``ExitStatus`` or the guest's own; throws a ``LaunchProblem`` if there is something to explain.
  public func execute() async throws -> Int32 {
    let signals = try Signals()
    let progress = Progress(signals)
    if let log { try FilePath(log).checkWritable() }
    let directory = try TemporaryDirectory()
    defer { directory.remove() }
    try await signals.interrupting {
      try await emulator.check()
      progress.step(
        "Making the boot image: " + boot.files.map { "\($0.file.path) (\($0.file.size))" }.joined(separator: ", "))
      try await BootImage(boot).write(to: directory.file("boot.iso"), using: directory)
    }
    progress.step(
      "Starting Bochs: \(boot.processorCount == 1 ? "" : "\(boot.processorCount) x ")\(emulator.model), \(boot.machineMemory)"
    )
    let session = try Session(script: script, limit: limit, progress: progress, signals: signals)
    let (cause, status) = try await start(session, in: directory)
    keepLog(of: directory, session.progress)
    return try conclude(session, cause, status, session.progress, directory)
  }

  private func start(_ session: Session, in directory: TemporaryDirectory) async throws -> (
    Session.Cause, TerminationStatus
  ) {
    let configuration = emulator.configuration(
      memory: boot.machineMemory, processorCount: boot.processorCount, console: session.console.path,
      report: session.reportLine.path, isTalkative: needsTalkativeLog)
    try directory.file("bochsrc").write(configuration)
    // Debian's Bochs has the debugger built in, which waits for a command.
    try directory.file("commands").write("c\n")
    let output = try FileDescriptor.open(
      directory.file("output"), .writeOnly, options: [.create], permissions: .ownerReadWrite)
    defer { try? output.close() }
    var options = PlatformOptions()
    options.createSession = true
    do {
      let result = try await Subprocess.run(
        .name(Tool.emulator.rawValue), arguments: ["-q", "-f", "bochsrc", "-rc", "commands"],
        // On a terminal without cursor control Bochs does not blink, to a screen that nobody reads and that fills up.
        environment: .inherit.updating(["TERM": "dumb"]), workingDirectory: directory.path, platformOptions: options,
        input: .none, output: .fileDescriptor(output, closeAfterSpawningProcess: false),
        error: .fileDescriptor(output, closeAfterSpawningProcess: false)
      ) { execution in
        let cause = await session.run(emulator: execution.processIdentifier.processDescriptor)
        if cause != .emulatorEnded || session.end != nil { try? execution.send(signal: .kill) }
        return cause
      }
      return (result.closureResult, result.terminationStatus)
    } catch let error as SubprocessError where error.code == .executableNotFound {
      throw Tool.emulator.missing()
    }
  }

  /// A native kernel's end is known from the log alone.
  private var needsTalkativeLog: Bool {
    if case .native = boot.method { return true }
    return log != nil
  }

  /// A log that cannot be written is reported, but does not change how the guest has ended.
  private func keepLog(of directory: TemporaryDirectory, _ progress: Progress) {
    guard let log else { return }
    do {
      try FilePath(log).write(directory.file("bochs.log").tail(16 << 20))
    } catch {
      progress.plain("skep: \(error)")
    }
  }

  /// Tells the user how the run ended.
  private func conclude(
    _ session: Session, _ cause: Session.Cause, _ status: TerminationStatus, _ progress: Progress,
    _ directory: TemporaryDirectory
  ) throws -> Int32 {
    if let status = try conclude(session, cause, progress) { return status }
    let log = directory.file("bochs.log").tail(16384)
    var end = session.end
    if end == nil, case .native = boot.method, log.contains("soft power off") || log.contains("Shutdown port") {
      end = .powerOff
    }
    guard let end else { throw deadEmulator(status, log, directory.file("output").tail(4096)) }
    return try conclude(session, end, progress)
  }

  /// The status of a run that was ended from here; nil if the emulator ended.
  private func conclude(
    _ session: Session, _ cause: Session.Cause?, _ progress: Progress
  ) throws(LaunchProblem) -> Int32? {
    switch cause {
    case .interrupted:
      progress.step("Ended by the user")
      return ExitStatus.interrupted.rawValue
    case .scriptOver:
      progress.step("The expected text was seen")
      return ExitStatus.success.rawValue
    case .timedOut:
      let awaited = session.script.awaited.map { ", still waiting for \"\($0)\"" } ?? ""
      throw LaunchProblem("the run was ended after \(limit!)\(awaited)", status: .timedOut)
    case .emulatorEnded, nil: return nil
    }
  }

  private func conclude(_ session: Session, _ end: RunEnd, _ progress: Progress) throws(LaunchProblem) -> Int32 {
    var errors: [String] = []
    for report in session.reports {
      switch report {
      case .guest(let line), .panic(let line): progress.plain(line)
      case .error(let text): errors.append(text)
      case .table(let line): session.write(line + "\n")
      case .note, .status, .end: continue
      }
    }
    // The table may have waited for a reader.
    if let status = try conclude(session, session.cause, progress) { return status }
    if end == .error || !errors.isEmpty {
      throw LaunchProblem(errors.isEmpty ? "Skep gave up without a reason" : errors.joined(separator: "\n      "))
    }
    progress.step(end.summary)
    if let awaited = session.script.awaited, end.status == .success {
      throw LaunchProblem("the run ended before \"\(awaited)\" was seen", status: .textNotSeen)
    }
    return end.exitStatus(session.reports)
  }

  private func deadEmulator(_ status: TerminationStatus, _ log: String, _ output: String) -> LaunchProblem {
    let reason = output.split(separator: "\n").drop { !$0.hasPrefix("Bochs is exiting") }.dropFirst().first
    let lines = log.split(separator: "\n").suffix(6).map { "\n      \($0)" }.joined()
    return LaunchProblem(
      "the emulator died (\(status)) before Skep reported an end\(reason.map { ": \($0)" } ?? ""); "
        + "its log ends:\(lines)",
      remedy: "Run again with --log FILE to keep the whole log.", status: .emulatorDied)
  }
}
