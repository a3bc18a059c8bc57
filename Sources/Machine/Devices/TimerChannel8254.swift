/// One of the three counters of an 8254 programmable interval timer.
///
/// What a counter shows is a function of the clock tick, not of how often it is looked at. Its state is that of the
/// tick of the last call of ``advance(to:)``, which must come before every other call.
public struct TimerChannel8254: ~Copyable {
  /// The six modes, by the names of the 8254's data sheet.
  public enum Mode: UInt8, Sendable, CaseIterable {
    /// Mode 0.
    case interruptOnTerminalCount
    /// Mode 1.
    case hardwareRetriggerableOneShot
    /// Mode 2.
    case rateGenerator
    /// Mode 3.
    case squareWave
    /// Mode 4.
    case softwareTriggeredStrobe
    /// Mode 5.
    case hardwareTriggeredStrobe
  }

  /// The level of the GATE input.
  public private(set) var gate: Bool

  /// Bits 5 to 0 of the control word, as written.
  ///
  /// Before the first one: two bytes, mode 3, binary, as a BIOS leaves it, but not counting.
  private var control: UInt8 = 0x36
  /// The count that the counting element was loaded with, 1 to 65536; 0 when it has not been loaded.
  private var initialCount: UInt32 = 0
  /// A count that is written but not loaded yet, 1 to 65536; 0 when there is none.
  private var pendingCount: UInt32 = 0
  private var tick: UInt64 = 0
  /// Ticks counted since the load at `tick`; -1 when the load comes with the next tick.
  private var elapsed: Int64 = 0
  /// The count and the output until the next tick, when `elapsed` is -1 or nothing is loaded.
  private var heldCount: UInt32 = 0
  private var heldOutput = false

  private var lowByte: UInt8 = 0
  private var writesHighByte = false
  /// By how much the count is shifted for the next byte of it that is read, 0 or 8, and what is XORed to that afterwards:
  /// kept in this form for the sake of a read that costs few instructions.
  private var readShift: UInt16 = 0
  private var readToggle: UInt16 = 8
  private var latchedCount: UInt16?
  private var latchedStatus: UInt8?

  /// Makes a counter that has not been programmed.
  ///
  /// - Parameter gate: the level of the GATE input.
  public init(gate: Bool) {
    self.gate = gate
  }

  /// The mode that the last control word selected.
  public var mode: Mode {
    switch (control >> 1) & 7 {
    case 0: .interruptOnTerminalCount
    case 1: .hardwareRetriggerableOneShot
    case 2, 6: .rateGenerator
    case 3, 7: .squareWave
    case 4: .softwareTriggeredStrobe
    default: .hardwareTriggeredStrobe
    }
  }

  /// The level of the OUT output.
  public var output: Bool {
    guard initialCount != 0 else { return mode != .interruptOnTerminalCount }
    guard elapsed >= 0 else { return heldOutput }
    let length = Int64(initialCount)
    switch mode {
    case .interruptOnTerminalCount, .hardwareRetriggerableOneShot: return elapsed >= length
    case .rateGenerator: return !gate || elapsed != length - 1
    case .squareWave: return !gate || elapsed < highTicks
    case .softwareTriggeredStrobe, .hardwareTriggeredStrobe: return elapsed != length
    }
  }

  /// What the counting element holds, as a number: 0 to 65535, or 0 to 9999 in BCD.
  ///
  /// Mutating, like `encodedCount`, so that it is not given a copy of the counter to read.
  private mutating func currentCount() -> UInt32 {
    guard initialCount != 0, elapsed >= 0 else { return heldCount }
    let length = Int64(initialCount)
    let left =
      switch mode {
      case .squareWave: (length & ~1) - 2 * (elapsed < highTicks ? elapsed : elapsed - highTicks)
      default: length - elapsed
      }
    guard isDecimal else { return UInt32(truncatingIfNeeded: left & 0xffff) }
    let remainder = left % 10000
    return UInt32(truncatingIfNeeded: remainder < 0 ? remainder + 10000 : remainder)
  }

  private var isDecimal: Bool { control & 1 != 0 }
  private var firstReadShift: UInt16 { control & 0x30 == 0x20 ? 8 : 0 }

  private var isCounting: Bool {
    gate || mode == .hardwareRetriggerableOneShot || mode == .hardwareTriggeredStrobe
  }

  private var isStrobe: Bool { mode == .softwareTriggeredStrobe || mode == .hardwareTriggeredStrobe }

  /// In how many ticks of a period of mode 3 the output is high.
  private var highTicks: Int64 { Int64((initialCount + 1) / 2) }

  // MARK: Time

  /// Brings the counter to a tick of its clock if nothing can happen on the way, whatever the mode is: nothing is loaded,
  /// or the count does not end.
  ///
  /// - Returns: whether it has. If not, nothing has changed.
  @inline(__always)
  mutating func advanceQuietly(to newTick: UInt64) -> Bool {
    let reached = elapsed &+ Int64(truncatingIfNeeded: newTick &- tick)
    guard newTick >= tick else { return true }
    if initialCount != 0 {
      guard gate, elapsed >= 0, pendingCount == 0, reached < Int64(initialCount) else { return false }
      elapsed = reached
    }
    tick = newTick
    return true
  }

  /// Brings the counter to a tick of its clock.
  ///
  /// - Returns: whether the output has risen on the way, once or more often.
  public mutating func advance(to newTick: UInt64) -> Bool {
    guard newTick > tick else { return false }
    let passed = Int64(truncatingIfNeeded: newTick &- tick)
    let before = elapsed
    tick = newTick
    guard initialCount != 0 else { return false }
    // A load needs only the clock, not the gate.
    elapsed = isCounting ? before &+ passed : max(before, 0)
    let length = Int64(initialCount)
    switch mode {
    case .interruptOnTerminalCount, .hardwareRetriggerableOneShot:
      return before < length && elapsed >= length
    case .softwareTriggeredStrobe, .hardwareTriggeredStrobe:
      let leftStrobe = before < 0 && elapsed >= 0 && !heldOutput
      return leftStrobe || (before <= length && elapsed > length)
    case .rateGenerator, .squareWave:
      return repeatPeriod(from: before)
    }
  }

  /// Folds `elapsed` into one period, with the pending count from the next period (mode 2) or half period (mode 3) on.
  private mutating func repeatPeriod(from before: Int64) -> Bool {
    var rose = false
    if pendingCount != 0 {
      let endsHighHalf = mode == .squareWave && before < highTicks
      let boundary = endsHighHalf ? highTicks : Int64(initialCount)
      if elapsed >= boundary {
        rose = !endsHighHalf && initialCount > 1
        initialCount = pendingCount
        pendingCount = 0
        elapsed += (endsHighHalf ? highTicks : 0) - boundary
      }
    }
    let length = Int64(initialCount)
    if elapsed >= length {
      rose = rose || length > 1
      elapsed %= length
    }
    return rose
  }

  /// The tick at which the output rises next, or an earlier one at which to ask again; `nil` if it does not.
  public var nextRise: UInt64? {
    guard initialCount != 0 else { return nil }
    // The load ends a strobe, and needs no gate.
    if elapsed < 0 && !heldOutput && isStrobe { return tick &+ 1 }
    guard isCounting else { return nil }
    let length = Int64(initialCount)
    let wait: Int64
    switch mode {
    case .interruptOnTerminalCount, .hardwareRetriggerableOneShot:
      wait = length - elapsed
    case .softwareTriggeredStrobe, .hardwareTriggeredStrobe:
      wait = length + 1 - elapsed
    case .rateGenerator, .squareWave:
      // A count of 1 is not legal in these modes: the output does not move.
      if length == 1 && pendingCount == 0 { return nil }
      let endsHighHalf = mode == .squareWave && pendingCount != 0 && elapsed < highTicks
      wait = (endsHighHalf ? highTicks : length) - elapsed
    }
    return wait > 0 ? tick &+ UInt64(wait) : nil
  }

  // MARK: Inputs

  /// Sets the level of the GATE input.
  public mutating func setGate(_ level: Bool) {
    if level && !gate {
      switch mode {
      case .interruptOnTerminalCount, .softwareTriggeredStrobe: break
      case .hardwareRetriggerableOneShot, .hardwareTriggeredStrobe:
        load(pendingCount != 0 ? pendingCount : initialCount)
      case .rateGenerator, .squareWave:
        if initialCount != 0 { load(pendingCount != 0 ? pendingCount : initialCount) }
      }
    }
    gate = level
  }

  /// Has the counting element loaded at the next tick.
  ///
  /// A count of 0 is none.
  private mutating func load(_ count: UInt32) {
    heldCount = currentCount()
    heldOutput = mode != .interruptOnTerminalCount && output
    initialCount = count
    pendingCount = 0
    elapsed = -1
  }

  // MARK: Ports

  /// Writes a control word that is neither a counter latch nor a read-back command.
  public mutating func writeControl(_ value: UInt8) {
    heldCount = currentCount()
    control = value & 0x3f
    initialCount = 0
    pendingCount = 0
    writesHighByte = false
    readShift = firstReadShift
    readToggle = value & 0x30 == 0x30 ? 8 : 0
    latchedCount = nil
    latchedStatus = nil
  }

  /// Writes a byte of the count.
  public mutating func write(_ value: UInt8) {
    switch control >> 4 {
    case 1: writeCount(UInt16(value))
    case 2: writeCount(UInt16(value) << 8)
    default:
      writesHighByte.toggle()
      if writesHighByte {
        lowByte = value
        // In mode 0 the first of two bytes stops the counting.
        if mode == .interruptOnTerminalCount {
          heldCount = currentCount()
          initialCount = 0
        }
      } else {
        writeCount(UInt16(value) << 8 | UInt16(lowByte))
      }
    }
  }

  private mutating func writeCount(_ value: UInt16) {
    let count = isDecimal ? Self.number(fromDecimal: value) : value == 0 ? 65536 : UInt32(value)
    switch mode {
    case .interruptOnTerminalCount, .softwareTriggeredStrobe:
      load(count)
    case .hardwareRetriggerableOneShot, .hardwareTriggeredStrobe:
      // The gate may have asked for a load that has not happened yet.
      if initialCount != 0 && elapsed < 0 { load(count) } else { pendingCount = count }
    case .rateGenerator, .squareWave:
      if initialCount == 0 || elapsed < 0 { load(count) } else { pendingCount = count }
    }
  }

  /// Latches the count until it is read.
  ///
  /// A count that is latched already stays.
  public mutating func latchCount() {
    if latchedCount == nil { latchedCount = encodedCount() }
  }

  /// Latches the status byte of the read-back command until it is read.
  public mutating func latchStatus() {
    guard latchedStatus == nil else { return }
    let isNull = initialCount == 0 || elapsed < 0 || pendingCount != 0
    latchedStatus = (output ? 0x80 : 0) | (isNull ? 0x40 : 0) | control
  }

  /// Reads the latched status, else the latched count, else the count, a byte of it at a time.
  @inline(__always)
  public mutating func read() -> UInt8 {
    if latchedStatus != nil || latchedCount != nil { return readLatched() }
    return nextByte(of: encodedCount())
  }

  @inline(never)
  private mutating func readLatched() -> UInt8 {
    if let status = latchedStatus {
      latchedStatus = nil
      return status
    }
    let byte = nextByte(of: latchedCount ?? 0)
    if readShift == firstReadShift { latchedCount = nil }
    return byte
  }

  @inline(__always)
  private mutating func nextByte(of value: UInt16) -> UInt8 {
    let shift = readShift
    readShift ^= readToggle
    return UInt8(truncatingIfNeeded: value &>> shift)
  }

  private mutating func encodedCount() -> UInt16 {
    let count = currentCount()
    guard isDecimal else { return UInt16(truncatingIfNeeded: count) }
    let digits = (count / 1000 % 10) << 12 | (count / 100 % 10) << 8 | (count / 10 % 10) << 4 | count % 10
    return UInt16(truncatingIfNeeded: digits)
  }

  /// The count that four decimal digits stand for, 1 to 10000; a digit above 9 counts as what its bits say.
  private static func number(fromDecimal digits: UInt16) -> UInt32 {
    let digits = UInt32(digits)
    let number = ((digits >> 12) * 1000 + (digits >> 8 & 15) * 100 + (digits >> 4 & 15) * 10 + (digits & 15)) % 10000
    return number == 0 ? 10000 : number
  }
}
