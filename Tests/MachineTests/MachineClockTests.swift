import Machine
import Testing

@Suite struct MachineClockTests {
  @Test func `a processor whose time-stamp counter is behind has the time of the start`() {
    let clock = MachineClock(start: 1_000_000, frequency: 1_000_000_000)
    for ticks in [0, 1, 999_999, 1_000_000] as [UInt64] { #expect(clock.time(at: ticks) == 0) }
    #expect((999...1000).contains(clock.time(at: 1_001_000)))
  }
}
