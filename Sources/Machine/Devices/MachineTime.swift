/// Time since the guest's start, in nanoseconds.
///
/// A device never reads a clock: whoever calls it says what time it is. Time must not go back.
/// As a deadline, `MachineTime.max` means "never". 64 bits last for 584 years.
public typealias MachineTime = UInt64

/// Nanoseconds in a second.
let nanosecondsPerSecond: UInt64 = 1_000_000_000
