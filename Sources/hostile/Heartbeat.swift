/// Whether a guest still does something: the lines that it prints every 64 rounds, and those of its start and its end.
///
/// What its second processor prints does not count, since the first may hang meanwhile.
struct Heartbeat {
  private let patience: Double
  private let now: () -> Double
  private var last: Double

  /// How long the guest was silent, in seconds, once that was too long.
  private(set) var silence: Double?

  /// - Parameters:
  ///   - patience: how long a guest may be silent, in seconds.
  ///   - now: the time, in seconds.
  init(patience: Double, now: @escaping () -> Double = monotonicTime) {
    (self.patience, self.now) = (patience, now)
    last = now()
  }

  /// Takes note of a line that `skep run` has printed.
  mutating func hear(_ line: Substring) {
    if ["==> ", "seed ", "round ", "over ", "alive ", "again "].contains(where: { line.hasPrefix($0) }) {
      last = now()
    }
  }

  /// Whether the guest has never been silent for too long, now or when this was asked before.
  mutating func check() -> Bool {
    if silence == nil, now() - last >= patience { silence = now() - last }
    return silence == nil
  }
}
