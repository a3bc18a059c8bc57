/// A 16550A serial port with FIFOs, eight ports from its base on; COM1 is at 0x3f8 and on IRQ 4.
///
/// Sending takes no time: a byte is in the ``TransmitQueue`` as soon as there is room. While there is none the
/// transmitter is busy, so that nothing is lost. Receiving goes at the host's pace.
public struct UART16550A: ~Copyable {
  @usableFromInline private(set) var queue: TransmitQueue
  private var receiver = FIFO16()
  private var transmitter = FIFO16()

  private var interruptEnable: UInt8 = 0
  /// Bits 0 (enable), 6 and 7 (trigger level) of FCR.
  private var fifoControl: UInt8 = 0
  private var lineControl: UInt8 = 0x03
  private var modemControl: UInt8 = 0
  private var scratch: UInt8 = 0
  private var divisor: UInt16 = 12
  /// The overrun error of LSR, the only error that this line has.
  private var overrun: UInt8 = 0
  /// The four delta bits of MSR.
  private var modemDeltas: UInt8 = 0
  private var transmitterInterrupt = false
  private var receiverTimedOut = false
  private var timeout = MachineTime.max

  private enum Bit {
    // IER
    static var receivedData: UInt8 { 0x01 }
    static var transmitterEmpty: UInt8 { 0x02 }
    static var lineStatus: UInt8 { 0x04 }
    static var modemStatus: UInt8 { 0x08 }
    // LCR
    static var divisorLatch: UInt8 { 0x80 }
    // MCR
    static var out2: UInt8 { 0x08 }
    static var loopback: UInt8 { 0x10 }
    // LSR
    static var overrun: UInt8 { 0x02 }
  }

  /// Makes a port as firmware leaves it, at 9600 baud with eight data bits and no parity, that sends into `queue`.
  public init(queue: consuming TransmitQueue) {
    self.queue = queue
  }

  private var hasFIFOs: Bool { fifoControl & 1 != 0 }

  private var capacity: UInt8 { hasFIFOs ? FIFO16.capacity : 1 }

  private var isLoopback: Bool { modemControl & Bit.loopback != 0 }

  private var hasDivisorLatch: Bool { lineControl & Bit.divisorLatch != 0 }

  /// How many received bytes raise the interrupt.
  private var triggerLevel: UInt8 {
    switch fifoControl {
    case 0xc1: 14
    case 0x81: 8
    case 0x41: 4
    default: 1
    }
  }

  // MARK: Interrupts

  /// The level of the port's interrupt line.
  ///
  /// OUT2 gates it, and is inactive in loopback.
  public var interruptLine: Bool {
    interruptEnable != 0 && modemControl & (Bit.out2 | Bit.loopback) == Bit.out2 && identification != 0x01
  }

  /// The low bits of IIR: the pending interrupt of highest priority, 1 for none.
  private var identification: UInt8 {
    if interruptEnable & Bit.lineStatus != 0 && overrun != 0 { return 0x06 }
    if interruptEnable & Bit.receivedData != 0 {
      if receiver.count >= triggerLevel { return 0x04 }
      if receiverTimedOut { return 0x0c }
    }
    if interruptEnable & Bit.transmitterEmpty != 0 && transmitterInterrupt { return 0x02 }
    if interruptEnable & Bit.modemStatus != 0 && modemDeltas != 0 { return 0x00 }
    return 0x01
  }

  /// When the received bytes have waited too long; `MachineTime.max` if nobody would notice.
  public var nextDeadline: MachineTime { interruptEnable & Bit.receivedData != 0 ? timeout : .max }

  /// Brings the port to `time`.
  public mutating func advance(to time: MachineTime) {
    guard time >= timeout else { return }
    timeout = .max
    receiverTimedOut = true
  }

  /// The interrupt for bytes below the trigger level comes four characters' time after the last one came or went.
  ///
  /// Once it has come, only a byte that goes ends it.
  private mutating func restartTimeout(at time: MachineTime) {
    timeout = hasFIFOs && !receiver.isEmpty ? time &+ timeoutLength : .max
  }

  /// Nanoseconds that four characters take.
  ///
  /// A character is start, data, parity and stop bits; a bit is 16 times the divisor's periods of 1.8432 MHz.
  private var timeoutLength: UInt64 {
    let data = UInt64(lineControl & 3) + 5
    let parity: UInt64 = lineControl & 0x08 != 0 ? 1 : 0
    let longStop: UInt64 = lineControl & 3 == 0 ? 1 : 2
    let halfBits = 2 * (1 + data + parity + 1) + (lineControl & 0x04 != 0 ? longStop : 0)
    return 4 * halfBits * (divisor == 0 ? 65536 : UInt64(divisor)) * 78125 / 18
  }

  // MARK: The host's side

  /// Whether ``receive(_:at:)`` takes a byte.
  public var hasRoom: Bool { !isLoopback && receiver.count < capacity }

  /// Takes a byte from the line.
  ///
  /// - Returns: false, and nothing has happened, when there is no room for it or the line is cut off by loopback; the
  ///   host keeps the byte.
  public mutating func receive(_ byte: UInt8, at time: MachineTime) -> Bool {
    guard hasRoom else { return false }
    receiver.append(byte & wordMask)
    restartTimeout(at: time)
    return true
  }

  /// Whether there is a byte for the host to take.
  @inlinable
  public var hasTransmitted: Bool { queue.count > 0 }

  /// Takes the oldest byte that the guest has sent.
  ///
  /// ``transmit(at:)`` then lets the transmitter go on.
  public mutating func takeTransmitted() -> UInt8? { queue.removeFirst() }

  /// Sends what the transmitter holds, as far as there is room.
  public mutating func transmit(at time: MachineTime) {
    guard !transmitter.isEmpty else { return }
    while !transmitter.isEmpty {
      let byte = transmitter.oldest & wordMask
      if isLoopback {
        loopBack(byte, at: time)
      } else if !queue.append(byte) {
        return
      }
      transmitter.removeFirst()
    }
    transmitterInterrupt = true
  }

  /// A byte that comes when there is no room sets OE: with FIFOs it is lost, without it takes the other's place.
  private mutating func loopBack(_ byte: UInt8, at time: MachineTime) {
    if receiver.count >= capacity {
      overrun = Bit.overrun
      if hasFIFOs { return }
      receiver.removeAll()
    }
    receiver.append(byte)
    restartTimeout(at: time)
  }

  private var wordMask: UInt8 { 0xff >> (3 - (lineControl & 3)) }

  // MARK: Ports

  /// Reads one of the eight ports.
  public mutating func read(offset: UInt16, at time: MachineTime) -> UInt8 {
    advance(to: time)
    switch offset & 7 {
    case 0: return hasDivisorLatch ? UInt8(truncatingIfNeeded: divisor) : readReceiver(at: time)
    case 1: return hasDivisorLatch ? UInt8(truncatingIfNeeded: divisor >> 8) : interruptEnable
    case 2:
      let pending = identification
      if pending == 0x02 { transmitterInterrupt = false }
      return pending | (hasFIFOs ? 0xc0 : 0)
    case 3: return lineControl
    case 4: return modemControl
    case 5:
      defer { overrun = 0 }
      return overrun | (transmitter.isEmpty ? 0x60 : 0) | (receiver.isEmpty ? 0 : 0x01)
    case 6:
      defer { modemDeltas = 0 }
      return modemLines | modemDeltas
    default: return scratch
    }
  }

  private mutating func readReceiver(at time: MachineTime) -> UInt8 {
    let byte = receiver.oldest
    receiver.removeFirst()
    receiverTimedOut = false
    restartTimeout(at: time)
    return byte
  }

  /// Writes one of the eight ports.
  ///
  /// A byte to be sent stays in the transmitter until ``transmit(at:)``: in between the interrupt line is low, as it is
  /// while the chip shifts the byte out.
  public mutating func write(offset: UInt16, value: UInt8, at time: MachineTime) {
    advance(to: time)
    switch offset & 7 {
    case 0 where hasDivisorLatch: divisor = divisor & 0xff00 | UInt16(value)
    case 0: writeTransmitter(value)
    case 1 where hasDivisorLatch: divisor = divisor & 0x00ff | UInt16(value) << 8
    case 1: writeInterruptEnable(value)
    case 2: writeFIFOControl(value)
    case 3: lineControl = value
    case 4: writeModemControl(value)
    case 7: scratch = value
    default: break
    }
  }

  private mutating func writeTransmitter(_ value: UInt8) {
    transmitterInterrupt = false
    if transmitter.count >= capacity {
      // The guest did not wait for THRE: with FIFOs the byte is lost, without it takes the other's place.
      if hasFIFOs { return }
      transmitter.removeAll()
    }
    transmitter.append(value)
  }

  private mutating func writeInterruptEnable(_ value: UInt8) {
    let isEnabling = value & ~interruptEnable & Bit.transmitterEmpty != 0
    interruptEnable = value & 0x0f
    if isEnabling && transmitter.isEmpty { transmitterInterrupt = true }
  }

  private mutating func writeFIFOControl(_ value: UInt8) {
    let changes = (value ^ fifoControl) & 1 != 0
    if changes || value & 0x03 == 0x03 {
      receiver.removeAll()
      overrun = changes ? 0 : overrun
      receiverTimedOut = false
      timeout = .max
    }
    if (changes || value & 0x05 == 0x05) && !transmitter.isEmpty {
      transmitter.removeAll()
      transmitterInterrupt = true
    }
    // The other bits count only together with the enable bit.
    fifoControl = value & 1 != 0 ? value & 0xc1 : 0
  }

  private mutating func writeModemControl(_ value: UInt8) {
    let before = modemLines
    modemControl = value & 0x1f
    let after = modemLines
    let changed = before ^ after
    // TERI tells only of the trailing edge of RI.
    modemDeltas |= (changed & 0xb0) >> 4 | (changed & before & 0x40) >> 4
  }

  /// The high half of MSR: CTS, DSR, RI, DCD.
  ///
  /// A terminal that is always there; in loopback RTS, DTR, OUT1 and OUT2.
  private var modemLines: UInt8 {
    guard isLoopback else { return 0xb0 }
    return (modemControl & 0x02) << 3 | (modemControl & 0x01) << 5 | (modemControl & 0x0c) << 4
  }
}
