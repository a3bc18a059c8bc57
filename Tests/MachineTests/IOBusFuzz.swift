import Machine
import Testing

/// Runs `body` on the devices of a machine with 128 MiB and a serial queue of 32 bytes.
func withTestBus(_ body: (inout IOBus) -> Void) {
  let storage = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 32)
  defer { storage.deallocate() }
  var bus = IOBus(
    transmitStorage: storage,
    startingAt: CalendarTime(year: 2026, month: 12, day: 31, hour: 23, minute: 59, second: 0), memorySize: 128 << 20)
  body(&bus)
}

/// The fuzzer's entry: does to a bus what `input` says, eight bytes an action, and checks what must always hold.
///
/// - Returns: how many actions there were.
@discardableResult
func fuzzIOBus(_ input: some Sequence<UInt64>) -> Int {
  var actions = 0
  withTestBus { bus in
    var time: MachineTime = 0
    for word in input {
      actions += 1
      let sizes = IOSize.allCases
      let size = sizes[Int(word >> 3 & 0xff) % sizes.count]
      // Three of four accesses go to a port that is claimed.
      let any = UInt16(truncatingIfNeeded: word >> 11)
      let port = word & 0x600 == 0 ? any : claimedPorts[Int(any) % claimedPorts.count]
      let value = UInt32(truncatingIfNeeded: word >> 32)
      // From nanoseconds to hours.
      time &+= (word >> 27 & 0xff) << (word >> 35 & 0x1f)
      switch word & 7 {
      case 0..<3: bus.write(port: port, size: size, value: value, at: time)
      case 3, 4:
        let read = bus.read(port: port, size: size, at: time)
        check(size == .doubleword || read >> (8 * UInt32(size.rawValue)) == 0, "a read of \(size) is wider")
      case 5: bus.advance(to: bus.nextDeadline == .max ? time : bus.nextDeadline)
      case 6:
        _ = bus.receive(UInt8(truncatingIfNeeded: value), at: time)
        _ = bus.takeTransmitted(at: time)
      default: if bus.interruptPending { _ = bus.acknowledgeInterrupt() }
      }
      if word & 7 < 5 { check(bus.nextDeadline > time, "the deadline has passed and nothing was done") }
    }
  }
  return actions
}

private func check(_ holds: Bool, _ what: @autoclosure () -> String) {
  if !holds { Issue.record(Comment(rawValue: what())) }
}

private let claimedPorts: [UInt16] =
  [
    0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xcf8, 0xcf9, 0xcfc, 0xf4, 0x510, 0x511,
    0x8900,
  ]
  + Array(0x40...0x43) + Array(0x3f8...0x3ff) + Array(0x600...0x605)

@Suite struct IOBusFuzzTests {
  @Test(arguments: 0..<16)
  func `no sequence of accesses traps`(seed: Int) {
    var random = RandomNumbers(seed: UInt64(seed))
    // A million in a release build.
    #if DEBUG
      let count = 10_000
    #else
      let count = 62_500
    #endif
    #expect(fuzzIOBus((0..<count).lazy.map { _ in random.next() }) == count)
  }
}
