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
  /// The deadline for which the host has set a timer.
  ///
  /// The host keeps it up to date.
  public var armedDeadline = MachineTime.max
  /// Where interrupts for each processor are left.
  public let mailboxes: ProcessorMailboxes
  /// How many processors sleep so that no interrupt wakes them: with RFLAGS.IF = 0, or waiting for a SIPI.
  var sleepers = 0
  /// The page of no contents that the local APIC's address is mapped to with "virtualize APIC accesses".
  let apicAccessPage: PhysicalAddress
  /// The processors whose local APIC is off, moved, or in x2APIC mode: while there is one, accesses to the usual address
  /// are not virtualized, and nothing is mapped there.
  var processorsWithoutAPICAccessPage: ProcessorSet = []
  /// Whether the host is taking what the guest sends, so that `HostRequest.output` is not needed.
  public var isOutputDraining = false

  /// What turns the host's time-stamp counter into the guest's time.
  public let clock: MachineClock
  @usableFromInline let memory: GuestMemory
  let backing: PhysicalAddress
  /// The guest's extended page tables.
  public internal(set) var tables: ExtendedPageTables

  /// Puts a guest together.
  ///
  /// - Parameters:
  ///   - backing: the physical address where the guest's memory begins.
  ///   - apicAccessPage: the page that the settings of the vCPUs name, if they use "virtualize APIC accesses".
  public init(
    memory: GuestMemory, backing: PhysicalAddress, tables: consuming ExtendedPageTables, bus: consuming IOBus,
    clock: MachineClock, mailboxes: ProcessorMailboxes, apicAccessPage: PhysicalAddress
  ) {
    self.memory = memory
    self.backing = backing
    self.tables = tables
    self.bus = bus
    self.clock = clock
    self.mailboxes = mailboxes
    self.apicAccessPage = apicAccessPage
  }

  /// Whether every processor sleeps, and nothing is on its way that could wake one, or can come from a device.
  var isAsleepForEver: Bool {
    mutating get {
      guard sleepers == mailboxes.count, !bus.canSendEvents else { return false }
      for index in 0..<mailboxes.count where mailboxes[index].hasPosted { return false }
      return true
    }
  }
}
