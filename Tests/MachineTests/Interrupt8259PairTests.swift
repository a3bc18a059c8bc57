import Machine
import Testing

@Suite struct Interrupt8259PairTests {
  /// The pair as Linux and the BIOS set it up, with nothing masked.
  private func initialized(word4: UInt8 = 0x01) -> Interrupt8259Pair {
    var pair = Interrupt8259Pair()
    for (base, vector, cascade) in [(0x20, 0x30, 0x04), (0xa0, 0x38, 0x02)] as [(UInt16, UInt8, UInt8)] {
      pair.write(port: base, value: 0x11)
      for word in [vector, cascade, word4] { pair.write(port: base + 1, value: word) }
      pair.write(port: base + 1, value: 0)
    }
    return pair
  }

  @Test func `nothing is requested before initialization`() {
    var pair = Interrupt8259Pair()
    for irq in UInt8(0)..<16 { pair.setLine(irq, true) }
    #expect(pair.interruptRequested == false)
  }

  @Test(arguments: (UInt8(0)..<16).filter { $0 != 2 })
  func `a line gives its vector, once for an edge`(irq: UInt8) {
    var pair = initialized()
    pair.setLine(irq, true)
    #expect(pair.interruptRequested == true)
    #expect(pair.acknowledge() == 0x30 + irq)
    #expect(pair.interruptRequested == false)
    for port in [0xa0, 0x20] as [UInt16] { pair.write(port: port, value: 0x20) }
    #expect(pair.interruptRequested == false)
    pair.setLine(irq, false)
    pair.setLine(irq, true)
    #expect(pair.interruptRequested == true)
  }

  @Test(arguments: (UInt8(0)..<16).filter { $0 != 2 })
  func `a request that is withdrawn becomes a spurious IRQ 7`(irq: UInt8) {
    var pair = initialized()
    pair.setLine(irq, true)
    pair.setLine(irq, false)
    #expect(pair.interruptRequested == false)
    #expect(pair.acknowledge() == 0x37)
    for port in [0x20, 0xa0] as [UInt16] {
      pair.write(port: port, value: 0x0b)
      #expect(pair.read(port: port) == 0)
    }
  }

  @Test func `all lines come in the PC's order`() {
    var pair = initialized()
    for irq in UInt8(0)..<16 { pair.setLine(irq, true) }
    var vectors: [UInt8] = []
    while pair.interruptRequested {
      let vector = pair.acknowledge()
      vectors.append(vector - 0x30)
      if vector >= 0x38 { pair.write(port: 0xa0, value: 0x20) }
      pair.write(port: 0x20, value: 0x20)
    }
    #expect(vectors == [0, 1, 8, 9, 10, 11, 12, 13, 14, 15, 3, 4, 5, 6, 7])
  }

  @Test func `a slave's second request nests only in special fully nested mode`() {
    for (word4, nests) in [(0x01, false), (0x11, true)] as [(UInt8, Bool)] {
      var pair = initialized(word4: word4)
      pair.setLine(12, true)
      #expect(pair.acknowledge() == 0x3c)
      pair.setLine(9, true)
      #expect(pair.interruptRequested == nests)
      if nests { #expect(pair.acknowledge() == 0x39) }
      pair.setLine(1, true)
      #expect(pair.acknowledge() == 0x31)
    }
  }

  @Test func `a level-triggered line requests until it goes low`() {
    var pair = initialized()
    pair.write(port: 0x4d0, value: 0xff)
    pair.write(port: 0x4d1, value: 0xff)
    #expect(pair.read(port: 0x4d0) == 0xf8)
    #expect(pair.read(port: 0x4d1) == 0xde)
    for irq in [5, 11] as [UInt8] {
      pair.setLine(irq, true)
      for _ in 0..<3 {
        #expect(pair.acknowledge() == 0x30 + irq)
        #expect(pair.interruptRequested == false)
        if irq >= 8 { pair.write(port: 0xa0, value: 0x20) }
        pair.write(port: 0x20, value: 0x20)
        #expect(pair.interruptRequested == true)
      }
      pair.setLine(irq, false)
      #expect(pair.interruptRequested == false)
    }
  }

  @Test func `polling both chips takes a slave's request`() {
    var pair = initialized()
    pair.setLine(10, true)
    pair.write(port: 0x20, value: 0x0c)
    #expect(pair.read(port: 0x20) == 0x82)
    pair.write(port: 0xa0, value: 0x0c)
    #expect(pair.read(port: 0xa0) == 0x82)
    #expect(pair.interruptRequested == false)
    pair.write(port: 0xa0, value: 0x20)
    pair.write(port: 0x20, value: 0x20)
    #expect(pair.interruptRequested == false)
  }
}
