import ArgumentParser

/// `make hostile`: runs guests that mean harm, one after the other, until the time is over.
@main
struct Hostile: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hostile", abstract: "Run the guest that means harm, from successive seeds, until the time is over.")

  @Option(help: "The skep command.")
  var skep = ".build/debug/skep"

  @Option(help: "The guest, which `make test-guests` makes.")
  var guest = "build/test-guests/hostile"

  @Option(help: "The first guest's seed.")
  var seed: UInt64 = 1

  @Option(help: "How many processors the guests have: 1 or 2.")
  var cpus = 1

  @Option(help: "How long guests are started, in seconds.")
  var time = 60

  @Option(help: "What one guest does at most, in rounds.")
  var rounds = 2000

  @Option(help: "How long one guest may take, in seconds; longer is a hang.")
  var patience = 300

  @Option(help: "The emulated processor: a model of Bochs.")
  var cpuModel = "corei7_skylake_x"

  func validate() throws {
    guard (1...2).contains(cpus), time > 0, rounds > 0, patience > 0 else {
      throw ValidationError("--cpus is 1 or 2; --time, --rounds and --patience are at least 1")
    }
  }

  func run() async throws {
    let start = ContinuousClock.now
    var seed = seed
    var (guests, total, failures) = (0, 0, 0)
    while ContinuousClock.now - start < .seconds(time) {
      let run = try await HostileRun(self, seed: seed)
      guests += 1
      total += run.rounds
      if run.failure != nil { failures += 1 }
      print(
        "seed \(seed), \(cpus) processors: \(run.rounds) rounds; \(run.end)\(run.failure.map { "; FAILED: \($0)" } ?? "")"
      )
      if run.failure != nil { print(run.output) }
      seed += 1
    }
    print(
      "\(guests) guests, about \(total) rounds in \((ContinuousClock.now - start).components.seconds) s; \(failures) failed"
    )
    if failures > 0 { throw ExitCode.failure }
  }
}
