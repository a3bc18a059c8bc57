import Machine
import Testing

@Suite struct ACPIPowerManagementTests {
  @Test(arguments: [UInt64(0), 1, 279, 280, 559, 1_000_000_000, 3_600_000_000_000, 31_557_600_000_000_000])
  func `the timer counts 3579545 a second, exactly`(time: MachineTime) {
    let exact = time.multipliedFullWidth(by: 3_579_545)
    let ticks = UInt64(1_000_000_000).dividingFullWidth((exact.high, exact.low)).quotient
    #expect(ACPIPowerManagementTimer.count(at: time) == UInt32(truncatingIfNeeded: ticks))
  }

  @Test func `TMR_STS comes when bit 31 changes, and interrupts if TMR_EN is set`() {
    var timer = ACPIPowerManagementTimer()
    var registers = ACPIPowerManagement()
    for round in 0..<4 {
      let deadline = timer.nextDeadline
      #expect(ACPIPowerManagementTimer.count(at: deadline - 1) >> 31 == UInt32(round % 2))
      #expect(ACPIPowerManagementTimer.count(at: deadline) >> 31 == UInt32(1 - round % 2))
      #expect(timer.advance(to: deadline - 1) == false)
      #expect(timer.advance(to: deadline) == true)
      #expect(timer.advance(to: deadline) == false)
      registers.timerOverflowed()
      #expect(registers.read(offset: 0) == 1)
      let isEnabled = round % 2 == 1
      #expect(registers.write(offset: 2, value: isEnabled ? 0x21 : 0x20) == false)
      #expect(registers.read(offset: 2) == (isEnabled ? 0x21 : 0x20))
      #expect(registers.interruptLine == isEnabled)
      _ = registers.write(offset: 0, value: 0xFE)
      #expect(registers.interruptLine == isEnabled)
      _ = registers.write(offset: 0, value: 0x01)
      #expect(registers.interruptLine == false)
      #expect(registers.read(offset: 0) == 0)
    }
  }

  @Test func `after a long time the timer has changed once`() {
    var timer = ACPIPowerManagementTimer()
    #expect(timer.advance(to: 1 << 60) == true)
    #expect(timer.advance(to: 1 << 60) == false)
    #expect(timer.nextDeadline > 1 << 60)
    #expect(timer.advance(to: .max) == true)
  }
}
