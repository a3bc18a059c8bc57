/// What the firmware tables say of a guest's machine.
public struct GuestPlatform: Sendable {
  /// The greatest number of processors that the tables have room for.
  public static var processorLimit: Int { 64 }
  /// The guest-physical address of the local APICs' registers.
  public static var localAPICAddress: UInt32 { UInt32(LocalAPIC.usualAddress) }
  /// The guest-physical address of the I/O APIC's registers.
  public static var ioAPICAddress: UInt32 { UInt32(IOAPIC.address) }
  /// The ISA interrupt that ACPI's events come by: level triggered, active high.
  public static var systemControlInterrupt: UInt8 { 9 }
  /// The input of the I/O APIC to which ISA's interrupt 0, the PIT's, goes.
  public static var timerInput: UInt8 { 2 }

  /// Where the guest's RAM is.
  public let layout: GuestMemoryLayout
  /// The number of processors, from 1 to ``processorLimit``; their local APIC IDs count from 0.
  public let processorCount: Int
  /// What CPUID.01H gives in EAX: family, model and stepping.
  public var processorSignature: UInt32 = 0
  /// What CPUID.01H gives the guest in EDX.
  public var processorFeatures: UInt32 = 0
  /// Whether each processor has a local APIC, and the machine an I/O APIC with 24 inputs.
  public var hasAPICs = false
  /// Whether there is an ``HPET``.
  public var hasHPET = false
  /// Whether there is an ``ACPIPowerManagementTimer``.
  public var hasPowerManagementTimer = false

  /// Describes a machine with the devices of a PC/AT but no keyboard.
  ///
  /// - Parameter processorCount: The number of processors; what is outside of 1 to ``processorLimit`` is taken as the
  ///   nearest of them.
  public init(layout: GuestMemoryLayout, processorCount: Int = 1) {
    self.layout = layout
    self.processorCount = min(max(processorCount, 1), Self.processorLimit)
  }

  /// The I/O APIC's ID: the first that no local APIC has.
  public var ioAPICIdentifier: UInt8 { UInt8(truncatingIfNeeded: processorCount) }
}
