/// The I/O ports of the machine and the devices behind them.
///
/// Every access says what time it is. Between accesses, the bus must be advanced when ``nextDeadline`` is reached, or
/// a timer's interrupt is late; it is never lost. A port that no device claims reads all ones and ignores writes;
/// among them are 0x80 and 0xed, which guests write to for a delay.
///
/// The bus and the larger devices are not copyable: what is asked at every VM exit must not copy them.
public struct IOBus: ~Copyable {
  @usableFromInline private(set) var interrupts = Interrupt8259Pair()
  @usableFromInline private(set) var ioAPIC: IOAPIC
  @usableFromInline private(set) var hpet = HPET()
  private var timer = Timer8254()
  private var clock: Clock146818
  @usableFromInline private(set) var serial: UART16550A
  private var system = SystemControlPorts()
  private var keyboard = KeyboardController()
  private var pci = PCIConfigurationPorts()
  private var power = ACPIPowerManagement()
  private var powerTimer = ACPIPowerManagementTimer()
  private var interruptMode = InterruptModeConfigurationRegister()
  private var firmware: FirmwareConfiguration
  private var shutdown = ShutdownPort()
  private var now: MachineTime = 0
  /// The level of INTR that the processors have been told of.
  ///
  /// It changes only while they are told; between two accesses, not in the middle of one.
  @usableFromInline private(set) var knownInterruptPending = false
  /// Whether INTR has had the other level since, though it may be as before again.
  @usableFromInline private(set) var hasInterruptChanged = false
  /// How often INTR has risen, modulo 256.
  private(set) var interruptRises: UInt8 = 0

  /// When ``advance(to:)`` has something to do; `MachineTime.max` if it has not.
  public private(set) var nextDeadline = MachineTime.max

  /// Whether an access, or time, may have changed what the host or the local APICs have to know: `request`,
  /// `nextDeadline`, `hasTransmitted`, `hasRoomForInput`, `hasMessages`, `interruptPending`.
  ///
  /// Kept, so that most accesses need no look at any of them; who has looked at all sets it to false.
  public var hasNews = true

  /// Whether the host keeps bytes for the guest that the serial port has had no room for.
  ///
  /// The host keeps it up to date.
  public var isInputWaiting = false

  /// What the guest has asked of the machine.
  ///
  /// The first request stays.
  public private(set) var request: MachineRequest?

  private static var timerLine: UInt8 { 0 }
  private static var serialLine: UInt8 { 4 }
  private static var clockLine: UInt8 { 8 }
  private static var systemControlLine: UInt8 { GuestPlatform.systemControlInterrupt }

  /// Makes the machine's devices as they are after power-on.
  ///
  /// - Parameters:
  ///   - transmitStorage: memory for what the serial port has sent and the host has not taken yet; it must outlive
  ///     the bus.
  ///   - start: the time of day at the guest's start.
  ///   - memorySize: bytes of guest memory below 4 GiB.
  ///   - highMemorySize: bytes of guest memory from 4 GiB.
  ///   - processorCount: how many processors the guest has.
  public init(
    transmitStorage: UnsafeMutableBufferPointer<UInt8>, startingAt start: CalendarTime, memorySize: UInt64,
    highMemorySize: UInt64 = 0, processorCount: UInt16 = 1
  ) {
    ioAPIC = IOAPIC(id: UInt8(truncatingIfNeeded: processorCount))
    firmware = FirmwareConfiguration(memorySize: memorySize + highMemorySize, processorCount: processorCount)
    clock = Clock146818(startingAt: start, memorySize: memorySize)
    serial = UART16550A(queue: TransmitQueue(storage: transmitStorage))
    setLine(Self.timerLine, timer.interruptLine)
  }

  // MARK: Interrupts and time

  /// The level of the processor's INTR input.
  @inlinable
  public var interruptPending: Bool { interrupts.interruptRequested }

  /// Answers the processor's interrupt acknowledge cycle with the vector.
  public mutating func acknowledgeInterrupt() -> UInt8 {
    let vector = interrupts.acknowledge()
    noteInterrupts()
    return vector
  }

  /// Sets the level of an interrupt line of the ISA bus, 0 to 15, at the 8259As and at the I/O APIC.
  ///
  /// From outside, only lines that no device of the bus drives: 1, 3, 5 to 7, 10 to 15. Line 0 goes to pin 2 of the I/O
  /// APIC, as the firmware's tables say.
  @inline(__always)
  public mutating func setLine(_ irq: UInt8, _ level: Bool) {
    interrupts.setLine(irq, level)
    ioAPIC.setLine(Int(irq == Self.timerLine ? GuestPlatform.timerInput : irq), level)
    noteInterrupts()
  }

  @inline(__always)
  private mutating func noteInterrupts() {
    if interruptPending != knownInterruptPending { hasInterruptChanged = true }
    // Lines send no messages but through the I/O APIC.
    if ioAPIC.hasMessages || hasInterruptChanged { hasNews = true }
  }

  /// Whether interrupts have come up, or INTR has changed, and nobody has passed it on.
  @inlinable
  var hasNewInterrupts: Bool {
    @inline(__always) mutating get { hasMessages || hasInterruptChanged }
  }

  /// Tells, once, whether INTR has risen, if only for a moment; after this its level is known.
  mutating func takeInterruptRise() -> Bool {
    let rises = hasInterruptChanged && (interruptPending || !knownInterruptPending)
    knownInterruptPending = interruptPending
    hasInterruptChanged = false
    if rises { interruptRises &+= 1 }
    return rises
  }

  /// Whether `takeMessage()` may have something to give.
  @inlinable
  public var hasMessages: Bool { ioAPIC.hasMessages || hpet.hasMessages }

  /// Takes a message for the local APICs that is to be sent; `nil` if there is none.
  public mutating func takeMessage() -> InterruptMessage? {
    if ioAPIC.hasMessages, let message = ioAPIC.takeMessage() { return message }
    return hpet.hasMessages ? hpet.takeMessage() : nil
  }

  /// Whether a device may yet send an NMI or an INIT, for which RFLAGS.IF does not matter.
  var canSendEvents: Bool { ioAPIC.canSendEvents || hpet.canSendEvents }

  /// The end of a level-triggered interrupt, which a local APIC has broadcast.
  public mutating func endOfInterrupt(vector: UInt8) {
    ioAPIC.endOfInterrupt(vector: vector)
    hasNews = true
  }

  // MARK: Memory

  /// Reads `byteCount` bytes, 1 to 8, that do not cross a page, at a guest-physical address where there is no memory.
  ///
  /// Where no device has registers, all bits are 1.
  public mutating func load(_ address: UInt64, byteCount: Int, at time: MachineTime) -> UInt64 {
    advance(to: time)
    return switch address & ~0xFFF {
    case IOAPIC.address: ioAPIC.read(offset: Int(address & 0xFFF), byteCount: byteCount)
    case HPET.address: hpet.read(offset: Int(address & 0xFFF), byteCount: byteCount, at: now)
    default: ~0
    }
  }

  /// Writes `byteCount` bytes, 1 to 8, that do not cross a page, at a guest-physical address where there is no memory.
  ///
  /// Where no device has registers, nothing happens.
  public mutating func store(_ value: UInt64, at address: UInt64, byteCount: Int, at time: MachineTime) {
    advance(to: time)
    hasNews = true
    switch address & ~0xFFF {
    case IOAPIC.address: ioAPIC.write(offset: Int(address & 0xFFF), byteCount: byteCount, value)
    case HPET.address:
      hpet.write(offset: Int(address & 0xFFF), byteCount: byteCount, value, at: now)
      hpetChanged()
    default: break
    }
  }

  /// Brings the devices to `time` and raises the interrupts that are due.
  ///
  /// A time before that of an earlier call is taken as that one.
  @inline(__always)
  public mutating func advance(to time: MachineTime) {
    now = max(now, time)
    if now >= nextDeadline { advanceDevices() }
  }

  @inline(never)
  private mutating func advanceDevices() {
    timer.advance(to: now)
    raiseTimerLine()
    if now >= clock.nextDeadline {
      clock.advance(to: now)
      raiseClockLine()
    }
    if now >= hpet.nextDeadline {
      hpet.advance(to: now)
      hpetChanged()
    }
    if powerTimer.advance(to: now) {
      power.timerOverflowed()
      setLine(Self.systemControlLine, power.interruptLine)
    }
    serial.advance(to: now)
    setLine(Self.serialLine, serial.interruptLine)
    updateDeadline()
  }

  /// The HPET takes the place of the 8254 and the clock if software wants that.
  private mutating func raiseClockLine() {
    if !hpet.replacesLegacyInterrupts { setLine(Self.clockLine, clock.interruptLine) }
  }

  @inline(never)
  private mutating func hpetChanged() {
    if hpet.hasMessages { hasNews = true }
    var pulses = hpet.takePulses()
    while pulses != 0 {
      setHPETLine(pulses.trailingZeroBitCount, false)
      setHPETLine(pulses.trailingZeroBitCount, true)
      pulses &= pulses &- 1
    }
    let lines = hpet.lines
    for pin in 20..<24 { setHPETLine(pin, lines >> UInt32(pin) & 1 != 0) }
    if hpet.replacesLegacyInterrupts {
      // After an edge the line stays up until the next: the 8259A forgets one that is down again.
      if hpet.isLevelTriggered(0) { setHPETLine(Int(Self.timerLine), lines & 1 << 0 != 0) }
      if hpet.isLevelTriggered(1) { setHPETLine(Int(Self.clockLine), lines & 1 << 8 != 0) }
    } else {
      setLine(Self.timerLine, timer.interruptLine)
      setLine(Self.clockLine, clock.interruptLine)
    }
    updateDeadline()
  }

  private mutating func setHPETLine(_ line: Int, _ level: Bool) {
    if line < 16 { return setLine(UInt8(line), level) }
    ioAPIC.setLine(line, level)
    noteInterrupts()
  }

  private mutating func raiseTimerLine() {
    if hpet.replacesLegacyInterrupts {
      _ = timer.takeRise()
      return
    }
    if timer.takeRise() {
      // The line may have been up before the edge as well as after it.
      setLine(Self.timerLine, false)
      setLine(Self.timerLine, true)
    }
    setLine(Self.timerLine, timer.interruptLine)
  }

  private mutating func updateDeadline() {
    // `min` of more than two would make an array.
    let old = nextDeadline
    nextDeadline = min(
      min(timer.nextDeadline, min(clock.nextDeadline, serial.nextDeadline)),
      min(hpet.nextDeadline, powerTimerDeadline))
    if nextDeadline != old { hasNews = true }
  }

  /// Its overflow can be noticed only by its interrupt, or by reading the status, which brings it up to date.
  private var powerTimerDeadline: MachineTime {
    mutating get { power.isTimerEnabled ? powerTimer.nextDeadline : .max }
  }

  // MARK: The serial line

  /// Takes a byte from the host for the guest.
  ///
  /// - Returns: false, and nothing has happened, when the port has no room; the host keeps the byte.
  public mutating func receive(_ byte: UInt8, at time: MachineTime) -> Bool {
    advance(to: time)
    guard serial.receive(byte, at: now) else { return false }
    serialChanged()
    return true
  }

  /// Whether ``receive(_:at:)`` takes a byte.
  public var hasRoomForInput: Bool { serial.hasRoom }

  /// Whether the guest has sent something.
  @inlinable
  public var hasTransmitted: Bool { serial.hasTransmitted }

  /// Takes the oldest byte that the guest has sent; `nil` if there is none.
  public mutating func takeTransmitted(at time: MachineTime) -> UInt8? {
    advance(to: time)
    guard let byte = serial.takeTransmitted() else { return nil }
    serial.transmit(at: now)
    serialChanged()
    return byte
  }

  private mutating func serialChanged() {
    setLine(Self.serialLine, serial.interruptLine)
    updateDeadline()
  }

  // MARK: Ports

  /// Reads from a port.
  ///
  /// An access of more than one byte is split into bytes, as on the ISA bus, from the low port up; port 0 follows
  /// port 0xffff.
  ///
  /// - Returns: the value in the low bits, as many as `size` says; the others are 0.
  @inline(__always)
  public mutating func read(port: UInt16, size: IOSize, at time: MachineTime) -> UInt32 {
    advance(to: time)
    return size == .byte ? UInt32(readByte(port)) : readBytes(port, size)
  }

  /// Writes to a port the low bits of `value`, as many as `size` says; splits the access as `read` does.
  @inline(__always)
  public mutating func write(port: UInt16, size: IOSize, value: UInt32, at time: MachineTime) {
    advance(to: time)
    if size == .byte { writeByte(port, UInt8(truncatingIfNeeded: value)) } else { writeBytes(port, size, value) }
  }

  @inline(never)
  private mutating func readBytes(_ port: UInt16, _ size: IOSize) -> UInt32 {
    if port == 0xcf8 && size == .doubleword { return pci.address }
    var value: UInt32 = 0
    for index in 0..<UInt16(size.rawValue) {
      value |= UInt32(readByte(port &+ index)) << UInt32(8 &* index)
    }
    return value
  }

  @inline(never)
  private mutating func writeBytes(_ port: UInt16, _ size: IOSize, _ value: UInt32) {
    if port == 0xcf8 && size == .doubleword { return pci.writeAddress(value) }
    if port == FirmwareConfiguration.selectorPort && size == .word {
      return firmware.select(UInt16(truncatingIfNeeded: value))
    }
    for index in 0..<UInt16(size.rawValue) {
      writeByte(port &+ index, UInt8(truncatingIfNeeded: value >> UInt32(8 &* index)))
    }
  }

  @inline(never)
  private mutating func readByte(_ port: UInt16) -> UInt8 {
    // In the order of the tests: what costs most by itself comes first.
    switch port {
    case 0x40...0x43: return timer.read(port: port, at: now)
    case 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1: return readInterrupts(port)
    case 0x61: return readPortB()
    case 0x60: return keyboard.readData()
    case 0x64: return keyboard.status
    case 0x71: return readClock()
    case 0x92: return system.portA
    case 0x3f8...0x3ff:
      return readSerial(port & 7)
    case FirmwareConfiguration.dataPort: return firmware.readData()
    case 0x22, 0x23: return interruptMode.read(port: port)
    case 0x600...0x605: return readPower(port)
    case 0x608...0x60b: return readPowerTimer(port)
    case 0xcf9: return system.resetControl
    default: return 0xff
    }
  }

  @inline(never)
  private mutating func writeByte(_ port: UInt16, _ value: UInt8) {
    switch port {
    case 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1: writeInterrupts(port, value)
    case 0x40...0x43: writeTimer(port, value)
    case 0x60: if keyboard.writeData(value) { ask(for: .reset(.keyboardController)) }
    case 0x61: writePortB(value)
    case 0x64: if keyboard.writeCommand(value) { ask(for: .reset(.keyboardController)) }
    case 0x70: clock.write(port: port, value: value, at: now)
    case 0x71: writeClock(value)
    case 0x92: if system.writePortA(value) { ask(for: .reset(.systemControlPortA)) }
    case DebugExitPort.port: ask(for: .exit(status: DebugExitPort.status(for: value)))
    case 0x3f8...0x3ff: writeSerial(port & 7, value)
    case 0x22, 0x23: interruptMode.write(port: port, value: value)
    case 0x600...0x605: writePower(port, value)
    case 0xcf9: if system.writeResetControl(value) { ask(for: .reset(.resetControlRegister)) }
    case ShutdownPort.port: if shutdown.write(value) { ask(for: .powerOff) }
    default: break
    }
  }

  private mutating func ask(for request: MachineRequest) {
    if self.request == nil { self.request = request }
    hasNews = true
  }

  // What follows is not inlined, so that the two functions above need no registers saved for it.

  @inline(never)
  private mutating func readInterrupts(_ port: UInt16) -> UInt8 {
    let value = interrupts.read(port: port)
    // A poll acknowledges.
    noteInterrupts()
    return value
  }

  @inline(never)
  private mutating func writeInterrupts(_ port: UInt16, _ value: UInt8) {
    interrupts.write(port: port, value: value)
    noteInterrupts()
  }

  @inline(never)
  private mutating func readPower(_ port: UInt16) -> UInt8 {
    if powerTimer.advance(to: now) { power.timerOverflowed() }
    return power.read(offset: port &- ACPIPowerManagement.port)
  }

  @inline(never)
  private mutating func writePower(_ port: UInt16, _ value: UInt8) {
    if powerTimer.advance(to: now) { power.timerOverflowed() }
    if power.write(offset: port &- ACPIPowerManagement.port, value: value) { ask(for: .powerOff) }
    setLine(Self.systemControlLine, power.interruptLine)
    updateDeadline()
  }

  /// All bytes of one access are of the same time.
  @inline(never)
  private mutating func readPowerTimer(_ port: UInt16) -> UInt8 {
    UInt8(truncatingIfNeeded: ACPIPowerManagementTimer.count(at: now) >> UInt32(8 * (port & 3)))
  }

  @inline(never)
  private mutating func readPortB() -> UInt8 {
    system.readPortB(timerOutput: timer.speakerOutput(at: now), ticks: Timer8254.ticks(at: now))
  }

  @inline(never)
  private mutating func writePortB(_ value: UInt8) {
    system.writePortB(value)
    timer.setSpeakerGate(system.opensTimerGate, at: now)
  }

  @inline(never)
  private mutating func writeTimer(_ port: UInt16, _ value: UInt8) {
    if timer.write(port: port, value: value, at: now) {
      raiseTimerLine()
      updateDeadline()
    }
  }

  @inline(never)
  private mutating func readClock() -> UInt8 {
    if clock.isCurrent(at: now) { return clock.read(port: 0x71, at: now) }
    clock.advance(to: now)
    let value = clock.read(port: 0x71, at: now)
    clockChanged()
    return value
  }

  @inline(never)
  private mutating func writeClock(_ value: UInt8) {
    clock.advance(to: now)
    clock.write(port: 0x71, value: value, at: now)
    clockChanged()
  }

  private mutating func clockChanged() {
    raiseClockLine()
    updateDeadline()
  }

  @inline(never)
  private mutating func readSerial(_ offset: UInt16) -> UInt8 {
    let value = serial.read(offset: offset, at: now)
    // RBR, IIR, MSR, and LSR with an error, change by being read.
    if offset == 0 || offset == 2 || offset == 6 || value & 0x02 != 0 { serialChanged() }
    if offset == 0 && isInputWaiting { hasNews = true }
    return value
  }

  @inline(never)
  private mutating func writeSerial(_ offset: UInt16, _ value: UInt8) {
    serial.write(offset: offset, value: value, at: now)
    // LCR, LSR, MSR and SCR neither raise an interrupt nor quiet one.
    if offset == 3 || offset >= 5 { return }
    // The line goes low between the byte's coming and its leaving, so that an edge tells of the second.
    setLine(Self.serialLine, serial.interruptLine)
    serial.transmit(at: now)
    hasNews = true
    serialChanged()
  }
}
