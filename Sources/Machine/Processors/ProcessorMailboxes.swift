/// Where interrupts for each of a machine's virtual processors are left.
public struct ProcessorMailboxes: @unchecked Sendable {
  private let memory: UnsafeMutableRawPointer
  /// The number of processors, 1 to 64.
  public let count: Int

  /// The mailboxes of `count` processors.
  ///
  /// - Parameter memory: ``PostedInterruptDescriptor/byteCount`` bytes for each, aligned to 64, that outlive them. They
  ///   are made empty.
  public init(in memory: UnsafeMutableRawPointer, count: Int) {
    self.memory = memory
    self.count = count
    for index in 0..<count { self[index].clear() }
  }

  /// The mailbox of the processor with `index`.
  public subscript(index: Int) -> PostedInterruptDescriptor {
    PostedInterruptDescriptor(at: memory + index * PostedInterruptDescriptor.byteCount)
  }

  /// All processors.
  public var all: ProcessorSet { ProcessorSet(rawValue: ~0 >> UInt64(64 - count)) }

  /// The processors that a message is for.
  ///
  /// Of several for an interrupt of lowest priority it is the first (SDM, "Lowest Priority Delivery Mode", leaves it to
  /// the platform).
  ///
  /// - Parameter sender: the index of the processor that sent it; `nil` for a device.
  public func targets(of message: InterruptMessage, from sender: Int?) -> ProcessorSet {
    var targets: ProcessorSet = []
    for index in 0..<count where message.matches(self[index].identity, isSender: index == sender) {
      targets.insert(ProcessorSet(index))
      if message.deliveryMode == .lowestPriority { break }
    }
    return targets
  }

  /// Posts a message to each of `targets`; the processors that have to be kicked.
  public func post(_ message: InterruptMessage, to targets: ProcessorSet) -> ProcessorSet {
    var rest = targets
    var kicks: ProcessorSet = []
    while let index = rest.popFirst() {
      if self[index].post(message) { kicks.insert(ProcessorSet(index)) }
    }
    return kicks
  }
}
