/// Measures the events of ``Event/all`` with the benchmark's guest.
struct EventMeasurement {
  var skep: Skep
  /// The guest's file.
  var guest: String

  /// What was measured of an event.
  struct Result {
    var event: Event
    var ticks: Ticks
    var accesses: Accesses
  }

  /// What the guest did not say.
  struct Missing: Error, CustomStringConvertible {
    var description: String
  }

  /// How often an event is repeated while VMREADs and VMWRITEs are counted.
  private static let repetitions = 1000

  /// Measures all events.
  ///
  /// Instructions are measured without Skep's meter, which costs some itself. VMREADs and VMWRITEs are the difference
  /// between two metered runs, one of which has ``repetitions`` events more; their guests print nothing.
  func results() async throws -> [Result] {
    var ticks = Ticks.all(in: try await run("", on: nil))
    guard let empty = ticks[Event.emptyPair.name] else { throw Missing(description: "the guest printed no events") }
    guard empty.least == Event.emptyPair.instructions, empty.most == empty.least else {
      throw Missing(description: "a tick is not an instruction: two RDTSC took \(empty.least) to \(empty.most)")
    }
    for event in Event.all where event.hasMachineOfItsOwn {
      ticks.merge(Ticks.all(in: try await run("event=\(event.name)", on: event))) { $1 }
    }
    var results: [Result] = []
    for event in Event.all {
      let ticks = try Self.ticks(of: event, in: ticks)
      results.append(Result(event: event, ticks: ticks, accesses: try await accesses(of: event)))
    }
    return results
  }

  /// What the guest printed of `event`: an event that it left out is not one that costs nothing.
  static func ticks(of event: Event, in all: [String: Ticks]) throws(Missing) -> Ticks {
    guard let ticks = all[event.name] else { throw Missing(description: "the guest did not measure \(event.name)") }
    return ticks
  }

  private func accesses(of event: Event) async throws -> Accesses {
    let all = try await total(event.name, Self.repetitions, event)
    let rest = try await total(
      event.preparation ?? event.name, event.preparation == nil ? 0 : Self.repetitions, event)
    return all.perEvent(Self.repetitions, without: rest)
  }

  /// The VMREADs and VMWRITEs of a run in which the guest does nothing but `count` times the event `name`.
  private func total(_ name: String, _ count: Int, _ event: Event) async throws -> Accesses {
    let output = try await run("event=\(name) repeat=\(count)", isMetered: true, on: event)
    guard let accesses = Accesses(costTable: output) else {
      throw Missing(description: "the run for \(name) had no table of costs")
    }
    return accesses
  }

  /// Runs the guest on the machine that `event` needs; nil for the one of most events.
  private func run(_ commandLine: String, isMetered: Bool = false, on event: Event?) async throws -> String {
    try await skep.run(
      ["--kernel", guest, "--append", commandLine, isMetered ? "--metered" : "--no-metered"]
        + (event?.mapsOnDemand == true ? ["--on-demand"] : []) + ["--cpus", "\(event?.processorCount ?? 1)"])
  }
}
