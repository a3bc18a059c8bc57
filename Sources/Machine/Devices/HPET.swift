/// The high precision event timer of a PC (IA-PC HPET Specification 1.0a): a counter of 64 bits at 100 MHz and eight
/// comparators, of which the first can be periodic.
///
/// The counter and the comparators are worked out from the time of an access. Comparators interrupt through pins 20 to
/// 23 of the I/O APIC, by messages to the local APICs (the specification's FSB interrupts) or, with legacy replacement,
/// the first two in place of the 8254 and the clock.
public struct HPET: ~Copyable {
  private var timers = InlineArray<8, HPETTimer> { HPETTimer(canBePeriodic: $0 == 0) }
  private var configuration: UInt64 = 0
  private var status: UInt64 = 0
  /// The counter after the last synchronization, at tick `tick`.
  private var counter: UInt64 = 0
  private var tick: UInt64 = 0
  private var pulses: UInt32 = 0
  /// The timers, one bit each, whose message is to be sent.
  @usableFromInline private(set) var waiting: UInt8 = 0

  /// When ``advance(to:)`` has an interrupt to raise; `MachineTime.max` if it has not.
  public private(set) var nextDeadline = MachineTime.max

  /// The guest-physical address of the registers on a PC; they take 1 KiB.
  public static var address: UInt64 { 0xFED0_0000 }
  /// How many comparators there are.
  ///
  /// As many as chipsets have: of the first three Linux leaves none for messages.
  public static var timerCount: Int { 8 }
  /// Nanoseconds in a tick of the counter.
  static var tickLength: UInt64 { 10 }

  /// Register offsets, and bits of the general registers.
  private enum Register {
    static var capabilities: Int { 0x000 }
    static var configuration: Int { 0x010 }
    static var status: Int { 0x020 }
    static var counter: Int { 0x0F0 }
  }
  private static var enable: UInt64 { 1 << 0 }
  private static var legacyReplacement: UInt64 { 1 << 1 }

  /// A timer with its counter at 0 and halted.
  public init() {}

  /// The low half of the General Capabilities and ID Register, which the ACPI table gives, too: revision 1, eight
  /// comparators, 64 bits, legacy replacement, Intel.
  public static var eventTimerBlockID: UInt32 { 0x8086_A701 }

  // MARK: Interrupts and time

  /// Whether the timer takes the place of the 8254 at IRQ 0 and of the clock at IRQ 8.
  public var replacesLegacyInterrupts: Bool { configuration & Self.legacyReplacement != 0 }

  /// The interrupt lines that are active by level, one bit each: 20 to 23 are pins of the I/O APIC, 0 and 8 are IRQs of
  /// the 8259A, of which IRQ 0 is pin 2 of the I/O APIC.
  public var lines: UInt32 {
    var lines: UInt32 = 0
    for index in 0..<Self.timerCount where status >> UInt64(index) & 1 != 0 && timers[index].raisesLevel {
      lines |= line(of: index)
    }
    return lines
  }

  /// Whether timer `index`, 0 to 7, interrupts by level.
  func isLevelTriggered(_ index: Int) -> Bool { timers[index].isLevelTriggered }

  /// Takes the lines, in the bits of ``lines``, that have had an edge since the last time.
  ///
  /// How many they were does not matter: an edge-triggered input cannot tell.
  public mutating func takePulses() -> UInt32 {
    defer { pulses = 0 }
    return pulses
  }

  /// Whether ``takeMessage()`` may have something to give.
  @inlinable
  public var hasMessages: Bool { waiting != 0 }

  /// Takes a message for the local APICs that is to be sent; `nil` if there is none.
  ///
  /// A timer has one at most: two of its interrupts that nobody has taken are one, as by a line. One whose address and
  /// data are not those of a message for a local APIC sends nothing, and writes nothing anywhere.
  public mutating func takeMessage() -> InterruptMessage? {
    while waiting != 0 {
      let index = waiting.trailingZeroBitCount
      waiting &= waiting &- 1
      if let message = timers[index].message { return message }
    }
    return nil
  }

  /// Whether a timer may yet send an NMI or an INIT.
  var canSendEvents: Bool {
    guard configuration & Self.enable != 0, nextDeadline != .max else { return false }
    for index in 0..<Self.timerCount where timers[index].isInterruptEnabled && timers[index].usesMessages {
      if timers[index].message?.isEvent == true { return true }
    }
    return false
  }

  private func line(of index: Int) -> UInt32 {
    if replacesLegacyInterrupts && index < 2 { return index == 0 ? 1 << 0 : 1 << 8 }
    return timers[index].routedLine
  }

  /// Brings the timer to `time`.
  public mutating func advance(to time: MachineTime) {
    synchronize(to: time)
    updateDeadline()
  }

  private mutating func synchronize(to time: MachineTime) {
    let now = max(tick, time / Self.tickLength)
    let elapsed = now &- tick
    tick = now
    guard configuration & Self.enable != 0 else { return }
    for index in 0..<Self.timerCount where timers[index].advance(from: counter, by: elapsed) {
      if timers[index].isLevelTriggered { status |= 1 << UInt64(index) }
      guard timers[index].isInterruptEnabled else { continue }
      if timers[index].usesMessages {
        waiting |= 1 << UInt8(index)
      } else if !timers[index].isLevelTriggered {
        pulses |= line(of: index)
      }
    }
    counter &+= elapsed
  }

  private mutating func updateDeadline() {
    nextDeadline = .max
    guard configuration & Self.enable != 0 else { return }
    for index in 0..<Self.timerCount where timers[index].isInterruptEnabled {
      guard let distance = timers[index].distance(from: counter) else { continue }
      let (due, isLate) = tick.addingReportingOverflow(distance)
      let (time, isBeyond) = due.multipliedReportingOverflow(by: Self.tickLength)
      if !isLate && !isBeyond { nextDeadline = min(nextDeadline, time) }
    }
  }

  // MARK: Registers

  /// Reads `byteCount` bytes, 1 to 8, at `offset` from the address.
  ///
  /// The registers have 64 bits; a part of one can be read, and what does not exist, or is behind its end, is 0.
  public mutating func read(offset: Int, byteCount: Int, at time: MachineTime) -> UInt64 {
    let register: UInt64
    if offset & ~7 == Register.counter {
      // Software calibrates other clocks by this, and takes no value that it has waited for too long.
      register = counter(at: time)
    } else {
      synchronize(to: time)
      register = readRegister(offset & ~7)
      // An edge or a status may have come up with the synchronization.
      updateDeadline()
    }
    let value = register >> UInt64(8 * (offset & 7))
    return byteCount >= 8 ? value : value & (1 << UInt64(8 * max(0, byteCount)) - 1)
  }

  /// Writes 4 or 8 bytes at `offset` from the address, a multiple of that; the specification allows no others, and
  /// here they are ignored.
  public mutating func write(offset: Int, byteCount: Int, _ value: UInt64, at time: MachineTime) {
    synchronize(to: time)
    switch (byteCount, offset & 7) {
    case (8, 0): writeRegister(offset, value, mask: ~0)
    case (4, 0): writeRegister(offset, value, mask: 0xFFFF_FFFF)
    case (4, 4): writeRegister(offset & ~7, value << 32, mask: 0xFFFF_FFFF << 32)
    default: break
    }
    updateDeadline()
  }

  /// The counter at `time`, which is all that can be told without a look at the timers.
  private func counter(at time: MachineTime) -> UInt64 {
    guard configuration & Self.enable != 0 else { return counter }
    return counter &+ (max(tick, time / Self.tickLength) &- tick)
  }

  private func readRegister(_ offset: Int) -> UInt64 {
    switch offset {
    // The period in femtoseconds.
    case Register.capabilities: return Self.tickLength * 1_000_000 << 32 | UInt64(Self.eventTimerBlockID)
    case Register.configuration: return configuration
    case Register.status: return status
    case 0x100..<0x200: return timers[(offset - 0x100) / 0x20].read(offset: offset & 0x1F)
    default: return 0
    }
  }

  private mutating func writeRegister(_ offset: Int, _ value: UInt64, mask: UInt64) {
    switch offset {
    case Register.configuration:
      configuration = (configuration & ~mask | value & mask) & (Self.enable | Self.legacyReplacement)
    case Register.status: status &= ~(value & mask)
    // A running counter is not to be written.
    case Register.counter: if configuration & Self.enable == 0 { counter = counter & ~mask | value & mask }
    case 0x100..<0x200:
      let index = (offset - 0x100) / 0x20
      timers[index].write(offset: offset & 0x1F, value, mask: mask)
      // The status is of level-triggered interrupts.
      if !timers[index].isLevelTriggered { status &= ~(1 << UInt64(index)) }
    default: break
    }
  }
}
