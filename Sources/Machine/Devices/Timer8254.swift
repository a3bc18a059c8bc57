/// The 8254 programmable interval timer of a PC, ports 0x40 to 0x43.
///
/// Channel 0 drives IRQ 0, channel 2 the speaker; the GATE of channel 2 is bit 0 of port 0x61.
public struct Timer8254: ~Copyable {
  private var channels = InlineArray<3, TimerChannel8254> { TimerChannel8254(gate: $0 != 2) }

  /// Whether the output of channel 0 has risen and nobody has taken notice yet.
  private var hasRisen = false

  /// When the output of channel 0 rises next; `MachineTime.max` if it does not.
  public private(set) var nextDeadline = MachineTime.max

  /// The input clock in Hz.
  public static var frequency: UInt64 { 1_193_182 }

  /// Makes a timer that has not been programmed.
  public init() {}

  /// How many ticks of the input clock are complete at `time`.
  ///
  /// Exact: it never drifts.
  public static func ticks(at time: MachineTime) -> UInt64 {
    let (seconds, rest) = time.quotientAndRemainder(dividingBy: nanosecondsPerSecond)
    return seconds &* frequency &+ rest &* frequency / nanosecondsPerSecond
  }

  /// The first nanosecond at which `ticks` ticks are complete.
  public static func time(ofTick ticks: UInt64) -> MachineTime {
    let (seconds, rest) = ticks.quotientAndRemainder(dividingBy: frequency)
    return seconds &* nanosecondsPerSecond &+ (rest &* nanosecondsPerSecond &+ (frequency - 1)) / frequency
  }

  /// The level of IRQ 0, as of the last call with a time.
  public var interruptLine: Bool { channels[0].output }

  /// Brings channel 0 to `time`.
  public mutating func advance(to time: MachineTime) {
    synchronize(0, to: time)
    updateDeadline()
  }

  /// Tells, once, whether the output of channel 0 has risen.
  ///
  /// How often it has does not matter: an edge-triggered input cannot tell.
  public mutating func takeRise() -> Bool {
    defer { hasRisen = false }
    return hasRisen
  }

  /// The level of the output of channel 2, bit 5 of port 0x61.
  public mutating func speakerOutput(at time: MachineTime) -> Bool {
    synchronize(2, to: time)
    return channels[2].output
  }

  /// Sets the GATE of channel 2, bit 0 of port 0x61.
  public mutating func setSpeakerGate(_ level: Bool, at time: MachineTime) {
    synchronize(2, to: time)
    channels[2].setGate(level)
  }

  /// Reads one of the four ports.
  ///
  /// The control port cannot be read: 0xff.
  public mutating func read(port: UInt16, at time: MachineTime) -> UInt8 {
    let channel = Int(port & 3)
    guard channel < 3 else { return 0xff }
    synchronize(channel, to: time)
    return channels[channel].read()
  }

  /// Writes one of the four ports.
  ///
  /// - Returns: whether that was a control word or a count of channel 0, which may change ``interruptLine`` and
  ///   ``nextDeadline``.
  public mutating func write(port: UInt16, value: UInt8, at time: MachineTime) -> Bool {
    let selected = Int(port & 3)
    let channel = selected < 3 ? selected : Int(value >> 6)
    guard channel < 3 else {
      readBack(value, at: time)
      return false
    }
    synchronize(channel, to: time)
    if selected < 3 {
      channels[channel].write(value)
    } else if value & 0x30 != 0 {
      channels[channel].writeControl(value)
    } else {
      channels[channel].latchCount()
      return false
    }
    guard channel == 0 else { return false }
    updateDeadline()
    return true
  }

  /// The read-back command: latches the count, the status, or both, of any of the channels.
  private mutating func readBack(_ value: UInt8, at time: MachineTime) {
    for channel in 0..<3 where value & (2 << UInt8(truncatingIfNeeded: channel)) != 0 {
      synchronize(channel, to: time)
      if value & 0x20 == 0 { channels[channel].latchCount() }
      if value & 0x10 == 0 { channels[channel].latchStatus() }
    }
  }

  @inline(__always)
  private mutating func synchronize(_ channel: Int, to time: MachineTime) {
    let ticks = Self.ticks(at: time)
    if channels[channel].advanceQuietly(to: ticks) { return }
    let rose = channels[channel].advance(to: ticks)
    if rose && channel == 0 { hasRisen = true }
  }

  private mutating func updateDeadline() {
    nextDeadline = channels[0].nextRise.map(Self.time(ofTick:)) ?? .max
  }
}
