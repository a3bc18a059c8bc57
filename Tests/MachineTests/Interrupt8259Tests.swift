import Machine
import Testing

/// A 8259A that finds its priorities by walking through the inputs.
private struct SlowChip {
  var irr: Set<Int> = []
  var isr: Set<Int> = []
  var imr: Set<Int> = []
  var high: Set<Int> = []
  var level: Set<Int> = []
  var slaves: Set<Int> = []
  var order = Array(0..<8)
  var automaticEnd = false
  var rotatesOnAutomaticEnd = false
  var specialMask = false
  var specialFullyNested = false

  mutating func setLine(_ input: Int, _ value: Bool) {
    if value {
      if high.insert(input).inserted || level.contains(input) { irr.insert(input) }
    } else {
      high.remove(input)
      irr.remove(input)
    }
  }

  var next: Int? {
    for input in order {
      let isServing = isr.contains(input) && !(specialMask && imr.contains(input))
      let mayNest = !isServing || (specialFullyNested && slaves.contains(input))
      if irr.contains(input) && !imr.contains(input) && mayNest { return input }
      if isServing { return nil }
    }
    return nil
  }

  mutating func acknowledge() -> Int? {
    guard let input = next else { return nil }
    if !level.contains(input) { irr.remove(input) }
    if !automaticEnd {
      isr.insert(input)
    } else if rotatesOnAutomaticEnd {
      makeLowest(input)
    }
    return input
  }

  mutating func makeLowest(_ input: Int) {
    while order.last != input { order.append(order.removeFirst()) }
  }

  mutating func end(_ specific: Int?, rotates: Bool) {
    let found = order.first { isr.contains($0) && !(specialMask && imr.contains($0)) }
    guard let input = specific ?? found else { return }
    isr.remove(input)
    if rotates { makeLowest(input) }
  }
}

private func bits(_ set: Set<Int>) -> UInt8 { set.reduce(0) { $0 | 1 << UInt8($1) } }

@Suite struct Interrupt8259Tests {
  /// ICW4 of every mode; bit 1 is AEOI, bit 4 special fully nested.
  @Test(arguments: [0x01, 0x03, 0x11, 0x13] as [UInt8], [0x00, 0xa4] as [UInt8])
  func `priorities are those that a walk through the inputs finds`(word4: UInt8, levelTriggered: UInt8) {
    var random = RandomNumbers(seed: UInt64(word4) << 8 | UInt64(levelTriggered))
    for _ in 0..<60 {
      var chip = Interrupt8259(isMaster: true)
      var model = SlowChip()
      chip.levelTriggered = levelTriggered
      model.level = Set((0..<8).filter { levelTriggered & 1 << UInt8($0) != 0 })
      chip.write(0x11, isOdd: false)
      chip.write(0x30, isOdd: true)
      chip.write(0x04, isOdd: true)
      chip.write(word4, isOdd: true)
      model.slaves = [2]
      model.automaticEnd = word4 & 2 != 0
      model.specialFullyNested = word4 & 0x10 != 0
      for step in 0..<200 {
        let input = Int.random(in: 0..<8, using: &random)
        switch Int.random(in: 0..<12, using: &random) {
        case 0..<5:
          let level = random.chance(70)
          chip.setLine(UInt8(input), level)
          model.setLine(input, level)
        case 5, 6:
          let answer = chip.acknowledge()
          let expected = model.acknowledge()
          #expect(answer.input.map(Int.init) == expected)
          #expect(answer.vector == 0x30 | UInt8(expected ?? 7))
        case 7:
          chip.write(0x0c, isOdd: false)
          let expected = model.acknowledge().map { 0x80 | UInt8($0) } ?? 0
          #expect(chip.read(isOdd: Bool.random(using: &random)) == expected)
        case 8:
          let mask = UInt8.random(in: 0...255, using: &random)
          chip.write(mask, isOdd: true)
          model.imr = Set((0..<8).filter { mask & 1 << UInt8($0) != 0 })
        case 9:
          let isOn = Bool.random(using: &random)
          chip.write(isOn ? 0x68 : 0x48, isOdd: false)
          model.specialMask = isOn
        default:
          let command = UInt8.random(in: 0..<8, using: &random)
          chip.write(command << 5 | UInt8(input), isOdd: false)
          switch command {
          case 0: model.rotatesOnAutomaticEnd = false
          case 4: model.rotatesOnAutomaticEnd = true
          case 1: model.end(nil, rotates: false)
          case 3: model.end(input, rotates: false)
          case 5: model.end(nil, rotates: true)
          case 6: model.makeLowest(input)
          case 7: model.end(input, rotates: true)
          default: break
          }
        }
        let place: Comment = "step \(step)"
        #expect(chip.isRequesting == (model.next != nil), place)
        #expect(chip.mask == bits(model.imr) && chip.read(isOdd: true) == bits(model.imr), place)
        #expect(chip.inService == bits(model.isr), place)
        #expect(chip.requests == bits(model.irr), place)
        chip.write(0x0b, isOdd: false)
        #expect(chip.read(isOdd: false) == bits(model.isr), place)
        chip.write(0x0a, isOdd: false)
        #expect(chip.read(isOdd: false) == bits(model.irr), place)
      }
    }
  }

  /// Which odd-port writes belong to the initialization, by ICW1.
  @Test(arguments: [(0x10, 2), (0x11, 3), (0x12, 1), (0x13, 2)] as [(UInt8, Int)])
  func `initialization takes the words that ICW1 announces`(word1: UInt8, words: Int) {
    var chip = Interrupt8259(isMaster: true)
    chip.write(word1, isOdd: false)
    for index in 0..<words {
      #expect(chip.mask == 0)
      // An edge now is not taken before the last word.
      chip.setLine(1, index % 2 == 0)
      #expect(chip.isRequesting == false)
      chip.write(0x08, isOdd: true)
    }
    chip.setLine(1, false)
    chip.setLine(1, true)
    #expect(chip.isRequesting == true)
    chip.write(0xfe, isOdd: true)
    #expect(chip.mask == 0xfe)
    #expect(chip.isRequesting == false)
  }

  @Test func `LTIM makes every input level-triggered`() {
    var chip = Interrupt8259(isMaster: true)
    chip.setLine(3, true)
    chip.write(0x19, isOdd: false)
    for word in [0x20, 0x00, 0x01] as [UInt8] { chip.write(word, isOdd: true) }
    #expect(chip.acknowledge().vector == 0x23)
    chip.write(0x20, isOdd: false)
    #expect(chip.isRequesting == true)
    chip.setLine(3, false)
    #expect(chip.isRequesting == false)
  }
}
