import Boot
import CVMX
import VMX

/// A logical processor of the machine, by its index: 0 is the one that booted.
@frozen
package struct HostProcessor: Equatable {
  /// Less than ``maximumCount``.
  package let index: Int

  /// How many processors the image can run on.
  package static var maximumCount: Int { Int(MAXIMUM_PROCESSOR_COUNT) }

  /// Names a processor.
  @inlinable @inline(__always)
  package init(index: Int) { self.index = index }

  /// The processor that this code runs on.
  ///
  /// TR tells, which a VM exit loads from the host-state area.
  @inlinable
  package static var current: HostProcessor {
    @inline(__always) get {
      HostProcessor(index: (Int(cvmx_task_register()) &- Int(FIRST_TASK_SELECTOR)) >> 4)
    }
  }

  /// The selector in its TR, for the host-state area of a VMCS that it runs.
  package var taskSelector: UInt16 { UInt16(FIRST_TASK_SELECTOR) + UInt16(index) << 4 }

  /// The base of its TSS, for the host-state area.
  package var taskState: UInt64 { address_of_task_state() + UInt64(index) * UInt64(TASK_STATE_STRIDE) }

  /// Interrupts it, so that it leaves HLT, or its guest.
  ///
  /// By an NMI if it takes them, by an external interrupt otherwise. If it is in neither, its next HLT or stay in the guest
  /// ends at once. Kicks that wait are one.
  package func kick() {
    let slot = HostProcessors.slot(self)
    LocalAPIC.send(
      slot.pointee.hostNMI == nil ? .fixed(vector: HostVector.kick) : .nmi, to: slot.pointee.apicID)
  }

  /// Sends it the posted-interrupt notification vector, which makes it leave HLT, but no guest that takes posted
  /// interrupts.
  ///
  /// If it is in neither, the interrupt waits for the next HLT or stay in the guest.
  package func notifyOfPostedInterrupts() {
    LocalAPIC.send(.fixed(vector: HostVector.postedInterrupts), to: HostProcessors.slot(self).pointee.apicID)
  }

  /// From now on NMIs make this processor, the current one, leave its guest or `halt_unless`.
  ///
  /// Its current VMCS is that of the vCPU to which `flag` belongs, and stays it.
  package func takeNMIs(_ flag: HostNMIFlag) {
    HostProcessors.slot(self).pointee.hostNMI = flag
    // A kick that was sent before is an external interrupt.
    cvmx_sti_nop_cli()
  }

  /// From now on NMIs do nothing on this processor, the current one: its guest has ended.
  package func leaveNMIs() { HostProcessors.slot(self).pointee.hostNMI = nil }

  /// An NMI has come.
  func noteNMI() { HostProcessors.slot(self).pointee.hostNMI?.note(on: BareMetalProcessor()) }
}
