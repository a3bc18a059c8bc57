import VMCS

/// Where interrupts for each of a machine's virtual processors are left.
public struct ProcessorMailboxes: @unchecked Sendable {
  private let memory: UnsafeMutableRawPointer
  private let address: PhysicalAddress
  /// The number of processors, 1 to 64.
  public let count: Int

  /// The mailboxes of `count` processors.
  ///
  /// - Parameters:
  ///   - memory: ``PostedInterruptDescriptor/byteCount`` bytes for each, aligned to 64, that outlive them. They are made
  ///     empty.
  ///   - address: the physical address of `memory`.
  public init(in memory: UnsafeMutableRawPointer, at address: PhysicalAddress, count: Int) {
    self.memory = memory
    self.address = address
    self.count = count
    for index in 0..<count { self[index].clear() }
  }

  /// The mailbox of the processor with `index`.
  public subscript(index: Int) -> PostedInterruptDescriptor {
    PostedInterruptDescriptor(at: memory + index * PostedInterruptDescriptor.byteCount)
  }

  /// The physical address of the mailbox of the processor with `index`, aligned to 64 bytes.
  public func address(of index: Int) -> PhysicalAddress {
    PhysicalAddress(address.rawValue + UInt64(index * PostedInterruptDescriptor.byteCount))
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

  /// Posts a message to each of `targets`; the processors that have to be told.
  public func post(_ message: InterruptMessage, to targets: ProcessorSet) -> ProcessorKicks {
    var rest = targets
    var kicks = ProcessorKicks()
    while let index = rest.popFirst() {
      guard self[index].post(message) else { continue }
      if message.isForPIR && self[index].hasNotificationVector {
        kicks.notifications.insert(ProcessorSet(index))
      } else {
        kicks.exits.insert(ProcessorSet(index))
      }
    }
    return kicks
  }
}
