/// A date of the Gregorian calendar and a time of day, in whole seconds.
@frozen
public struct CalendarTime: Equatable, Sendable {
  /// 0 to 9999.
  public var year: UInt16
  /// 1 to 12.
  public var month: UInt8
  /// 1 to 31.
  public var day: UInt8
  /// 0 to 23.
  public var hour: UInt8
  /// 0 to 59.
  public var minute: UInt8
  /// 0 to 59.
  public var second: UInt8

  /// Makes a time; a component out of its range is taken as the nearest one in it.
  public init(year: UInt16, month: UInt8, day: UInt8, hour: UInt8, minute: UInt8, second: UInt8) {
    self.year = min(year, 9999)
    self.month = min(max(month, 1), 12)
    self.day = min(max(day, 1), Self.days(inMonth: self.month, of: self.year))
    self.hour = min(hour, 23)
    self.minute = min(minute, 59)
    self.second = min(second, 59)
  }

  /// Whether a year has a 29 February.
  public static func isLeap(_ year: UInt16) -> Bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
  }

  /// How many days a month has.
  ///
  /// - Parameters:
  ///   - month: 1 to 12; any other is taken to have 31 days.
  ///   - year: 0 to 9999.
  public static func days(inMonth month: UInt8, of year: UInt16) -> UInt8 {
    switch month {
    case 2: isLeap(year) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// The day of the week, 1 for Sunday to 7 for Saturday.
  public var weekday: UInt8 { UInt8(truncatingIfNeeded: (dayNumber + 6) % 7 + 1) }

  /// Seconds since midnight, 0 to 86399.
  public var secondOfDay: UInt32 { UInt32(hour) * 3600 + UInt32(minute) * 60 + UInt32(second) }

  /// Moves the time on.
  ///
  /// The year after 9999 is 0.
  public mutating func add(seconds: UInt64) {
    let (days, rest) = (seconds % Self.secondsInCycle + UInt64(secondOfDay)).quotientAndRemainder(
      dividingBy: 86400)
    let second = UInt32(truncatingIfNeeded: rest)
    hour = UInt8(truncatingIfNeeded: second / 3600)
    self.minute = UInt8(truncatingIfNeeded: second / 60 % 60)
    self.second = UInt8(truncatingIfNeeded: second % 60)
    if days > 0 { setDay(number: UInt32(truncatingIfNeeded: days) + dayNumber) }
  }

  /// The calendar repeats itself every 400 years of 146097 days; 10000 years are 25 of these.
  private static var daysInCycle: UInt32 { 25 * 146_097 }
  private static var secondsInCycle: UInt64 { UInt64(daysInCycle) * 86400 }

  /// Days since 1 January of the year 0, which is a leap year and begins on a Saturday.
  private var dayNumber: UInt32 {
    var days = Self.days(beforeYear: UInt32(year))
    for earlier in 1..<month { days += UInt32(Self.days(inMonth: earlier, of: year)) }
    return days + UInt32(day) - 1
  }

  private static func days(beforeYear year: UInt32) -> UInt32 {
    guard year > 0 else { return 0 }
    let last = year - 1
    return year * 365 + last / 4 - last / 100 + last / 400 + 1
  }

  private mutating func setDay(number: UInt32) {
    let number = number % Self.daysInCycle
    // 146097 days are 400 years; the quotient is the year or one too many.
    var guess = number * 400 / 146_097
    if Self.days(beforeYear: guess) > number { guess -= 1 }
    if Self.days(beforeYear: guess + 1) <= number { guess += 1 }
    year = UInt16(truncatingIfNeeded: guess)
    month = 1
    var rest = number - Self.days(beforeYear: guess)
    while rest >= UInt32(Self.days(inMonth: month, of: year)) {
      rest -= UInt32(Self.days(inMonth: month, of: year))
      month += 1
    }
    day = UInt8(truncatingIfNeeded: rest + 1)
  }
}
