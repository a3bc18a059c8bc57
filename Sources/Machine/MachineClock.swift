/// Turns the host's time-stamp counter into the guest's time.
@frozen
public struct MachineClock: Sendable {
  /// The counter's value at the guest's start.
  public let start: UInt64
  /// The counter's ticks a second.
  let frequency: UInt64
  /// Nanoseconds a tick, times 2 to the 32nd.
  @usableFromInline let scale: UInt64

  /// A clock that starts when the counter is `start`.
  ///
  /// - Parameter frequency: the counter's ticks a second, at least 1 MHz.
  public init(start: UInt64, frequency: UInt64) {
    self.start = start
    self.frequency = frequency
    scale = frequency.dividingFullWidth((nanosecondsPerSecond >> 32, nanosecondsPerSecond << 32)).quotient
  }

  /// The guest's time when the counter is `ticks`; 0 on a processor whose counter has not come to the start yet.
  @inlinable
  public func time(at ticks: UInt64) -> MachineTime {
    let product = (ticks > start ? ticks &- start : 0).multipliedFullWidth(by: scale)
    return product.high << 32 | product.low >> 32
  }

  /// The counter when the guest's time reaches `time`; `UInt64.max` for a time that never comes.
  public func ticks(at time: MachineTime) -> UInt64 {
    let product = time.multipliedFullWidth(by: frequency)
    guard product.high < nanosecondsPerSecond else { return .max }
    let (ticks, rest) = nanosecondsPerSecond.dividingFullWidth(product)
    // One more, since `time(at:)` rounds twice; a timer that is early fires twice.
    let (sum, overflows) = start.addingReportingOverflow(ticks)
    return overflows || sum >= .max - 2 ? .max : sum + (rest == 0 ? 1 : 2)
  }
}
