/// What has become of all guests until now.
struct Summary {
  private(set) var guests = 0
  private(set) var failures = 0
  private var rounds = 0
  private var lost = 0
  private var ends: [String: Int] = [:]
  private let machine: String
  private let now: () -> Double
  private let start: Double
  private var told: Double

  /// Begins.
  ///
  /// - Parameter now: the time, in seconds.
  init(processors: Int, model: String, now: @escaping () -> Double = monotonicTime) {
    machine = "\(processors) x \(model)"
    self.now = now
    start = now()
    told = start
  }

  /// The time since the start.
  var seconds: Double { now() - start }

  /// Counts a guest.
  mutating func add(_ run: HostileRun) {
    guests += 1
    rounds += run.rounds
    if run.failure != nil { failures += 1 }
    if run.isLost { lost += 1 }
    ends[run.kind, default: 0] += 1
  }

  /// What is wrong with all guests together; nil if nothing is.
  ///
  /// Guests do lose their way, one of eleven or twelve with one processor, with two one of ten to sixteen. If Skep repeated
  /// an exit for ever, that would look the same, but be more frequent. Of a few guests so many may be lost by chance.
  var failure: String? {
    guard lost >= 13, lost * 4 > guests else { return nil }
    return "\(lost) of \(guests) guests have lost their way; does Skep repeat an exit for ever?"
  }

  /// One line: how long, how much, and each way in which guests have ended, the most frequent first.
  var text: String {
    let kinds = ends.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.value) x \($0.key)" }
    return "==> after \(Int(seconds)) s on \(machine): \(guests) guests, about \(rounds) rounds, \(failures) failed"
      + (kinds.isEmpty ? "" : "; " + kinds.joined(separator: ", "))
  }

  /// Whether a minute has passed since this was last said to be so, or since the start.
  mutating func isDue() -> Bool {
    guard now() - told >= 60 else { return false }
    told = now()
    return true
  }
}
