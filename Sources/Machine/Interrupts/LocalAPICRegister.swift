/// The registers of a local APIC by their offset in its page, and by MSR index in x2APIC mode (SDM, "Local APIC Register
/// Address Map" and "x2APIC Register Address Space").
///
/// The MSR of a register is 800H plus a sixteenth of its offset. The virtual-APIC page of a VMCS has the same layout.
public enum LocalAPICRegister {
  /// Local APIC ID: bits 31:24 in xAPIC mode, all 32 in x2APIC mode; read-only here, as on recent processors.
  @inlinable public static var id: Int { 0x020 }
  /// Local APIC Version, read-only.
  @inlinable public static var version: Int { 0x030 }
  /// Task Priority Register, TPR.
  @inlinable public static var taskPriority: Int { 0x080 }
  /// Processor Priority Register, PPR, read-only.
  @inlinable public static var processorPriority: Int { 0x0A0 }
  /// EOI, write-only.
  @inlinable public static var endOfInterrupt: Int { 0x0B0 }
  /// Logical Destination Register, LDR; read-only in x2APIC mode.
  @inlinable public static var logicalDestination: Int { 0x0D0 }
  /// Destination Format Register, DFR; xAPIC mode only.
  @inlinable public static var destinationFormat: Int { 0x0E0 }
  /// Spurious-Interrupt Vector Register, SVR.
  @inlinable public static var spuriousInterruptVector: Int { 0x0F0 }
  /// In-Service Register, ISR: the first of eight.
  @inlinable public static var inService: Int { 0x100 }
  /// Trigger Mode Register, TMR: the first of eight.
  @inlinable public static var triggerMode: Int { 0x180 }
  /// Interrupt Request Register, IRR: the first of eight.
  @inlinable public static var interruptRequest: Int { 0x200 }
  /// Error Status Register, ESR.
  @inlinable public static var errorStatus: Int { 0x280 }
  /// Interrupt Command Register, ICR: bits 31:0, or all 64 bits in x2APIC mode.
  @inlinable public static var interruptCommand: Int { 0x300 }
  /// ICR, bits 63:32; xAPIC mode only.
  @inlinable public static var interruptCommandHigh: Int { 0x310 }
  /// LVT Timer Register.
  @inlinable public static var timer: Int { 0x320 }
  /// LVT Thermal Sensor Register.
  @inlinable public static var thermalSensor: Int { 0x330 }
  /// LVT LINT0 Register.
  @inlinable public static var lint0: Int { 0x350 }
  /// LVT LINT1 Register.
  @inlinable public static var lint1: Int { 0x360 }
  /// LVT Error Register.
  @inlinable public static var error: Int { 0x370 }
  /// Initial Count Register of the timer.
  @inlinable public static var initialCount: Int { 0x380 }
  /// Current Count Register of the timer, read-only; computed when read, so its place in the page stays 0.
  @inlinable public static var currentCount: Int { 0x390 }
  /// Divide Configuration Register of the timer.
  @inlinable public static var divideConfiguration: Int { 0x3E0 }
  /// SELF IPI, write-only; x2APIC mode only.
  @inlinable public static var selfIPI: Int { 0x3F0 }

  /// The MSR of the register at `offset` in x2APIC mode.
  @inlinable
  public static func msr(at offset: Int) -> UInt32 { 0x800 | UInt32(truncatingIfNeeded: offset &>> 4) }

  /// The registers that can be read in xAPIC mode: bit n is the register at offset 16 × n.
  ///
  /// APR, EOI and RRD are among them and read 0.
  static var readable: UInt64 {
    // 020H, 030H, 080H to 0F0H; ISR, TMR, IRR; 280H; 300H to 390H; 3E0H
    0xFF0C | 0xFF_FFFF << 16 | 1 << 40 | 0x3FF << 48 | 1 << 62
  }

  /// The registers that can be read in x2APIC mode, as in `readable`.
  static var readableByMSR: UInt64 {
    // Neither APR, EOI, RRD and DFR, nor the upper half of ICR.
    readable & ~(1 << 0x09 | 1 << 0x0B | 1 << 0x0C | 1 << 0x0E | 1 << 0x31)
  }
}
