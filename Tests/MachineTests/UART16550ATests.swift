import Machine
import Testing

/// A port with a queue of its own.
private final class Port {
  let storage: UnsafeMutableBufferPointer<UInt8>
  var uart: UART16550A

  init(room: Int = 64) {
    storage = .allocate(capacity: room)
    uart = UART16550A(queue: TransmitQueue(storage: storage))
  }

  var line: Bool { uart.interruptLine }

  var hasTransmitted: Bool { uart.hasTransmitted }

  deinit { storage.deallocate() }

  func read(_ offset: UInt16, at time: MachineTime = 0) -> UInt8 { uart.read(offset: offset, at: time) }

  func write(_ offset: UInt16, _ value: UInt8, at time: MachineTime = 0) {
    uart.write(offset: offset, value: value, at: time)
    uart.transmit(at: time)
  }

  func receive(_ byte: UInt8, at time: MachineTime = 0) -> Bool { uart.receive(byte, at: time) }

  func take() -> UInt8? {
    defer { uart.transmit(at: 0) }
    return uart.takeTransmitted()
  }
}

@Suite struct UART16550ATests {
  @Test func `the registers at the start`() {
    let port = Port()
    #expect((0..<8).map { port.read($0) } == [0, 0, 0x01, 0x03, 0, 0x60, 0xb0, 0])
  }

  @Test func `registers keep the bits that they have`() {
    let port = Port()
    for value in UInt8(0)...255 {
      port.write(1, value)
      #expect(port.read(1) == value & 0x0f)
      port.write(4, value)
      #expect(port.read(4) == value & 0x1f)
      port.write(7, value)
      #expect(port.read(7) == value)
      port.write(3, value | 0x80)
      #expect(port.read(3) == value | 0x80)
      port.write(0, value)
      port.write(1, ~value)
      #expect(port.read(0) == value && port.read(1) == ~value)
      port.write(3, 0x03)
    }
    #expect(port.take() == nil)
  }

  /// Linux's autoconfig: what sets a 16550A apart from its forerunners.
  @Test func `Linux's probe finds a 16550A`() {
    let port = Port()
    port.write(1, 0x00)
    #expect(port.read(1) & 0x0f == 0)
    port.write(1, 0x0f)
    #expect(port.read(1) & 0x0f == 0x0f)
    port.write(1, 0x00)
    port.write(4, 0x1a)
    #expect(port.read(6) & 0xf0 == 0x90)
    port.write(4, 0x00)
    port.write(2, 0x01)
    #expect(port.read(2) >> 6 == 3)
    port.write(2, 0x00)
    #expect(port.read(2) >> 6 == 0)
    // The THRE test: the interrupt comes again when its enable does.
    for _ in 0..<2 {
      port.write(1, 0x02)
      #expect(port.read(2) & 0x0f == 0x02)
      #expect(port.read(2) & 0x0f == 0x01)
      port.write(1, 0x00)
    }
  }

  @Test func `every loopback output comes back as its input`() {
    let port = Port()
    for control in UInt8(0)..<16 {
      port.write(4, 0x10 | control)
      _ = port.read(6)
      let lines = port.read(6)
      let expected =
        (control & 1 != 0 ? 0x20 : 0) | (control & 2 != 0 ? 0x10 : 0) | (control & 4 != 0 ? 0x40 : 0)
        | (control & 8 != 0 ? 0x80 : 0)
      #expect(Int(lines) == expected)
      // Deltas; RI tells only of its going away.
      port.write(4, 0x10)
      #expect(port.read(6) == UInt8(expected) >> 4)
      #expect(port.read(6) == 0)
    }
  }

  /// FCR's trigger levels.
  @Test(arguments: [(0x01, 1), (0x41, 4), (0x81, 8), (0xc1, 14)] as [(UInt8, Int)])
  func `received data interrupts at the trigger level, and earlier after four characters' time`(
    control: UInt8, level: Int
  ) {
    // Ten bits at 115200 baud, four times.
    let wait: UInt64 = 4 * 10 * 1_000_000_000 / 115200
    for count in 1...16 {
      let port = Port()
      port.write(3, 0x83)
      port.write(0, 1)
      port.write(1, 0)
      port.write(3, 0x03)
      port.write(4, 0x08)
      port.write(2, control)
      port.write(1, 0x01)
      for byte in 1...count { #expect(port.receive(UInt8(byte), at: UInt64(byte) * 1000)) }
      let isFull = count >= level
      let end = UInt64(count) * 1000 + wait
      #expect(port.line == isFull)
      #expect(port.read(2, at: end - 1) == (isFull ? 0xc4 : 0xc1))
      #expect(port.uart.nextDeadline == end)
      port.uart.advance(to: end - 1)
      #expect(port.line == isFull)
      port.uart.advance(to: end)
      #expect(port.line)
      #expect(port.read(2, at: end) == (isFull ? 0xc4 : 0xcc))
      // A byte that goes starts the wait again.
      #expect(port.read(0, at: end) == 1)
      #expect(port.line == (count - 1 >= level))
      #expect(port.uart.nextDeadline == (count > 1 ? end + wait : .max))
      if count == 16 { #expect(port.receive(17, at: end) && !port.receive(18, at: end)) }
      for byte in 2...(count == 16 ? 17 : max(count, 2)) where count > 1 {
        #expect(port.read(0, at: end) == UInt8(byte))
      }
      #expect(port.read(5, at: end) == 0x60)
      #expect(port.uart.nextDeadline == .max)
      #expect(!port.line)
    }
  }

  @Test func `a byte that comes does not take back the interrupt for those that have waited`() {
    let port = Port()
    port.write(2, 0xc1)
    port.write(1, 0x01)
    port.write(4, 0x08)
    #expect(port.receive(1))
    let end = port.uart.nextDeadline
    port.uart.advance(to: end)
    #expect(port.read(2, at: end) == 0xcc)
    #expect(port.receive(2, at: end + 1) && port.line)
    #expect(port.read(2, at: end + 1) == 0xcc)
    #expect(port.read(0, at: end + 2) == 1)
    #expect(port.read(2, at: end + 2) == 0xc1 && !port.line)
  }

  /// The four interrupts, all pending, go away one after the other in the order of their priority.
  @Test func `IIR tells of the highest priority first`() {
    let port = Port()
    port.write(4, 0x18)
    port.write(0, 0x55)
    port.write(0, 0x66)
    port.write(4, 0x08)
    port.write(1, 0x0f)
    #expect(port.line)
    #expect(port.read(2) == 0x06)
    #expect(port.read(5) == 0x63)
    #expect(port.read(2) == 0x04)
    #expect(port.read(0) == 0x66)
    #expect(port.read(2) == 0x02)
    #expect(port.read(2) == 0x00)
    #expect(port.read(6) & 0x0f != 0)
    #expect(port.read(2) == 0x01)
    #expect(!port.line)
  }

  @Test func `OUT2 gates the interrupt`() {
    for control in UInt8(0)..<32 {
      let port = Port()
      port.write(4, control)
      _ = port.read(6)
      port.write(1, 0x02)
      #expect(port.line == (control & 0x18 == 0x08))
    }
  }

  @Test func `the line is low while a byte is under way`() {
    let port = Port()
    port.write(4, 0x08)
    port.write(1, 0x02)
    #expect(port.line)
    port.uart.write(offset: 0, value: 0x41, at: 0)
    #expect(!port.line)
    #expect(port.uart.read(offset: 5, at: 0) == 0)
    port.uart.transmit(at: 0)
    #expect(port.line)
    #expect(port.uart.read(offset: 5, at: 0) == 0x60)
  }

  @Test(arguments: [0x00, 0x01] as [UInt8])
  func `a full queue makes the transmitter wait, and loses nothing`(control: UInt8) {
    let port = Port(room: 10)
    port.write(4, 0x08)
    port.write(2, control)
    port.write(1, 0x02)
    var sent: [UInt8] = []
    var taken: [UInt8] = []
    var random = RandomNumbers(seed: 9)
    while sent.count < 2000 {
      if random.chance(60) {
        if port.read(5) & 0x20 != 0 {
          for _ in 0..<(control == 0 ? 1 : Int.random(in: 1...16, using: &random)) {
            sent.append(UInt8.random(in: 0...255, using: &random))
            port.write(0, sent.last!)
          }
        }
        if port.read(5) & 0x20 == 0 { #expect(!port.line) }
      } else if let byte = port.take() {
        taken.append(byte)
      }
      #expect(port.hasTransmitted == (taken.count < sent.count))
    }
    while let byte = port.take() { taken.append(byte) }
    #expect(taken == sent)
    #expect(port.read(5) == 0x60)
  }

  /// In loopback, with random writes, reads and resets, against plain arrays.
  @Test(arguments: [0x00, 0x01] as [UInt8], [0, 1, 2, 3] as [UInt8])
  func `the FIFO is a queue that remembers an overrun`(control: UInt8, word: UInt8) {
    let port = Port()
    port.write(4, 0x10)
    port.write(3, word)
    port.write(2, control)
    var random = RandomNumbers(seed: UInt64(control) * 4 + UInt64(word))
    var model: [UInt8] = []
    var hasOverrun = false
    for _ in 0..<5000 {
      switch Int.random(in: 0..<20, using: &random) {
      case 0:
        port.write(2, control | 0x02)
        if control != 0 { model.removeAll() }
      case 1..<11:
        let byte = UInt8.random(in: 0...255, using: &random)
        port.write(0, byte)
        let masked = byte & [0x1f, 0x3f, 0x7f, 0xff][Int(word)]
        if model.count == (control == 0 ? 1 : 16) {
          hasOverrun = true
          if control == 0 { model = [masked] }
        } else {
          model.append(masked)
        }
      case 11..<19:
        if !model.isEmpty { #expect(port.read(0) == model.removeFirst()) }
      default:
        #expect(port.read(5) == 0x60 | (hasOverrun ? 0x02 : 0) | (model.isEmpty ? 0 : 0x01))
        hasOverrun = false
      }
      // The line is cut off: the host keeps its bytes.
      #expect(port.receive(0) == false)
    }
  }
}
