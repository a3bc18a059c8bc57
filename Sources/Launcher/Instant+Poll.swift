/// The end of a wait; nil for a wait without end.
extension ContinuousClock.Instant? {
  /// Whether the wait is over.
  var isPast: Bool { map { .now >= $0 } ?? false }

  /// The rest of the wait in milliseconds, as `poll` takes it.
  var milliseconds: Int32 {
    guard let self else { return -1 }
    let remaining = (self - .now).components
    return Int32(clamping: max(0, remaining.seconds * 1000 + remaining.attoseconds / 1_000_000_000_000_000 + 1))
  }
}
