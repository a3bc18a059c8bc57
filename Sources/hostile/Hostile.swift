import ArgumentParser
import Glibc
import Synchronization

/// `make hostile`: runs guests that mean harm, one after the other, until the time is over.
@main
struct Hostile: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hostile", abstract: "Run the guest that means harm, from successive seeds, until the time is over.",
    discussion: """
      Says of each guest how it ended, as soon as it has, and once a minute what there was until then. A guest prints a \
      line whenever it has played 64 rounds. Outside 64-bit mode it can destroy what it needs to come back: with two \
      processors the second then resets the machine; with one Skep stops it when its time is over, by the emulated clock. \
      Both are no failures: Skep still runs, and finds memory as it was. A guest with one processor is started once more, \
      however it ended, and then behaves well. That lines come is a guest's heartbeat: if there is \
      none for long, by the clock of the computer, even that has failed, and Skep or the emulator hangs. \
      Without the VMX-preemption timer its time cannot end a guest that is lost with RFLAGS.IF = 0. \
      All that a guest printed that failed is shown, with the command that repeats it: from the same seed a run is the same \
      to the instruction.
      """)

  @Option(help: "The skep command.")
  var skep = ".build/debug/skep"

  @Option(help: "The guest, which `make test-guests` makes.")
  var guest = "build/test-guests/hostile"

  @Option(help: "A library that makes Bochs' RDRAND give the same numbers in every run; empty for none.")
  var preload = "build/test-guests/srand.so"

  @Option(help: "The first guest's seed.")
  var seed: UInt64 = 1

  @Option(help: "How many processors the guests have: 1 or 2.")
  var cpus = 1

  @Option(help: "How long guests are started, in seconds.")
  var time = 60

  @Option(help: "What one guest does at most, in rounds.")
  var rounds = 2000

  @Option(help: "How long a guest may run, in seconds of the emulated clock.")
  var limit = 30

  @Option(help: "How long a guest may be silent, in seconds of the computer's clock; longer is a hang.")
  var patience = 600

  @Option(help: "The emulated processor: a model of Bochs.")
  var cpuModel = "corei7_skylake_x"

  @Option(help: ArgumentHelp("A VM-execution control that Skep is not to use; repeatable.", valueName: "control"))
  var without: [String] = []

  /// The guest's memory.
  private static let mebibytes: UInt64 = 32

  func validate() throws {
    guard (1...2).contains(cpus), time > 0, rounds > 0, limit > 0, patience > 0 else {
      throw ValidationError("--cpus is 1 or 2; --time, --rounds, --limit and --patience are at least 1")
    }
  }

  func run() throws {
    for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) {
      signal(number) { _ in isInterrupted.store(true, ordering: .relaxed) }
    }
    if !preload.isEmpty {
      // Bochs runs in a directory of its own.
      guard let path = realpath(preload, nil) else {
        throw ValidationError("there is no \(preload), without which no run repeats: make test-guests")
      }
      setenv("LD_PRELOAD", path, 1)
    }
    let less = without.isEmpty ? "" : " without " + without.joined(separator: ", ")
    var summary = Summary(processors: cpus, model: cpuModel + less)
    var seed = seed
    while summary.seconds < Double(time), !isInterrupted.load(ordering: .relaxed) {
      var heartbeat = Heartbeat(patience: Double(patience))
      let child = try GuestProcess(arguments(seed: seed))
      let end = child.carry { line in
        heartbeat.hear(line)
      } whileWaiting: {
        if summary.isDue() { say(summary.text) }
        return heartbeat.check() && !isInterrupted.load(ordering: .relaxed)
      }
      if isInterrupted.load(ordering: .relaxed) { break }
      let run = HostileRun(
        output: end.output, status: end.status, processors: cpus, mebibytes: Self.mebibytes,
        silence: heartbeat.silence)
      summary.add(run)
      say("seed \(seed), \(cpus) CPUs: \(run.summary); \(decimal(end.seconds)) s")
      if run.failure != nil { say("\(run.shortOutput)\nagain: \(again(seed: seed))") }
      seed &+= 1
    }
    say(summary.text)
    if isInterrupted.load(ordering: .relaxed) { throw ExitCode(130) }
    if let failure = summary.failure { say("FAILED: \(failure)") }
    if summary.failures > 0 || summary.failure != nil { throw ExitCode.failure }
  }

  /// How `skep run` is started.
  func arguments(seed: UInt64) -> [String] {
    [
      skep, "run", "--kernel", guest, "--memory", "\(Self.mebibytes)M", "--check-memory", "--no-metered",
      "--time-limit", "\(limit)", "--cpus", "\(cpus)", "--cpu-model", cpuModel, "--start-time", "1700000000",
      "--append", "seed=\(seed) rounds=\(rounds) cpus=\(cpus)",
    ] + (cpus == 1 ? ["--restart", "again=1"] : []) + without.flatMap { ["--without", $0] }
  }

  /// The command that repeats a guest.
  func again(seed: UInt64) -> String {
    let rounds = rounds == 2000 ? "" : " ROUNDS=\(rounds)"
    let without = without.isEmpty ? "" : " WITHOUT=\"\(without.joined(separator: " "))\""
    return "make hostile TIME=1 SEED=\(seed) CPUS=\(cpus) CPU_MODEL=\(cpuModel)\(rounds)\(without)"
  }
}

/// The user, or who started this, wants it to end.
private let isInterrupted = Atomic<Bool>(false)

/// Whether this process was started to ignore a signal, as SIGHUP by `nohup`.
private func isIgnored(_ number: Int32) -> Bool {
  var action = sigaction()
  sigaction(number, nil, &action)
  return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
}

/// Prints a line at once, also into a file or a pipe.
private func say(_ line: String) {
  print(line)
  fflush(nil)
}
