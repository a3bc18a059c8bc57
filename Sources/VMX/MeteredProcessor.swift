import VMCS

/// What running a guest has cost so far.
public struct Meter {
  /// VM exits, by basic exit reason; those above 85, which have no name, together in the last.
  public var exits: InlineArray<87, UInt64> = .init(repeating: 0)
  /// VMREADs and VMWRITEs, of all vCPU code.
  public var vmreads: UInt64 = 0, vmwrites: UInt64 = 0
  /// Ticks of the time-stamp counter between VM entry and VM exit, and between VM exit and VM entry.
  public var guestTicks: UInt64 = 0, hostTicks: UInt64 = 0
  /// Ticks while the host waited for an interrupt; part of `hostTicks`.
  public var idleTicks: UInt64 = 0
  fileprivate var lastExit: UInt64 = 0

  /// Starts at zero.
  public init() {}

  /// Adds what another processor has cost, if it has run the guest at all.
  public mutating func add(_ other: Meter) {
    if other.exitCount == 0 { return }
    for reason in exits.indices { exits[reason] &+= other.exits[reason] }
    vmreads &+= other.vmreads
    vmwrites &+= other.vmwrites
    guestTicks &+= other.guestTicks
    hostTicks &+= other.hostTicks
    idleTicks &+= other.idleTicks
  }

  /// All VM exits.
  public var exitCount: UInt64 {
    var sum: UInt64 = 0
    for reason in exits.indices { sum += exits[reason] }
    return sum
  }
}

/// A processor that counts what is asked of it, and passes everything on.
///
/// Counting is a property of the processor, so that code which is not metered pays nothing for it.
@frozen
public struct MeteredProcessor<Base: VMXProcessor>: VMXProcessor {
  @usableFromInline let base: Base
  /// Where the counts are.
  public let meter: UnsafeMutablePointer<Meter>

  /// Counts what is asked of `base` in `meter`.
  public init(_ base: Base, meter: UnsafeMutablePointer<Meter>) {
    self.base = base
    self.meter = meter
    meter.pointee.lastExit = base.timestampCounter
  }

  /// VMREAD, counted; the exit reason also counts the exit.
  @inline(__always)
  public func vmread(_ encoding: UInt32) -> VMREADResult {
    meter.pointee.vmreads &+= 1
    let result = base.vmread(encoding)
    if encoding == VMCSField.exitReason.encoding.rawValue {
      meter.pointee.exits[min(Int(result.value & 0xFFFF), meter.pointee.exits.count - 1)] &+= 1
    }
    return result
  }

  /// VMWRITE, counted.
  @inline(__always)
  public func vmwrite(_ encoding: UInt32, _ value: UInt64) -> Bool {
    meter.pointee.vmwrites &+= 1
    return base.vmwrite(encoding, value)
  }

  /// VMLAUNCH or VMRESUME, with the time on both sides counted.
  @inline(__always)
  public func enter(_ registers: UnsafeMutablePointer<GuestRegisters>, resume: Bool) -> VMXOutcome {
    let entry = base.timestampCounter
    let outcome = base.enter(registers, resume: resume)
    let exit = base.timestampCounter
    meter.pointee.hostTicks &+= entry &- meter.pointee.lastExit
    meter.pointee.guestTicks &+= exit &- entry
    meter.pointee.lastExit = exit
    return outcome
  }

  /// VMXON.
  @inlinable public func vmxon(_ region: PhysicalAddress) -> VMXOutcome { base.vmxon(region) }
  /// VMXOFF.
  @inlinable public func vmxoff() -> VMXOutcome { base.vmxoff() }
  /// VMCLEAR.
  @inlinable public func vmclear(_ region: PhysicalAddress) -> VMXOutcome { base.vmclear(region) }
  /// VMPTRLD.
  @inlinable public func vmptrld(_ region: PhysicalAddress) -> VMXOutcome { base.vmptrld(region) }
  /// VMPTRST.
  @inlinable public func vmptrst() -> PhysicalAddress { base.vmptrst() }
  /// How the VMREAD that has just failed ended.
  @inlinable public func outcomeOfFailedVMREAD(_ encoding: UInt32) -> VMXOutcome {
    base.outcomeOfFailedVMREAD(encoding)
  }
  /// How the VMWRITE that has just failed ended.
  @inlinable public func outcomeOfFailedVMWRITE(_ encoding: UInt32, _ value: UInt64) -> VMXOutcome {
    base.outcomeOfFailedVMWRITE(encoding, value)
  }
  /// INVEPT.
  @inlinable public func invept(_ type: UInt64, _ eptPointer: UInt64) -> VMXOutcome { base.invept(type, eptPointer) }
  /// INVVPID.
  @inlinable public func invvpid(_ type: UInt64, _ vpid: UInt16, _ linearAddress: UInt64) -> VMXOutcome {
    base.invvpid(type, vpid, linearAddress)
  }
  /// The host's hook before VMPTRLD.
  @inlinable public func enterCritical() { base.enterCritical() }
  /// The host's hook after VMCLEAR.
  @inlinable public func exitCritical() { base.exitCritical() }
  /// RDMSR.
  @inlinable public func rdmsr(_ index: UInt32) -> UInt64 { base.rdmsr(index) }
  /// WRMSR.
  @inlinable public func wrmsr(_ index: UInt32, _ value: UInt64) { base.wrmsr(index, value) }
  /// CPUID.
  @inlinable public func cpuid(_ leaf: UInt32, _ subleaf: UInt32) -> CPUIDResult { base.cpuid(leaf, subleaf) }
  /// DR0 to DR3 and DR6.
  @inlinable public func debugRegister(_ number: Int) -> UInt64 { base.debugRegister(number) }
  /// Gives DR0 to DR3 or DR6 a value.
  @inlinable public func setDebugRegister(_ number: Int, to value: UInt64) { base.setDebugRegister(number, to: value) }
  /// XMM0 to XMM15.
  @inlinable public func xmmRegister(_ number: Int) -> XMMRegister { base.xmmRegister(number) }
  /// Gives XMM0 to XMM15 a value.
  @inlinable public func setXMMRegister(_ number: Int, to value: XMMRegister) { base.setXMMRegister(number, to: value) }
  /// WBINVD.
  @inlinable public func wbinvd() { base.wbinvd() }
  /// The end of this logical processor.
  @inlinable public func stop(_ report: PanicReport) -> Never { base.stop(report) }
  /// CR0.
  public var cr0: UInt64 {
    @inlinable get { base.cr0 }
    @inlinable nonmutating set { base.cr0 = newValue }
  }
  /// CR2.
  public var cr2: UInt64 {
    @inlinable get { base.cr2 }
    @inlinable nonmutating set { base.cr2 = newValue }
  }
  /// CR3.
  public var cr3: UInt64 {
    @inlinable get { base.cr3 }
    @inlinable nonmutating set { base.cr3 = newValue }
  }
  /// CR4.
  public var cr4: UInt64 {
    @inlinable get { base.cr4 }
    @inlinable nonmutating set { base.cr4 = newValue }
  }
  /// XCR0.
  public var xcr0: UInt64 {
    @inlinable get { base.xcr0 }
    @inlinable nonmutating set { base.xcr0 = newValue }
  }
  /// RDTSC.
  @inlinable public var timestampCounter: UInt64 { base.timestampCounter }
}
