/// The two 8259A of a PC: IRQ 0 to 7 on the master, IRQ 8 to 15 on a slave behind the master's input 2.
///
/// Ports 0x20, 0x21 (master), 0xa0, 0xa1 (slave), 0x4d0 and 0x4d1 (edge/level control).
public struct Interrupt8259Pair: ~Copyable {
  private var master = Interrupt8259(isMaster: true)
  private var slave = Interrupt8259(isMaster: false)

  /// The level of the processor's INTR input.
  ///
  /// Kept, not computed, because it is looked at before every VM entry.
  public private(set) var interruptRequested = false

  /// Inputs that are always edge-triggered: the timer, the keyboard and the cascade; the clock and the FPU.
  private static var edgeOnly: (master: UInt8, slave: UInt8) { (0x07, 0x21) }

  /// Makes a pair that is not initialized.
  public init() {}

  /// Sets the level of an interrupt line.
  ///
  /// - Parameters:
  ///   - irq: 0 to 15. Line 2 is the cascade and is ignored.
  ///   - level: true for active.
  @inline(__always)
  public mutating func setLine(_ irq: UInt8, _ level: Bool) {
    // Devices say their level again and again; it seldom changes.
    let lines = UInt16(slave.lines) << 8 | UInt16(master.lines)
    if (lines & (1 << UInt16(irq)) != 0) != level { changeLine(irq, level) }
  }

  private mutating func changeLine(_ irq: UInt8, _ level: Bool) {
    switch irq {
    case 2, 16...: break
    case 0..<8:
      master.setLine(irq, level)
      updateMaster()
    default:
      slave.setLine(irq & 7, level)
      updateSlave()
    }
  }

  /// Answers the processor's interrupt acknowledge cycle.
  ///
  /// - Returns: the vector; that of IRQ 7, with nothing in service, when no line requests any more. The spurious
  ///   IRQ 15 of two separate chips does not come: here the slave's request never goes away between their cycles.
  public mutating func acknowledge() -> UInt8 {
    let (vector, input) = master.acknowledge()
    guard input == 2, master.slaves & 0x04 != 0 else {
      updateMaster()
      return vector
    }
    let slaveVector = slave.acknowledge().vector
    dropCascade()
    return slaveVector
  }

  /// Reads one of the pair's ports; any other port reads 0xff.
  public mutating func read(port: UInt16) -> UInt8 {
    switch port {
    case 0x20, 0x21:
      let isAcknowledgement = master.polls
      let value = master.read(isOdd: port & 1 != 0)
      if isAcknowledgement { updateMaster() }
      return value
    case 0xa0, 0xa1:
      let isAcknowledgement = slave.polls
      let value = slave.read(isOdd: port & 1 != 0)
      if isAcknowledgement { dropCascade() }
      return value
    case 0x4d0: return master.levelTriggered
    case 0x4d1: return slave.levelTriggered
    default: return 0xff
    }
  }

  /// Writes one of the pair's ports; any other port is ignored.
  public mutating func write(port: UInt16, value: UInt8) {
    switch port {
    case 0x20, 0x21:
      master.write(value, isOdd: port & 1 != 0)
      updateMaster()
    case 0xa0, 0xa1:
      slave.write(value, isOdd: port & 1 != 0)
      updateSlave()
    case 0x4d0:
      master.levelTriggered = value & ~Self.edgeOnly.master
      updateMaster()
    case 0x4d1:
      slave.levelTriggered = value & ~Self.edgeOnly.slave
      updateSlave()
    default: return
    }
  }

  /// The slave's INT output goes low when its request is taken, and up again if there is another one.
  private mutating func dropCascade() {
    master.setLine(2, false)
    updateSlave()
  }

  private mutating func updateSlave() {
    master.setLine(2, slave.isRequesting)
    updateMaster()
  }

  private mutating func updateMaster() {
    interruptRequested = master.isRequesting
  }
}
