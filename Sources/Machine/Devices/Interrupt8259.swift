/// One 8259A programmable interrupt controller.
///
/// It knows its eight inputs by their level, and answers two questions: whether its INT output is active, and which
/// input an acknowledgement takes. It does nothing by itself; ``Interrupt8259Pair`` wires two of them as a PC does.
public struct Interrupt8259: ~Copyable {
  /// The levels of the inputs IR0 to IR7, one bit each.
  public private(set) var lines: UInt8 = 0
  /// The inputs that are level-triggered by the edge/level control register; the others are edge-triggered.
  public var levelTriggered: UInt8 = 0
  /// The in-service register, ISR.
  public private(set) var inService: UInt8 = 0
  /// The interrupt mask register, IMR.
  ///
  /// All inputs are masked until the guest has initialized the chip.
  public private(set) var mask: UInt8 = 0xff
  /// Which inputs have a slave behind them, one bit each (ICW3 of a master).
  ///
  /// Zero for a slave.
  public private(set) var slaves: UInt8 = 0

  /// Whether the next read is a poll: an acknowledgement that gives the input instead of the vector.
  public private(set) var polls = false

  private let isMaster: Bool
  private var edges: UInt8 = 0
  private var vectorBase: UInt8 = 0
  private var lowestPriority: UInt8 = 7
  private var expected = Expected.nothing
  private var initialization: UInt8 = 0
  private var modes: UInt8 = 0
  private var readsInService = false
  private var specialMask = false
  private var rotatesOnAutomaticEnd = false

  /// The initialization command word that the next write to the odd port is.
  private enum Expected: UInt8 {
    case nothing, word2, word3, word4
  }

  /// Bits of ICW1 and ICW4.
  private enum Bit {
    static var word4Needed: UInt8 { 0x01 }
    static var single: UInt8 { 0x02 }
    static var levelTriggered: UInt8 { 0x08 }
    static var automaticEnd: UInt8 { 0x02 }
    static var specialFullyNested: UInt8 { 0x10 }
  }

  /// Makes a chip as it is after power-on: not initialized, nothing requested.
  ///
  /// - Parameter isMaster: what the SP/EN pin says; only a master can have slaves.
  public init(isMaster: Bool) {
    self.isMaster = isMaster
  }

  /// The interrupt request register, IRR.
  public var requests: UInt8 {
    let level = initialization & Bit.levelTriggered != 0 ? 0xff : levelTriggered
    return (edges & ~level) | (lines & level)
  }

  /// Whether the INT output is active.
  public var isRequesting: Bool { requests & ~mask != 0 && candidates != 0 }

  /// Sets the level of one input.
  ///
  /// An edge-triggered request that is withdrawn before its acknowledgement is forgotten, as on the chip.
  ///
  /// - Parameters:
  ///   - input: 0 to 7.
  ///   - level: true for high.
  public mutating func setLine(_ input: UInt8, _ level: Bool) {
    let bit: UInt8 = 1 << (input & 7)
    if level {
      edges |= bit & ~lines
      lines |= bit
    } else {
      lines &= ~bit
      edges &= ~bit
    }
  }

  /// Answers the processor's interrupt acknowledge cycle.
  ///
  /// - Returns: the vector, and the input that it is for; `nil` for the input when there was no request any more. The
  ///   vector is then that of input 7 and nothing is in service.
  public mutating func acknowledge() -> (vector: UInt8, input: UInt8?) {
    let found = candidates
    guard found != 0 else { return (vectorBase | 7, nil) }
    let input = unrotate(found)
    let bit: UInt8 = 1 << input
    edges &= ~bit
    if modes & Bit.automaticEnd == 0 {
      inService |= bit
    } else if rotatesOnAutomaticEnd {
      lowestPriority = input
    }
    return (vectorBase | input, input)
  }

  /// Reads the even (`isOdd` false) or odd port.
  ///
  /// A poll that OCW3 has asked for comes first, on either port.
  public mutating func read(isOdd: Bool) -> UInt8 {
    if polls {
      polls = false
      guard let input = acknowledge().input else { return 0 }
      return 0x80 | input
    }
    if isOdd { return mask }
    return readsInService ? inService : requests
  }

  /// Writes the even (`isOdd` false) or odd port.
  public mutating func write(_ value: UInt8, isOdd: Bool) {
    switch (isOdd, value & 0x18) {
    case (true, _): writeOdd(value)
    case (false, 0x00): endOrRotate(value)
    case (false, 0x08): selectModes(value)
    default: initialize(value)
    }
  }

  // MARK: Priority

  /// The requests that may interrupt now, rotated so that bit 0 has the highest priority.
  private var candidates: UInt8 {
    let waiting = requests & ~mask
    guard expected == .nothing else { return 0 }
    let serving = highestInService
    // Everything before the highest one in service; all eight when nothing is.
    var allowed = serving &- 1
    if modes & Bit.specialFullyNested != 0 { allowed |= serving & rotate(slaves) }
    return rotate(waiting) & allowed
  }

  /// The bit of highest priority of those in service, rotated; zero if there is none that counts.
  private var highestInService: UInt8 {
    let serving = rotate(specialMask ? inService & ~mask : inService)
    return serving & (0 &- serving)
  }

  private func rotate(_ bits: UInt8) -> UInt8 {
    // The byte twice, so that a shift brings in from above what it drops below.
    UInt8(truncatingIfNeeded: (UInt32(bits) &* 0x101) &>> UInt32((lowestPriority &+ 1) & 7))
  }

  /// The input that the lowest bit set in `rotated` stands for.
  private func unrotate(_ rotated: UInt8) -> UInt8 {
    (UInt8(truncatingIfNeeded: rotated.trailingZeroBitCount) &+ lowestPriority &+ 1) & 7
  }

  // MARK: Command words

  /// ICW1.
  private mutating func initialize(_ value: UInt8) {
    initialization = value
    expected = .word2
    edges = 0
    inService = 0
    mask = 0
    slaves = 0
    lowestPriority = 7
    modes = 0
    readsInService = false
    polls = false
    specialMask = false
    rotatesOnAutomaticEnd = false
  }

  /// ICW2 to ICW4 in their order, then OCW1.
  private mutating func writeOdd(_ value: UInt8) {
    let afterWord3 = initialization & Bit.word4Needed != 0 ? Expected.word4 : .nothing
    switch expected {
    case .nothing:
      mask = value
    case .word2:
      vectorBase = value & 0xf8
      expected = initialization & Bit.single != 0 ? afterWord3 : .word3
    case .word3:
      slaves = isMaster ? value : 0
      expected = afterWord3
    case .word4:
      modes = value
      expected = .nothing
    }
  }

  /// OCW2: the end of an interrupt, and the rotation of priorities.
  private mutating func endOrRotate(_ value: UInt8) {
    let rotates = value & 0x80 != 0
    let isSpecific = value & 0x40 != 0
    guard value & 0x20 != 0 else {
      if !isSpecific {
        rotatesOnAutomaticEnd = rotates
      } else if rotates {
        lowestPriority = value & 7
      }
      return
    }
    var input = value & 7
    if !isSpecific {
      guard highestInService != 0 else { return }
      input = unrotate(highestInService)
    }
    inService &= ~(1 << input)
    if rotates { lowestPriority = input }
  }

  /// OCW3: special mask mode, poll, and which register the even port reads.
  private mutating func selectModes(_ value: UInt8) {
    if value & 0x40 != 0 { specialMask = value & 0x20 != 0 }
    if value & 0x04 != 0 {
      polls = true
    } else if value & 0x02 != 0 {
      readsInService = value & 0x01 != 0
    }
  }
}
