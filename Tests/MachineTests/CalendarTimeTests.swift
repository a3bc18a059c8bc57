import Machine
import Testing

@Suite struct CalendarTimeTests {
  @Test func `adding a day at a time walks through every date of 800 years`() {
    var time = CalendarTime(year: 1599, month: 12, day: 31, hour: 1, minute: 2, second: 3)
    var (year, month, day) = (UInt16(1599), UInt8(12), UInt8(31))
    // 31 December 1599 was a Friday of the Gregorian calendar.
    var weekday = 6
    let start = time
    var days: UInt64 = 0
    while year < 2400 {
      #expect((time.year, time.month, time.day) == (year, month, day))
      #expect(Int(time.weekday) == weekday)
      day += 1
      let isLeap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0)
      if day > [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Int(month) - 1] {
        (day, month) = (1, month + 1)
        if month > 12 { (month, year) = (1, year + 1) }
      }
      weekday = weekday % 7 + 1
      days += 1
      time.add(seconds: 86400)
      if days % 97 == 0 {
        var atOnce = start
        atOnce.add(seconds: days * 86400)
        #expect(atOnce == time)
      }
    }
    #expect((time.hour, time.minute, time.second) == (1, 2, 3))
  }

  @Test func `one second and many seconds agree`() {
    var random = RandomNumbers(seed: 3)
    for _ in 0..<200 {
      var slow = CalendarTime(
        year: .random(in: 0...9999, using: &random), month: .random(in: 0...255, using: &random),
        day: .random(in: 0...255, using: &random), hour: .random(in: 0...255, using: &random),
        minute: .random(in: 0...255, using: &random), second: .random(in: 0...255, using: &random))
      var fast = slow
      let count = UInt64.random(in: 0...5000, using: &random)
      for _ in 0..<count { slow.add(seconds: 1) }
      fast.add(seconds: count)
      #expect(slow == fast)
    }
  }

  @Test(arguments: [0, 1, 25 * 146_097 * 86400 - 1, .max] as [UInt64])
  func `any number of seconds can be added, and 10000 years come round`(seconds: UInt64) {
    let cycle: UInt64 = 25 * 146_097 * 86400
    let last = CalendarTime(year: 9999, month: 12, day: 31, hour: 23, minute: 59, second: 59)
    var (a, b) = (last, last)
    a.add(seconds: seconds)
    b.add(seconds: seconds % cycle)
    #expect(a == b)
    var next = last
    next.add(seconds: 1)
    #expect(next == CalendarTime(year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0))
    next.add(seconds: cycle - 1)
    #expect(next == last)
  }
}
