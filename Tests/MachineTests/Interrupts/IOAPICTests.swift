import Machine
import Testing

extension IOAPIC {
  fileprivate mutating func readRegister(_ index: UInt8) -> UInt32 {
    write(offset: 0x00, byteCount: 4, UInt64(index))
    return UInt32(read(offset: 0x10, byteCount: 4))
  }

  fileprivate mutating func writeRegister(_ index: UInt8, _ value: UInt32) {
    write(offset: 0x00, byteCount: 4, UInt64(index))
    write(offset: 0x10, byteCount: 4, UInt64(value))
  }

  /// Writes a redirection entry, masked until both halves are there, as operating systems do.
  fileprivate mutating func program(_ pin: Int, _ entry: UInt64) {
    let index = UInt8(0x10 + 2 * pin)
    writeRegister(index, 0x1_0000)
    writeRegister(index + 1, UInt32(entry >> 32))
    writeRegister(index, UInt32(truncatingIfNeeded: entry))
  }

  fileprivate mutating func takeVectors() -> [UInt8] {
    var vectors: [UInt8] = []
    while hasMessages {
      if let message = takeMessage() { vectors.append(message.vector) }
    }
    return vectors
  }
}

/// One pin, in words.
private struct ReferencePin {
  var vector: UInt8 = 0
  var isLevelTriggered = false
  var isMasked = true
  var awaitsEnd = false
  var isHigh = false
  var isWaiting = false

  mutating func request() {
    if isLevelTriggered { isWaiting = isHigh && !isMasked && !awaitsEnd }
  }
}

@Suite struct IOAPICTests {
  @Test func `registers after power-up, and their writable bits`() {
    var ioapic = IOAPIC(id: 9)
    #expect(ioapic.readRegister(0) == 0x0900_0000)
    #expect(ioapic.readRegister(1) == 0x0017_0020)
    #expect(ioapic.readRegister(2) == 0x0900_0000)
    for index in UInt8.min...255 {
      let isEntry = (0x10..<0x40).contains(index)
      if isEntry { #expect(ioapic.readRegister(index) == (index % 2 == 0 ? 0x1_0000 : 0)) }
      if index > 2 && !isEntry { #expect(ioapic.readRegister(index) == 0) }
      for value in [~0, 0x5555_5555, 0xAAAA_AAAA, 0x1_0000] as [UInt32] {
        let old = ioapic.readRegister(index)
        ioapic.writeRegister(index, value)
        let mask: UInt32 = isEntry ? (index % 2 == 0 ? 0x1_AFFF : 0xFF00_0000) : index == 0 ? 0x0F00_0000 : 0
        #expect(ioapic.readRegister(index) == (mask == 0 && index != 2 ? old : value & mask | (index == 2 ? old : 0)))
      }
    }
  }

  @Test func `partial accesses`() {
    var ioapic = IOAPIC(id: 1)
    ioapic.program(3, 0xA500_0000_0001_2345 & ~0x1000)
    ioapic.write(offset: 0x00, byteCount: 1, 0x16)
    let reads: [(offset: Int, byteCount: Int, value: UInt64)] = [
      (0x10, 4, 0x1_2345 & ~0x1000), (0x10, 1, 0x45), (0x11, 1, 0x23), (0x10, 2, 0x2345), (0x12, 2, 1),
      (0x10, 8, 0x1_2345),
      (0x00, 1, 0x16), (0x00, 4, 0x16), (0x00, 8, 0x16), (0x14, 4, 0), (0x20, 4, 0), (0x40, 4, 0), (0xFFC, 4, 0),
    ]
    for row in reads { #expect(ioapic.read(offset: row.offset, byteCount: row.byteCount) == row.value) }
    for (offset, byteCount) in [(0x10, 1), (0x10, 2), (0x11, 4), (0x14, 4), (0x01, 4)] {
      ioapic.write(offset: offset, byteCount: byteCount, 0x1_0777)
      #expect(ioapic.read(offset: 0x10, byteCount: 4) == 0x1_2345)
    }
    ioapic.write(offset: 0x10, byteCount: 8, 0xFFFF_FFFF_0001_0777)
    #expect(ioapic.read(offset: 0x10, byteCount: 4) == 0x1_0777)
  }

  @Test func `an edge sends the entry's message once, and none while it is masked`() {
    var ioapic = IOAPIC(id: 0)
    for pin in 0..<IOAPIC.pinCount {
      ioapic.setLine(pin, true)
      #expect(ioapic.hasMessages == false)
      ioapic.setLine(pin, false)
      ioapic.program(pin, 0x0300_0000_0000_0930 + UInt64(pin))
      for _ in 0..<2 {
        ioapic.setLine(pin, true)
        ioapic.setLine(pin, true)
        #expect(ioapic.readRegister(UInt8(0x10 + 2 * pin)) & 0x1000 == 0x1000)
        let message = InterruptMessage(
          destination: 3, vector: 0x30 + UInt8(pin), deliveryMode: .lowestPriority, isLogical: true)
        #expect(ioapic.takeMessage() == message)
        #expect(ioapic.takeMessage() == nil)
        #expect(ioapic.readRegister(UInt8(0x10 + 2 * pin)) & 0x1000 == 0)
        ioapic.setLine(pin, false)
      }
    }
  }

  @Test func `lines that do not exist are ignored`() {
    var ioapic = IOAPIC(id: 0)
    for pin in 0..<IOAPIC.pinCount { ioapic.program(pin, 0x30) }
    for pin in [24, 31, 32, 40, Int.max, -1, Int.min] {
      ioapic.setLine(pin, true)
      ioapic.setLine(pin, false)
      #expect(ioapic.hasMessages == false)
    }
  }

  @Test(arguments: [false, true])
  func `a level requests until it goes low, once for each EOI`(usesRegister: Bool) {
    var ioapic = IOAPIC(id: 0)
    ioapic.program(17, 0x8055)
    ioapic.setLine(17, true)
    for round in 0..<3 {
      #expect(ioapic.takeVectors() == [0x55])
      #expect(ioapic.readRegister(0x10 + 2 * 17) == 0xC055)
      ioapic.setLine(17, false)
      if round < 2 { ioapic.setLine(17, true) }
      #expect(ioapic.hasMessages == false)
      for vector in [0x55, 0x55, 0x54] as [UInt8] {
        if usesRegister {
          ioapic.write(offset: 0x40, byteCount: 4, UInt64(vector))
        } else {
          ioapic.endOfInterrupt(vector: vector)
        }
      }
      #expect(ioapic.readRegister(0x10 + 2 * 17) == (round < 2 ? 0x9055 : 0x8055))
    }
    #expect(ioapic.hasMessages == false)
  }

  /// What Linux does for I/O APICs without an EOI register.
  @Test func `edge-triggered mode forgets remote IRR`() {
    var ioapic = IOAPIC(id: 0)
    ioapic.program(5, 0x8055)
    ioapic.setLine(5, true)
    #expect(ioapic.takeVectors() == [0x55])
    ioapic.writeRegister(0x1A, 0x1_0055)
    #expect(ioapic.readRegister(0x1A) == 0x1_0055)
    ioapic.writeRegister(0x1A, 0x8055)
    #expect(ioapic.takeVectors() == [0x55])
  }

  @Test func `delivery modes`() {
    let rows: [(UInt64, InterruptMessage.DeliveryMode?)] = [
      (0, .fixed), (1, .lowestPriority), (2, .smi), (3, nil), (4, .nmi), (5, .initialize), (6, nil), (7, .extINT),
    ]
    for (bits, mode) in rows {
      for trigger in [0, 0x8000] as [UInt64] {
        var ioapic = IOAPIC(id: 0)
        ioapic.program(0, bits << 8 | trigger | 0x41)
        ioapic.setLine(0, true)
        #expect(ioapic.takeMessage()?.deliveryMode == mode)
        #expect(ioapic.hasMessages == false)
        // Only what has a vector has an EOI to wait for.
        #expect(ioapic.readRegister(0x10) & 0x4000 == (bits < 2 && trigger != 0 ? 0x4000 : 0))
      }
    }
  }

  @Test(arguments: 0..<16)
  func `random sequences do what one does pin by pin`(seed: Int) {
    var random = RandomNumbers(seed: UInt64(seed))
    var ioapic = IOAPIC(id: 0)
    var pins = [ReferencePin](repeating: ReferencePin(), count: 24)
    for step in 0..<4000 {
      let pin = Int.random(in: 0..<24, using: &random)
      // Few vectors, so that pins share them.
      let vector = UInt8.random(in: 0x40..<0x48, using: &random)
      switch Int.random(in: 0..<8, using: &random) {
      case 0..<3:
        let level = Bool.random(using: &random)
        if level && !pins[pin].isHigh && !pins[pin].isLevelTriggered && !pins[pin].isMasked {
          pins[pin].isWaiting = true
        }
        pins[pin].isHigh = level
        pins[pin].request()
        ioapic.setLine(pin, level)
      case 3:
        pins[pin].vector = vector
        pins[pin].isLevelTriggered = Bool.random(using: &random)
        pins[pin].isMasked = random.chance(20)
        if !pins[pin].isLevelTriggered {
          pins[pin].awaitsEnd = false
          if pins[pin].isMasked { pins[pin].isWaiting = false }
        }
        pins[pin].request()
        ioapic.writeRegister(
          UInt8(0x10 + 2 * pin),
          UInt32(vector) | (pins[pin].isLevelTriggered ? 0x8000 : 0) | (pins[pin].isMasked ? 0x1_0000 : 0))
      case 4, 5:
        for index in pins.indices where pins[index].vector == vector && pins[index].awaitsEnd {
          pins[index].awaitsEnd = false
          pins[index].request()
        }
        ioapic.endOfInterrupt(vector: vector)
      default:
        let first = pins.firstIndex { $0.isWaiting }
        #expect(ioapic.takeMessage()?.vector == first.map { pins[$0].vector }, "step \(step)")
        if let first {
          pins[first].isWaiting = false
          pins[first].awaitsEnd = pins[first].isLevelTriggered
        }
      }
      #expect(ioapic.hasMessages == pins.contains { $0.isWaiting }, "step \(step)")
      let entry = ioapic.readRegister(UInt8(0x10 + 2 * pin))
      #expect((entry & 0x1000 != 0) == pins[pin].isWaiting)
      #expect((entry & 0x4000 != 0) == pins[pin].awaitsEnd)
    }
  }

  /// The whole way of a level-triggered interrupt: a line that n devices share gives an interrupt until all are quiet.
  @Test func `a shared line is served until it is low, through mailbox and local APIC`() {
    withLocalAPIC { apic, _ in
      apic.enable(in: .x2APIC)
      let memory = UnsafeMutableRawPointer.allocate(byteCount: PostedInterruptDescriptor.byteCount, alignment: 64)
      defer { memory.deallocate() }
      let descriptor = PostedInterruptDescriptor(at: memory)
      descriptor.clear()
      var ioapic = IOAPIC(id: 0)
      ioapic.program(10, 0x8061)
      var unserved = 5
      ioapic.setLine(10, true)
      var count = 0
      while ioapic.hasMessages {
        if let message = ioapic.takeMessage(), message.matches(apic.identity, isSender: false) {
          #expect(descriptor.post(message) == true)
        }
        #expect(descriptor.drain(into: &apic).isEmpty == true)
        #expect(apic.acknowledge() == 0x61)
        count += 1
        unserved -= 1
        ioapic.setLine(10, unserved > 0)
        guard case .endOfInterrupt(let vector) = apic.writeMSR(0x80B, 0, at: 0) else { break }
        ioapic.endOfInterrupt(vector: vector)
      }
      #expect(count == 5)
      #expect(apic.hasDeliverableInterrupt == false)
    }
  }
}
