import VMX

/// The timer of a local APIC, in ticks of the host's time-stamp counter (SDM, "APIC Timer").
///
/// Nothing counts: what is stored is when the count gets to 0.
@usableFromInline
struct LocalAPICTimer {
  /// Bits 18:17 of the LVT Timer Register.
  @usableFromInline
  enum Mode: UInt8 {
    case oneShot = 0
    case periodic = 1
    case tscDeadline = 2
    /// Never runs.
    case reserved = 3
  }

  @usableFromInline private(set) var mode = Mode.oneShot
  /// When the timer expires next; `UInt64.max` if it does not.
  @usableFromInline private(set) var nextDeadline = UInt64.max
  /// IA32_TSC_DEADLINE, in the guest's time; 0 when disarmed.
  @usableFromInline private(set) var guestDeadline: UInt64 = 0
  /// What the guest's time-stamp counter is ahead of the host's, modulo 2 to the 64th.
  @usableFromInline private(set) var offset: UInt64 = 0
  private(set) var initialCount: UInt32 = 0
  /// One count is 2 to the `shift` ticks.
  private var shift: UInt64 = 1

  @usableFromInline
  init() {}

  /// As after power-up; the offset is not a part of the timer's state.
  mutating func reset() {
    mode = .oneShot
    initialCount = 0
    shift = 1
    guestDeadline = 0
    nextDeadline = .max
  }

  private var period: UInt64 { UInt64(initialCount) << shift }

  // MARK: One-shot and periodic

  /// The count at `now`; 0 if the timer does not run or is in TSC-deadline mode.
  func currentCount(at now: UInt64) -> UInt32 {
    guard mode != .tscDeadline, nextDeadline != .max else { return 0 }
    var rest = nextDeadline > now ? nextDeadline - now : 0
    // A period that has passed, but nobody has looked.
    if rest == 0 && mode == .periodic && period != 0 { rest = period - (now - nextDeadline) % period }
    return UInt32(truncatingIfNeeded: (rest &+ (1 << shift) &- 1) >> shift)
  }

  /// Writes the initial count, which starts the timer, or stops it if it is 0; ignored in TSC-deadline mode.
  mutating func writeInitialCount(_ value: UInt32, at now: UInt64) {
    guard mode == .oneShot || mode == .periodic else { return }
    initialCount = value
    nextDeadline = value == 0 ? .max : Self.sum(now, period)
  }

  /// Writes the divide configuration; a running timer goes on with the count that it has.
  mutating func writeDivideConfiguration(_ value: UInt32, at now: UInt64) {
    let count = currentCount(at: now)
    let isRunning = mode != .tscDeadline && nextDeadline != .max && nextDeadline > now
    // 000B is a division by 2 and 110B one by 128; 111B is none.
    shift = UInt64((value >> 1 & 4 | value & 3) + 1) & 7
    if isRunning { nextDeadline = Self.sum(now, UInt64(count) << shift) }
  }

  /// Changes the mode; to and from TSC-deadline mode it stops the timer.
  mutating func setMode(_ new: Mode) {
    guard new != mode else { return }
    if mode == .tscDeadline || new == .tscDeadline || new == .reserved {
      nextDeadline = .max
      guestDeadline = 0
    }
    mode = new
  }

  // MARK: TSC deadline

  /// Writes IA32_TSC_DEADLINE; ignored in the other modes.
  @inlinable @inline(__always)
  mutating func writeDeadline(_ value: UInt64, at now: UInt64) {
    guard mode == .tscDeadline else { return }
    guestDeadline = value
    nextDeadline = hostDeadline(value, at: now)
  }

  /// Takes a new offset of the guest's time-stamp counter, which moves an armed deadline.
  mutating func setOffset(_ value: UInt64, at now: UInt64) {
    offset = value
    writeDeadline(guestDeadline, at: now)
  }

  /// The host's time of a deadline of the guest's; `UInt64.max` if it is 0 or will not come, 0 if it has passed.
  @inlinable @inline(__always)
  func hostDeadline(_ guest: UInt64, at now: UInt64) -> UInt64 {
    if guest == 0 { return .max }
    let deadline = guest &- offset
    if guest <= now &+ offset { return 0 }
    return deadline > now ? deadline : .max
  }

  @inlinable @inline(__always)
  static func sum(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (sum, overflows) = a.addingReportingOverflow(b)
    return overflows ? .max : sum
  }

  // MARK: Expiry

  /// Lets the deadline pass, which has come by `now`.
  ///
  /// - Returns: how many times the timer has expired since: more than one only in periodic mode.
  @usableFromInline
  mutating func expire(at now: UInt64) -> UInt64 {
    guard now >= nextDeadline else { return 0 }
    guard mode == .periodic, period != 0 else {
      nextDeadline = .max
      guestDeadline = 0
      return 1
    }
    let late = now - nextDeadline
    let missed = late < period ? 0 : late / period
    nextDeadline = Self.sum(nextDeadline, (missed &+ 1) &* period)
    return missed &+ 1
  }
}
