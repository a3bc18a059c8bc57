import VMCS
import VMX

/// What all processors of a guest share: its memory, its devices, and their time.
///
/// The devices and the extended page tables are used only while `lock` is held. Who uses them takes the lock through the
/// pointer to the machine, then calls the part: a method of the machine itself could be compiled as if nothing else
/// changed the machine meanwhile.
public struct VirtualMachine: ~Copyable {
  /// Held by the processor that uses what is shared.
  public let lock = SpinLock()
  /// The devices.
  public var bus: IOBus
  /// The deadline for which a host processor has set its timer.
  ///
  /// The host keeps it up to date.
  public var armedDeadline = MachineTime.max
  /// The virtual processor whose host processor has set its timer for `armedDeadline`.
  public var deadlineKeeper = 0
  /// Whether the host is taking what the guest sends, so that `HostRequest.output` is not needed.
  public var isOutputDraining = false

  /// What turns the host's time-stamp counter into the guest's time.
  public let clock: MachineClock
  @usableFromInline let memory: GuestMemory
  let backing: PhysicalAddress
  @usableFromInline var tables: ExtendedPageTables

  /// Puts a guest together.
  ///
  /// - Parameter backing: the physical address where the guest's memory begins.
  public init(
    memory: GuestMemory, backing: PhysicalAddress, tables: consuming ExtendedPageTables, bus: consuming IOBus,
    clock: MachineClock
  ) {
    self.memory = memory
    self.backing = backing
    self.tables = tables
    self.bus = bus
    self.clock = clock
  }
}
