/// The MC146818 real-time clock of a PC and its 128 bytes of CMOS RAM, ports 0x70 and 0x71, on IRQ 8.
///
/// The time of day is kept in its registers as the guest wrote them, and brought up to date when they are looked at.
/// ``advance(to:)`` must come before every other call.
public struct Clock146818: ~Copyable {
  /// The bytes, registers A to D among them.
  private var bytes: InlineArray<128, UInt8>
  private var index: UInt8 = 0
  /// When the divider chain began; it wraps below 0.
  private var origin: MachineTime = 0
  /// Whole seconds, and ticks of 32768 Hz, of the divider chain that have been dealt with.
  private var seconds: UInt64 = 0
  private var ticks: UInt64 = 0

  /// Indices of the bytes that the chip or the BIOS gives a meaning.
  private enum Index {
    static var second: Int { 0 }
    static var secondAlarm: Int { 1 }
    static var minute: Int { 2 }
    static var minuteAlarm: Int { 3 }
    static var hour: Int { 4 }
    static var hourAlarm: Int { 5 }
    static var weekday: Int { 6 }
    static var day: Int { 7 }
    static var month: Int { 8 }
    static var year: Int { 9 }
    static var a: Int { 10 }
    static var b: Int { 11 }
    static var c: Int { 12 }
    static var d: Int { 13 }
    static var century: Int { 0x32 }
  }

  /// Bits of registers A, B and C.
  private enum Bit {
    static var updateInProgress: UInt8 { 0x80 }
    static var set: UInt8 { 0x80 }
    static var updateEnded: UInt8 { 0x10 }
    static var alarm: UInt8 { 0x20 }
    static var periodic: UInt8 { 0x40 }
    static var binary: UInt8 { 0x04 }
    static var hours24: UInt8 { 0x02 }
    static var interruptRequest: UInt8 { 0x80 }
  }

  /// How long before the new second UIP is set: the 244 µs of warning and the 1984 µs of the update itself.
  private static var updateTime: UInt64 { 2_228_000 }

  /// Makes a clock that runs, in BCD and 24-hour mode, with no interrupt enabled.
  ///
  /// - Parameters:
  ///   - start: the time of day at the guest's start.
  ///   - memorySize: bytes of memory from address 0 on that lie below 4 GiB, for the BIOS's fields.
  public init(startingAt start: CalendarTime, memorySize: UInt64) {
    bytes = InlineArray(repeating: 0)
    bytes[Index.a] = 0x26
    bytes[Index.b] = Bit.hours24
    bytes[Index.d] = 0x80
    calendarTime = start
    bytes[Index.weekday] = encode(start.weekday)
    setWord(0x15, 640)
    let extended = min(memorySize >> 10, 1024 + 0xffff)
    setWord(0x17, extended - min(extended, 1024))
    setWord(0x30, extended - min(extended, 1024))
    setWord(0x34, min((memorySize - min(memorySize, 16 << 20)) >> 16, 0xffff))
  }

  private mutating func setWord(_ index: Int, _ value: UInt64) {
    bytes[index] = UInt8(truncatingIfNeeded: value)
    bytes[index + 1] = UInt8(truncatingIfNeeded: value >> 8)
  }

  /// The level of IRQ 8.
  public var interruptLine: Bool { bytes[Index.c] & Bit.interruptRequest != 0 }

  /// When IRQ 8 rises next; `MachineTime.max` if it does not, or only after register C has been read.
  public private(set) var nextDeadline = MachineTime.max

  /// Whether the byte that port 0x71 shows needs no ``advance(to:)`` to `time`: register C collects what has happened, the
  /// others change with the second.
  @inline(__always)
  mutating func isCurrent(at time: MachineTime) -> Bool {
    index != UInt8(Index.c) && time &- origin < (seconds &+ 1) &* nanosecondsPerSecond
  }

  // MARK: Ports

  /// Reads port 0x70 (write-only: 0xff) or 0x71.
  public mutating func read(port: UInt16, at time: MachineTime) -> UInt8 {
    guard port & 1 != 0 else { return 0xff }
    let selected = Int(index & 0x7f)
    switch selected {
    case Index.a:
      return bytes[selected] | (isUpdating(at: time) ? Bit.updateInProgress : 0)
    case Index.c:
      let flags = bytes[selected]
      bytes[selected] = 0
      updateDeadline()
      return flags
    default:
      return bytes[selected]
    }
  }

  /// Writes port 0x70, the index, or 0x71.
  ///
  /// Bit 7 of port 0x70 masks the NMIs of a PC's chipset; this machine's has none.
  public mutating func write(port: UInt16, value: UInt8, at time: MachineTime) {
    guard port & 1 != 0 else {
      index = value & 0x7f
      return
    }
    let selected = Int(index & 0x7f)
    switch selected {
    case Index.a:
      let wasRunning = isRunning
      bytes[selected] = value & 0x7f
      // The first update comes half a second after the divider is released.
      if isRunning && !wasRunning {
        origin = time &- nanosecondsPerSecond / 2
        seconds = 0
        ticks = 32768 / 2
      }
      updateDeadline()
    case Index.b:
      bytes[selected] = value & Bit.set != 0 ? value & ~Bit.updateEnded : value
      updateInterruptRequest()
    case Index.c, Index.d:
      break
    default:
      bytes[selected] = value
      // The time of day and the alarm are the first six.
      if selected <= Index.hourAlarm { updateDeadline() }
    }
  }

  // MARK: Time

  /// Whether the divider chain counts: only with the 32768 Hz time base that a PC has.
  private var isRunning: Bool { bytes[Index.a] & 0x70 == 0x20 }

  private var isSet: Bool { bytes[Index.b] & Bit.set != 0 }

  private func isUpdating(at time: MachineTime) -> Bool {
    isRunning && !isSet && (time &- origin) % nanosecondsPerSecond >= nanosecondsPerSecond - Self.updateTime
  }

  /// Brings the clock to `time`, and its interrupt flags with it.
  public mutating func advance(to time: MachineTime) {
    guard isRunning else { return }
    let (newSeconds, rest) = (time &- origin).quotientAndRemainder(dividingBy: nanosecondsPerSecond)
    let newTicks = newSeconds &* 32768 &+ rest * 64 / 1_953_125
    guard newTicks > ticks else { return }
    if let shift = periodicShift, newTicks >> shift != ticks >> shift { bytes[Index.c] |= Bit.periodic }
    ticks = newTicks
    if newSeconds > seconds {
      if !isSet { update(by: newSeconds - seconds) }
      seconds = newSeconds
    }
    updateInterruptRequest()
  }

  private mutating func update(by count: UInt64) {
    bytes[Index.c] |= Bit.updateEnded
    var now = calendarTime
    if let wait = secondsToAlarm(after: now.secondOfDay), wait <= count { bytes[Index.c] |= Bit.alarm }
    let days = (UInt64(now.secondOfDay) + count % (7 * 86400)) / 86400
    now.add(seconds: count)
    calendarTime = now
    if days > 0 {
      let weekday = UInt64(min(max(decode(bytes[Index.weekday]), 1), 7))
      bytes[Index.weekday] = encode(UInt8(truncatingIfNeeded: (weekday - 1 + days) % 7 + 1))
    }
  }

  private mutating func updateInterruptRequest() {
    let flags = bytes[Index.c] & 0x70
    bytes[Index.c] = flags | (flags & bytes[Index.b] != 0 ? Bit.interruptRequest : 0)
    updateDeadline()
  }

  /// The periodic interrupt comes when the ticks of 32768 Hz, shifted right by this, change.
  private var periodicShift: UInt8? {
    switch bytes[Index.a] & 0x0f {
    case 0: nil
    // With this time base rates 1 and 2 are those of 8 and 9.
    case let rate where rate < 3: rate + 6
    case let rate: rate - 1
    }
  }

  private mutating func updateDeadline() {
    nextDeadline = .max
    let enabled = bytes[Index.b] & (Bit.periodic | Bit.alarm | Bit.updateEnded)
    guard enabled != 0, isRunning, !interruptLine else { return }
    if enabled & Bit.periodic != 0, let shift = periodicShift {
      nextDeadline = time(ofTick: ((ticks >> shift) + 1) << shift)
    }
    guard !isSet else { return }
    if enabled & Bit.updateEnded != 0 {
      nextDeadline = min(nextDeadline, time(ofTick: (seconds + 1) &* 32768))
    }
    if enabled & Bit.alarm != 0, let wait = secondsToAlarm(after: calendarTime.secondOfDay) {
      nextDeadline = min(nextDeadline, time(ofTick: (seconds + wait) &* 32768))
    }
  }

  private func time(ofTick tick: UInt64) -> MachineTime {
    origin &+ (tick >> 15) &* nanosecondsPerSecond &+ ((tick & 32767) * 1_953_125 + 63) / 64
  }

  // MARK: Registers

  private var isBinary: Bool { bytes[Index.b] & Bit.binary != 0 }

  private func encode(_ value: UInt8) -> UInt8 { isBinary ? value : (value / 10) << 4 | value % 10 }

  private func decode(_ byte: UInt8) -> UInt8 { isBinary ? byte : (byte >> 4) * 10 + (byte & 15) }

  private func encodeHour(_ hour: UInt8) -> UInt8 {
    if bytes[Index.b] & Bit.hours24 != 0 { return encode(hour) }
    return encode(hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? 0x80 : 0)
  }

  private func decodeHour(_ byte: UInt8) -> UInt8 {
    if bytes[Index.b] & Bit.hours24 != 0 { return min(decode(byte), 23) }
    return min(decode(byte & 0x7f), 12) % 12 + (byte & 0x80 != 0 ? 12 : 0)
  }

  /// The time of day in the registers.
  ///
  /// Reading it takes a value that is out of range as the nearest one in range.
  private var calendarTime: CalendarTime {
    get {
      let century = UInt16(min(decode(bytes[Index.century]), 99))
      return CalendarTime(
        year: century * 100 + UInt16(min(decode(bytes[Index.year]), 99)),
        month: decode(bytes[Index.month]), day: decode(bytes[Index.day]),
        hour: decodeHour(bytes[Index.hour]), minute: decode(bytes[Index.minute]),
        second: decode(bytes[Index.second]))
    }
    set {
      bytes[Index.century] = encode(UInt8(truncatingIfNeeded: newValue.year / 100))
      bytes[Index.year] = encode(UInt8(truncatingIfNeeded: newValue.year % 100))
      bytes[Index.month] = encode(newValue.month)
      bytes[Index.day] = encode(newValue.day)
      bytes[Index.hour] = encodeHour(newValue.hour)
      bytes[Index.minute] = encode(newValue.minute)
      bytes[Index.second] = encode(newValue.second)
    }
  }

  // MARK: Alarm

  /// What an alarm byte asks of its part of the time.
  private enum Pattern {
    case any
    case exactly(UInt32)
    case never

    var isPossible: Bool { if case .never = self { false } else { true } }

    func matches(_ value: UInt32) -> Bool {
      switch self {
      case .any: true
      case .exactly(let wanted): value == wanted
      case .never: false
      }
    }
  }

  /// A byte with both high bits set matches everything; one that the time never shows matches nothing.
  private func pattern(_ byte: UInt8, limit: UInt8) -> Pattern {
    if byte >= 0xc0 { return .any }
    let value = decode(byte)
    return value < limit && encode(value) == byte ? .exactly(UInt32(value)) : .never
  }

  private var hourPattern: Pattern {
    let byte = bytes[Index.hourAlarm]
    if byte >= 0xc0 { return .any }
    let hour = decodeHour(byte)
    return encodeHour(hour) == byte ? .exactly(UInt32(hour)) : .never
  }

  /// In how many seconds the alarm matches next, 1 to 86400; `nil` if it never does.
  private func secondsToAlarm(after secondOfDay: UInt32) -> UInt64? {
    let hours = hourPattern
    let minutes = pattern(bytes[Index.minuteAlarm], limit: 60)
    let seconds = pattern(bytes[Index.secondAlarm], limit: 60)
    guard hours.isPossible, minutes.isPossible, seconds.isPossible else { return nil }
    // Skips whole hours and minutes that do not match: at most 24 of the first, 60 of the second, 60 seconds.
    var next = secondOfDay + 1
    while next <= secondOfDay + 86400 {
      if !hours.matches(next / 3600 % 24) {
        next = (next / 3600 + 1) * 3600
      } else if !minutes.matches(next / 60 % 60) {
        next = (next / 60 + 1) * 60
      } else if !seconds.matches(next % 60) {
        next += 1
      } else {
        return UInt64(next - secondOfDay)
      }
    }
    return nil
  }
}
