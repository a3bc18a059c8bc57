/// The state of the processor at the 64-bit entry point of Linux ("The Linux/x86 Boot Protocol", "64-bit Boot
/// Protocol").
///
/// Paging is on in 64-bit mode, interrupts are off, and the segments are those of the GDT: ``LinuxBootProtocol/codeSelector``
/// in CS, ``LinuxBootProtocol/dataSelector`` in DS, ES and SS. All addresses are both linear and guest-physical.
public struct LinuxEntry: Equatable, Sendable {
  /// RIP: the entry point.
  public let rip: UInt64
  /// RSI: the address of `boot_params`.
  public let rsi: UInt64
  /// RSP: the top of a small stack.
  public let rsp: UInt64
  /// CR3: page tables that map the first 4 GiB to themselves.
  public let cr3: UInt64
  /// The GDTR's base.
  public let gdtBase: UInt64
  /// The GDTR's limit, in bytes.
  public let gdtLimit: UInt32
}
