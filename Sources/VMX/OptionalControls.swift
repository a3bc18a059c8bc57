import VMCS

/// The controls that help with a guest's local APIC and its timers, and that a guest can do without.
///
/// SDM, "APIC Virtualization and Virtual Interrupts", "VMX-Preemption Timer".
@frozen
public struct OptionalControls: OptionSet, Sendable {
  /// A bit for each.
  public var rawValue: UInt8

  /// Makes a set from its bits.
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// "Use TPR shadow": MOV to and from CR8 work on the virtual-APIC page.
  @inlinable public static var useTPRShadow: Self { Self(rawValue: 1 << 0) }
  /// "Virtualize APIC accesses": accesses to the APIC-access page exit with their offset, or work on the virtual-APIC page.
  @inlinable public static var virtualizeAPICAccesses: Self { Self(rawValue: 1 << 1) }
  /// "Virtualize x2APIC mode": RDMSR and WRMSR of some of 800H to 8FFH work on the virtual-APIC page.
  ///
  /// It is 1 while the guest's local APIC is in x2APIC mode only.
  @inlinable public static var virtualizeX2APICMode: Self { Self(rawValue: 1 << 2) }
  /// "APIC-register virtualization": reads of most registers, and writes of many, use the virtual-APIC page.
  @inlinable public static var apicRegisterVirtualization: Self { Self(rawValue: 1 << 3) }
  /// "Virtual-interrupt delivery": the processor evaluates, delivers and ends virtual interrupts.
  @inlinable public static var virtualInterruptDelivery: Self { Self(rawValue: 1 << 4) }
  /// "Process posted interrupts": the notification vector makes posted interrupts virtual ones, without an exit.
  @inlinable public static var processPostedInterrupts: Self { Self(rawValue: 1 << 5) }
  /// "Activate VMX-preemption timer": the guest exits when a time has come, or at once for an NMI of the host's.
  @inlinable public static var activateVMXPreemptionTimer: Self { Self(rawValue: 1 << 6) }

  /// All of them.
  @inlinable public static var all: Self { Self(rawValue: 0x7F) }

  /// Those of `self` that a processor with `capabilities` has, less those that need one which is not among them.
  ///
  /// SDM, "VM-Execution Control Fields" of "Checks on VMX Controls".
  public func supported(by capabilities: VMXCapabilities) -> Self {
    let pinBased = PinBasedVMExecutionControls(rawValue: capabilities.settings.pinBased.allowed1)
    let primary = PrimaryProcessorBasedVMExecutionControls(rawValue: capabilities.settings.primary.allowed1)
    let secondary = SecondaryProcessorBasedVMExecutionControls(rawValue: capabilities.secondary.allowed1)
    var result = self
    if !primary.contains(.useTPRShadow) { result.remove(.useTPRShadow) }
    if !secondary.contains(.virtualizeAPICAccesses) { result.remove(.virtualizeAPICAccesses) }
    if !secondary.contains(.virtualizeX2APICMode) { result.remove(.virtualizeX2APICMode) }
    if !secondary.contains(.apicRegisterVirtualization) { result.remove(.apicRegisterVirtualization) }
    if !secondary.contains(.virtualInterruptDelivery) { result.remove(.virtualInterruptDelivery) }
    if !pinBased.contains(.processPostedInterrupts) { result.remove(.processPostedInterrupts) }
    if !pinBased.contains(.activateVMXPreemptionTimer) { result.remove(.activateVMXPreemptionTimer) }

    if !result.contains(.useTPRShadow) {
      result.subtract([.virtualizeX2APICMode, .apicRegisterVirtualization, .virtualInterruptDelivery])
    }
    // Without the timer the host's interrupts are external interrupts. When one of them ends a stretch of the guest's
    // code with RFLAGS.IF = 0, Bochs 2.7 delivers a virtual interrupt that waits (cpu/event.cc, InterruptAcknowledge).
    if !result.contains(.activateVMXPreemptionTimer) { result.remove(.virtualInterruptDelivery) }
    if !result.contains(.virtualInterruptDelivery) { result.remove(.processPostedInterrupts) }
    return result
  }

  /// The pin-based controls that are 1 from the beginning.
  var pinBased: PinBasedVMExecutionControls {
    var controls: PinBasedVMExecutionControls = []
    if contains(.processPostedInterrupts) { controls.insert(.processPostedInterrupts) }
    if contains(.activateVMXPreemptionTimer) { controls.insert(.activateVMXPreemptionTimer) }
    return controls
  }

  /// The primary controls that are 1 from the beginning.
  ///
  /// CR8 exits without the TPR shadow, or the guest would reach the task priority of the host's local APIC.
  var primary: PrimaryProcessorBasedVMExecutionControls {
    contains(.useTPRShadow) ? [.useTPRShadow] : [.cr8LoadExiting, .cr8StoreExiting]
  }

  /// The secondary controls while the local APIC is in `mode`.
  func secondary(in mode: LocalAPICMode) -> SecondaryProcessorBasedVMExecutionControls {
    var controls: SecondaryProcessorBasedVMExecutionControls = []
    if contains(.virtualizeAPICAccesses) && mode == .xAPIC { controls.insert(.virtualizeAPICAccesses) }
    if contains(.virtualizeX2APICMode) && mode == .x2APIC { controls.insert(.virtualizeX2APICMode) }
    if contains(.apicRegisterVirtualization) { controls.insert(.apicRegisterVirtualization) }
    if contains(.virtualInterruptDelivery) { controls.insert(.virtualInterruptDelivery) }
    return controls
  }
}

/// The modes of a local APIC (SDM, "Local APIC Status and Location", "x2APIC Mode").
@frozen
public enum LocalAPICMode: UInt8, Sendable, CaseIterable {
  /// IA32_APIC_BASE.EN is 0.
  case disabled
  /// EN is 1 and EXTD is 0: registers are in memory.
  case xAPIC
  /// EN and EXTD are 1: registers are MSRs.
  case x2APIC
}
