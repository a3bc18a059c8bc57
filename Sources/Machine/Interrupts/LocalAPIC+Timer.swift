extension LocalAPIC {
  /// When ``advance(to:)`` has something to do, on the host's time-stamp counter; `UInt64.max` if it has not.
  ///
  /// It may be in the past, for a deadline that had passed when it was set.
  @inlinable
  public var nextDeadline: UInt64 { timer.nextDeadline }

  /// Brings the timer to `now`, a value of the host's time-stamp counter, and raises the interrupt that is due.
  ///
  /// - Returns: how many times the timer has expired. What is requested already is not requested twice.
  @inlinable @discardableResult
  public mutating func advance(to now: UInt64) -> UInt64 {
    now < timer.nextDeadline ? 0 : expire(at: now)
  }

  /// Whether the timer starts again by itself.
  var isTimerPeriodic: Bool { mutating get { timer.mode == .periodic } }

  @inline(never) @usableFromInline
  mutating func expire(at now: UInt64) -> UInt64 {
    // UInt64.max is no time but "never".
    guard timer.nextDeadline != .max else { return 0 }
    let count = timer.expire(at: now)
    let entry = load(LocalAPICRegister.timer)
    if count > 0 && entry & Self.masked == 0 {
      accept(vector: UInt8(truncatingIfNeeded: entry), isLevelTriggered: false)
    }
    return count
  }

  /// Says what the guest's time-stamp counter is ahead of the host's, modulo 2 to the 64th: the VMCS's TSC offset.
  ///
  /// It moves a TSC deadline that is armed, and with it ``nextDeadline``.
  ///
  /// - Parameter now: the host's time-stamp counter. What was due before the change is for ``advance(to:)``, before this.
  public mutating func setTimestampCounterOffset(_ offset: UInt64, at now: UInt64) {
    timer.setOffset(offset, at: now)
  }

  /// IA32_TSC_DEADLINE: 0 if it is not armed, has passed, or the timer is in another mode.
  ///
  /// A deadline that has come shows until ``advance(to:)`` is called.
  @inlinable
  public var timestampDeadline: UInt64 { timer.guestDeadline }

  /// WRMSR to IA32_TSC_DEADLINE, in the guest's time; ignored unless the timer is in TSC-deadline mode.
  ///
  /// A deadline that has come before is not forgotten: its interrupt is requested.
  @inlinable @inline(__always)
  public mutating func writeTimestampDeadline(_ value: UInt64, at now: UInt64) -> LocalAPICEffect {
    advance(to: now)
    timer.writeDeadline(value, at: now)
    return .deadlineChanged
  }
}
