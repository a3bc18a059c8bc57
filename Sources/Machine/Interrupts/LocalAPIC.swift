import VMX

/// The local APIC of one processor, in all its modes (SDM, "Advanced Programmable Interrupt Controller (APIC)").
///
/// The registers are in a page of memory in the layout of xAPIC mode, which is also that of the virtual-APIC page of a
/// VMCS: what the processor does there on its own and what is done here add up. Only the thread of the processor that
/// owns it may touch it; others post to its ``PostedInterruptDescriptor``. Time is the host's time-stamp counter, which
/// is also the timer's clock.
public struct LocalAPIC: ~Copyable {
  @usableFromInline let page: UnsafeMutableRawPointer
  /// The initial APIC ID, which never changes.
  public let id: UInt32
  /// IA32_APIC_BASE.
  public internal(set) var base: UInt64
  /// The mode, as IA32_APIC_BASE says it.
  public internal(set) var mode = LocalAPICMode.xAPIC
  let reservedBaseBits: UInt64

  // Derived from the page, and kept because they are looked at again and again.

  /// Whether bit 8 of SVR is 1: interrupts with a vector are taken.
  public internal(set) var isSoftwareEnabled = false
  /// Whether the processor takes what an 8259A at LINT0 requests.
  ///
  /// That is so if LINT0 is unmasked with delivery mode ExtINT, and in a disabled APIC, where the pin is the
  /// processor's INTR.
  public internal(set) var acceptsExtINT = false
  /// Whether an interrupt waits whose priority is above the processor's: `acknowledge()` has one to give.
  ///
  /// With virtual-interrupt delivery it is false, because the processor finds out by itself.
  @inlinable
  public var hasDeliverableInterrupt: Bool { isDeliverable }
  @usableFromInline var isDeliverable = false
  /// The TPR that `hasDeliverableInterrupt` was decided with.
  @usableFromInline var taskPriority: UInt8 = 0
  /// The highest vector in IRR and in ISR; 0 for none.
  @usableFromInline var highestRequest: UInt8 = 0
  @usableFromInline var highestInService: UInt8 = 0
  /// Bit n: whether the n-th of the eight registers of IRR and ISR is not 0.
  @usableFromInline var requestWords: UInt8 = 0
  @usableFromInline var inServiceWords: UInt8 = 0
  /// Whether TMR has changed since ``takeTriggerModeChange()``.
  @usableFromInline var triggerModeChanged = false
  /// Whether IRR or ISR has changed other than by the processor since ``takeVirtualChange()``.
  @usableFromInline var virtualStateChanged = false
  /// Whether the processor evaluates and delivers interrupts itself.
  ///
  /// Then what is derived from IRR and ISR is not kept.
  public internal(set) var usesVirtualInterruptDelivery = false

  /// Whether an interrupt waits in IRR, or has to be made known to the processor that delivers by itself.
  @inlinable
  public var needsAttention: Bool { usesVirtualInterruptDelivery ? virtualStateChanged : highestRequest != 0 }

  /// The errors since the last write to ESR.
  var errors: UInt32 = 0
  /// The levels of LINT0 and LINT1, bits 0 and 1.
  var pins: UInt8 = 0
  /// Whether LINT0 has requested an interrupt by its level that has not ended: remote IRR.
  var pinAwaitsEnd = false
  @usableFromInline var timer = LocalAPICTimer()

  /// A local APIC as it is after power-up: in xAPIC mode at FEE00000H, disabled by software.
  ///
  /// - Parameters:
  ///   - page: 4 KiB, aligned, that outlive it. All of it is initialized.
  ///   - id: the initial APIC ID; below 255 to be usable in xAPIC mode.
  ///   - isBootstrapProcessor: bit 8 of IA32_APIC_BASE.
  ///   - physicalAddressWidth: MAXPHYADDR of the guest, 36 to 52.
  ///   - hasX2APICMode: whether the guest's CPUID says that there is an x2APIC mode; EXTD is reserved if not.
  public init(
    page: UnsafeMutableRawPointer, id: UInt32, isBootstrapProcessor: Bool, physicalAddressWidth: UInt8,
    hasX2APICMode: Bool = true
  ) {
    self.page = page
    self.id = id
    base = 0xFEE0_0000 | 1 << 11 | (isBootstrapProcessor ? 1 << 8 : 0)
    reservedBaseBits = ~0 << UInt64(physicalAddressWidth & 63) | 0x2FF | (hasX2APICMode ? 0 : 1 << 10)
    page.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
    reset()
  }

  /// The guest-physical address of the registers after power-up.
  @inlinable public static var usualAddress: UInt64 { 0xFEE0_0000 }
  /// BSP of IA32_APIC_BASE.
  @inlinable public static var bootstrapProcessorBit: UInt64 { 1 << 8 }

  // MARK: State

  /// What other processors have to know of it.
  public var identity: LocalAPICIdentity {
    LocalAPICIdentity(
      id: id, mode: mode, ldr: load(LocalAPICRegister.logicalDestination),
      dfr: load(LocalAPICRegister.destinationFormat), isSoftwareEnabled: isSoftwareEnabled)
  }

  /// The guest-physical address of the page with the registers; `nil` if they are not in memory.
  public var registersAddress: UInt64? { mode == .xAPIC ? base & ~0xFFF : nil }

  /// INIT: all registers as after power-up, but not the mode and the ID (SDM, "Local APIC State After It Receives an
  /// INIT Reset" and "x2APIC States").
  public mutating func initialize() {
    reset()
  }

  /// Programs what firmware leaves to an operating system: virtual wire mode by LINT0 (MultiProcessor Specification,
  /// "Virtual Wire Mode").
  ///
  /// Enabled by software with spurious vector 0FH, LINT0 as ExtINT, LINT1 as NMI.
  public mutating func enterVirtualWireMode() {
    _ = write(offset: LocalAPICRegister.spuriousInterruptVector, 0x10F, at: 0)
    _ = write(offset: LocalAPICRegister.lint0, 0x700, at: 0)
    _ = write(offset: LocalAPICRegister.lint1, 0x400, at: 0)
  }

  /// SDM, "Local APIC State After Power-Up or Reset".
  mutating func reset() {
    for offset in stride(from: 0, to: 0x400, by: 16) { store(offset, 0) }
    store(LocalAPICRegister.interruptCommand + 4, 0)
    // Version 14H; LVT entries up to 5; EOI broadcasts can be suppressed.
    store(LocalAPICRegister.version, 1 << 24 | 5 << 16 | 0x14)
    store(LocalAPICRegister.destinationFormat, ~0)
    store(LocalAPICRegister.spuriousInterruptVector, 0xFF)
    for offset in stride(from: LocalAPICRegister.timer, through: LocalAPICRegister.error, by: 16) {
      store(offset, Self.masked)
    }
    storeIdentification()
    isSoftwareEnabled = false
    errors = 0
    pinAwaitsEnd = false
    timer.reset()
    triggerModeChanged = true
    virtualStateChanged = true
    updateExtINT()
    reload()
  }

  /// ID and LDR as the mode has them.
  mutating func storeIdentification() {
    if mode == .x2APIC {
      store(LocalAPICRegister.id, id)
      store(LocalAPICRegister.logicalDestination, LocalAPICIdentity.logicalX2APICID(of: id))
    } else {
      store(LocalAPICRegister.id, id << 24)
    }
  }

  mutating func updateExtINT() {
    acceptsExtINT = mode == .disabled || load(LocalAPICRegister.lint0) & (Self.masked | 0x700) == 0x700
  }

  /// The mask bit of the LVT's registers.
  static var masked: UInt32 { 1 << 16 }

  // MARK: The page

  @inlinable @inline(__always)
  func load(_ offset: Int) -> UInt32 { page.load(fromByteOffset: offset, as: UInt32.self) }

  @inlinable @inline(__always)
  func store(_ offset: Int, _ value: UInt32) { page.storeBytes(of: value, toByteOffset: offset, as: UInt32.self) }

  /// The offset of the register that `vector` has its bit in, from the first of eight.
  @inlinable @inline(__always)
  static func register(of vector: UInt8, from first: Int) -> Int { first &+ Int(vector &>> 5) &* 16 }

  @inlinable @inline(__always)
  static func bit(of vector: UInt8) -> UInt32 { 1 &<< UInt32(vector & 31) }
}
