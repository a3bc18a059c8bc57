/// ACPI's power management timer: a counter of 32 bits at 3.579545 MHz that is never written (ACPI Specification, "Power
/// Management Timer"; TMR_VAL_EXT is set).
public struct ACPIPowerManagementTimer {
  /// How often bit 31 has changed, as far as `advance(to:)` knows.
  private var halfRounds: UInt64 = 0

  /// The input clock in Hz.
  public static var frequency: UInt64 { 3_579_545 }
  /// The first of the four ports.
  public static var port: UInt16 { 0x608 }

  /// A counter that is 0 at the guest's start.
  public init() {}

  /// The counter at `time`.
  ///
  /// Exact: it never drifts.
  public static func count(at time: MachineTime) -> UInt32 { UInt32(truncatingIfNeeded: ticks(at: time)) }

  private static func ticks(at time: MachineTime) -> UInt64 {
    let (seconds, rest) = time.quotientAndRemainder(dividingBy: nanosecondsPerSecond)
    return seconds &* frequency &+ rest &* frequency / nanosecondsPerSecond
  }

  /// When bit 31 changes next: the first nanosecond at which it has.
  public var nextDeadline: MachineTime {
    let ticks = (halfRounds &+ 1) << 31
    let (seconds, rest) = ticks.quotientAndRemainder(dividingBy: Self.frequency)
    let (whole, overflows) = seconds.multipliedReportingOverflow(by: nanosecondsPerSecond)
    return overflows ? .max : whole &+ (rest &* nanosecondsPerSecond &+ (Self.frequency &- 1)) / Self.frequency
  }

  /// Brings the timer to `time`.
  ///
  /// - Returns: whether bit 31 has changed since the last time, which sets TMR_STS.
  public mutating func advance(to time: MachineTime) -> Bool {
    let now = Self.ticks(at: time) >> 31
    guard now > halfRounds else { return false }
    halfRounds = now
    return true
  }
}
