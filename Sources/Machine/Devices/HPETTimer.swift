/// One comparator of an ``HPET`` (IA-PC HPET Specification, "Timer N Configuration and Capabilities Register").
struct HPETTimer {
  private let canBePeriodic: Bool
  /// The writable bits of the configuration register, but not Tn_VAL_SET_CNF.
  private var configuration: UInt64 = 0
  /// Tn_VAL_SET_CNF: the next write to the comparator sets it, and not only the period.
  private var setsComparator = false
  private var comparator: UInt64 = ~0
  private var period: UInt64 = 0
  /// The FSB interrupt route register: Tn_FSB_INT_ADDR in the high half, Tn_FSB_INT_VAL in the low.
  private var messageRoute: UInt64 = 0

  /// Bits of the configuration register.
  private enum Bit {
    static var levelTriggered: UInt64 { 1 << 1 }
    static var interruptEnable: UInt64 { 1 << 2 }
    static var periodic: UInt64 { 1 << 3 }
    static var periodicCapable: UInt64 { 1 << 4 }
    static var wide: UInt64 { 1 << 5 }
    static var setsComparator: UInt64 { 1 << 6 }
    static var mode32: UInt64 { 1 << 8 }
    static var route: UInt64 { 0x1F << 9 }
    static var messageEnable: UInt64 { 1 << 14 }
    static var messageCapable: UInt64 { 1 << 15 }
  }

  /// Tn_INT_ROUTE_CAP: pins 20 to 23 of the I/O APIC.
  private static var routes: UInt32 { 0x00F0_0000 }

  init(canBePeriodic: Bool) { self.canBePeriodic = canBePeriodic }

  var isLevelTriggered: Bool { configuration & Bit.levelTriggered != 0 }
  var isInterruptEnabled: Bool { configuration & Bit.interruptEnable != 0 }
  /// Whether the timer's status shows on its line.
  var raisesLevel: Bool { isLevelTriggered && isInterruptEnabled && !usesMessages }
  /// Tn_FSB_EN_CNF: whether the timer's interrupts are message-signaled, whatever the line that they would have.
  var usesMessages: Bool { configuration & Bit.messageEnable != 0 }
  /// The message that an interrupt is; `nil` if what software has set is none for a local APIC.
  var message: InterruptMessage? {
    InterruptMessage(messageAddress: messageRoute >> 32, data: UInt32(truncatingIfNeeded: messageRoute))
  }

  /// The line that Tn_INT_ROUTE_CNF selects, as a bit; 0 if that is no valid one.
  var routedLine: UInt32 { (1 << UInt32(truncatingIfNeeded: (configuration & Bit.route) >> 9)) & Self.routes }

  private var mask: UInt64 { configuration & Bit.mode32 != 0 ? 0xFFFF_FFFF : ~0 }
  private var isPeriodic: Bool { configuration & Bit.periodic != 0 && period & mask != 0 }

  // MARK: Counting

  /// How many ticks after `counter` the comparator matches next; `nil` for more than 64 bits.
  func distance(from counter: UInt64) -> UInt64? {
    let distance = (comparator &- counter) & mask
    if distance != 0 { return distance }
    // It matches now, which has been noticed; next time is when the counter has gone around.
    return mask == ~0 ? nil : mask + 1
  }

  /// Lets `elapsed` ticks pass after `counter`; a periodic comparator goes on to its next match.
  ///
  /// - Returns: whether the comparator has matched.
  mutating func advance(from counter: UInt64, by elapsed: UInt64) -> Bool {
    guard let distance = distance(from: counter), distance <= elapsed else { return false }
    if isPeriodic {
      let step = period & mask
      comparator = (comparator &+ ((elapsed - distance) / step &+ 1) &* step) & mask
    }
    return true
  }

  // MARK: Registers

  func read(offset: Int) -> UInt64 {
    switch offset {
    case 0x00:
      UInt64(Self.routes) << 32 | configuration | Bit.wide | Bit.messageCapable
        | (canBePeriodic ? Bit.periodicCapable : 0)
    case 0x08: comparator & mask
    case 0x10: messageRoute
    default: 0
    }
  }

  mutating func write(offset: Int, _ value: UInt64, mask: UInt64) {
    switch offset {
    case 0x00: writeConfiguration(configuration & ~mask | value & mask)
    case 0x08: writeComparator(value, mask: mask)
    case 0x10: messageRoute = messageRoute & ~mask | value & mask
    default: break
    }
  }

  private mutating func writeConfiguration(_ value: UInt64) {
    var writable = Bit.levelTriggered | Bit.interruptEnable | Bit.mode32 | Bit.messageEnable
    if canBePeriodic {
      writable |= Bit.periodic
      setsComparator = value & Bit.setsComparator != 0
    }
    // A route that does not exist does not stay, by which software finds out.
    let route = UInt32(truncatingIfNeeded: (value & Bit.route) >> 9)
    if Self.routes >> route & 1 != 0 { writable |= Bit.route } else { writable &= ~Bit.route }
    configuration = value & writable | configuration & Bit.route & ~writable
  }

  /// In periodic mode a write sets the period; the comparator as well if software has asked for that.
  private mutating func writeComparator(_ value: UInt64, mask: UInt64) {
    let periodic = configuration & Bit.periodic != 0
    if !periodic || setsComparator { comparator = comparator & ~mask | value & mask }
    if periodic { period = period & ~mask | value & mask }
    setsComparator = false
  }
}
