import VMCS

/// One page for a vCPU that says which MSRs the guest reads and writes without a VM exit (SDM, "MSR-Bitmap Address").
public struct MSRBitmap {
  private let page: UnsafeMutableRawPointer

  /// The page's physical address, for the VMCS.
  public let address: PhysicalAddress

  /// What the guest does with an MSR.
  @frozen
  public enum Access: Sendable {
    /// RDMSR.
    case read
    /// WRMSR.
    case write
  }

  /// Fills `page` with ones: every access exits.
  public init(in page: PagePool.Page) {
    self.page = page.pointer
    address = page.address
    page.pointer.initializeMemory(as: UInt8.self, repeating: 0xFF, count: PagePool.pageSize)
  }

  /// The bitmaps that are in `page` already.
  init(alreadyIn page: PagePool.Page) {
    self.page = page.pointer
    address = page.address
  }

  /// Whether `access` to `msr` exits.
  ///
  /// MSRs outside the two ranges of the bitmaps always do.
  public func exits(on access: Access, of msr: MSR) -> Bool {
    guard let bit = Self.bit(of: msr, access) else { return true }
    return page.load(fromByteOffset: bit / 8, as: UInt8.self) >> UInt8(bit % 8) & 1 != 0
  }

  /// Lets the guest do `access` to `msr` without an exit.
  ///
  /// - Precondition: `msr` is in 0…0x1FFF or 0xC0000000…0xC0001FFF.
  public func allow(_ access: Access, of msr: MSR) { set(access, of: msr, exits: false) }

  private func set(_ access: Access, of msr: MSR, exits: Bool) {
    guard let bit = Self.bit(of: msr, access) else { preconditionFailure("the MSR bitmaps do not cover this MSR") }
    let byte = page.load(fromByteOffset: bit / 8, as: UInt8.self)
    let mask: UInt8 = 1 << UInt8(bit % 8)
    page.storeBytes(of: exits ? byte | mask : byte & ~mask, toByteOffset: bit / 8, as: UInt8.self)
  }

  /// Opens the MSRs of the local APIC that the processor virtualizes in x2APIC mode with `options`, and closes the others
  /// from 800H to 8FFH (SDM, "Virtualizing MSR-Based APIC Accesses").
  ///
  /// An MSR that does not exist stays closed, because the processor would not refuse it; so do the current count and the
  /// processor priority, which are computed when they are read, and the interrupt command, whose upper half is elsewhere
  /// in the page than the processor reads it.
  public func setX2APICPassThrough(_ options: OptionalControls) {
    let isVirtualized = options.contains(.virtualizeX2APICMode)
    let isReadable = isVirtualized && options.contains(.apicRegisterVirtualization)
    let isDelivering = isVirtualized && options.contains(.virtualInterruptDelivery)
    for index in 0x800...0x8FF as ClosedRange<UInt32> {
      let msr = MSR(rawValue: index)
      let isTaskPriority = msr == .ia32X2APICTPR
      let isWrittenByDelivery = msr == .ia32X2APICEOI || msr == .ia32X2APICSELFIPI
      set(.read, of: msr, exits: !(isTaskPriority && isVirtualized || isReadable && Self.isInVirtualAPICPage(index)))
      set(.write, of: msr, exits: !(isTaskPriority && isVirtualized || isDelivering && isWrittenByDelivery))
    }
  }

  /// Whether reading an MSR of the local APIC is reading the virtual-APIC page: identification and version, logical
  /// destination, spurious-interrupt vector, ISR, TMR and IRR, error status, the six entries of the local vector table,
  /// initial count and divide configuration.
  private static func isInVirtualAPICPage(_ index: UInt32) -> Bool {
    switch index {
    case 0x802, 0x803, 0x80D, 0x80F...0x828, 0x832...0x838, 0x83E: true
    default: false
    }
  }

  /// Opens the MSRs that a guest has for itself, because the VMCS switches them or because Skep uses none of them.
  public func allowPassThrough(with controls: ControlWords) {
    // Guest-state fields of the VMCS. WRMSR checks IA32_EFER, and a VM exit stores LMA into "IA-32e mode guest".
    allowReadsAndWrites(of: .ia32FSBASE)
    allowReadsAndWrites(of: .ia32GSBASE)
    allowReadsAndWrites(of: .ia32SYSENTERCS)
    allowReadsAndWrites(of: .ia32SYSENTERESP)
    allowReadsAndWrites(of: .ia32SYSENTEREIP)
    allowReadsAndWrites(of: .ia32EFER)
    if controls.switchesPAT { allowReadsAndWrites(of: .ia32PAT) }
    // Of SYSCALL and SWAPGS, neither of which Skep executes.
    allowReadsAndWrites(of: .ia32STAR)
    allowReadsAndWrites(of: .ia32LSTAR)
    allowReadsAndWrites(of: .ia32CSTAR)
    allowReadsAndWrites(of: .ia32FMASK)
    allowReadsAndWrites(of: .ia32KERNELGSBASE)
    // Of RDTSCP and RDPID, likewise.
    if controls.secondary.contains(.enableRDTSCP) { allowReadsAndWrites(of: .ia32TSCAUX) }
    // RDMSR adds the TSC offset as RDTSC does; WRMSR would move the host's counter.
    allow(.read, of: .ia32TIMESTAMPCOUNTER)
  }

  private func allowReadsAndWrites(of msr: MSR) {
    allow(.read, of: msr)
    allow(.write, of: msr)
  }

  /// Where the bit of `msr` is: the reads of low and of high MSRs have 1 KiB each, then the writes.
  private static func bit(of msr: MSR, _ access: Access) -> Int? {
    let index = Int(msr.rawValue & 0x1FFF)
    let half = access == .read ? 0 : 2048 * 8
    switch msr.rawValue & ~0x1FFF {
    case 0: return half + index
    case 0xC000_0000: return half + 1024 * 8 + index
    default: return nil
    }
  }
}
