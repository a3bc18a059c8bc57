import Synchronization
import VMCS

/// Remembers that an NMI of the host's has come while its processor was in VMX root operation.
///
/// The NMI's handler sets it and makes the guest exit at once when it is entered next, by a VMX-preemption timer of 0. So
/// an NMI, which cannot be held off as an interrupt can, makes a processor leave its guest whenever it comes (SDM,
/// "VMX-Preemption Timer"). The byte is behind the guest's registers and the host's RSP, in the page that the VM-entry
/// stub uses.
@frozen
public struct HostNMIFlag: Sendable {
  @usableFromInline nonisolated(unsafe) let flag: UnsafeMutablePointer<Atomic<Bool>>

  private static var offset: Int { 136 }

  /// Makes the flag in a page of the guest's registers; it is clear.
  init(behind registers: UnsafeMutableRawPointer) {
    flag = (registers + Self.offset).bindMemory(to: Atomic<Bool>.self, capacity: 1)
    flag.initialize(to: Atomic(false))
  }

  /// The byte's address: 0 is clear.
  public var address: UInt { UInt(bitPattern: flag) }

  /// Whether an NMI has come since the flag was cleared.
  ///
  /// Ordered, so that the look is not moved in front of the VMWRITE before it.
  @inlinable
  public var hasCome: Bool {
    @inline(__always) get { flag.pointee.load(ordering: .sequentiallyConsistent) }
  }

  /// Called by the NMI's handler, on the processor whose current VMCS has the guest's "activate VMX-preemption timer".
  public func note<P: VMXProcessor>(on processor: P) {
    flag.pointee.store(true, ordering: .sequentiallyConsistent)
    processor.expirePreemptionTimer()
  }

  /// Called before what the NMI was for is looked at.
  @inlinable @inline(__always)
  public func clear() { flag.pointee.store(false, ordering: .sequentiallyConsistent) }
}
