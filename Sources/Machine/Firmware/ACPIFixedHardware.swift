/// Where ACPI's fixed hardware is among the I/O ports, as the FADT tells the guest (ACPI Specification, "ACPI
/// Register Model").
public enum ACPIFixedHardware {
  /// The port of the PM1a event block: status and enable registers of 2 bytes each.
  public static var pm1aEventBlock: UInt16 { 0x600 }
  /// The port of the PM1a control block: one register of 2 bytes.
  public static var pm1aControlBlock: UInt16 { 0x604 }
  /// The length of the PM1a event block in bytes.
  public static var pm1EventLength: UInt8 { 4 }
  /// The length of the PM1a control block in bytes.
  public static var pm1ControlLength: UInt8 { 2 }
  /// The interrupt request of the 8259As that the system control interrupt uses.
  public static var sciInterrupt: UInt8 { 9 }
  /// The port of the reset register.
  public static var resetRegister: UInt16 { 0xCF9 }
  /// What the guest writes to the reset register.
  public static var resetValue: UInt8 { 6 }
  /// SLP_TYPx of the soft-off state S5, in the PM1 control register.
  public static var softOffSleepType: UInt8 { 5 }
}
