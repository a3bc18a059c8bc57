import VMCS

/// A virtual processor whose VMCS is not loaded.
///
/// It cannot be copied: `load()` turns it into a `LoadedVCPU`, which only the processor that loaded it can hold, so a
/// vCPU that runs elsewhere cannot be named here at all.
public struct VCPU<P: VMXProcessor>: ~Copyable {
  var region: VMCSRegion<P>
  var state: VCPUState<P>

  /// Makes a vCPU in the state after power-up (SDM, "Processor State After Power-up"): initializes its VMCS region, loads
  /// it once, writes every field that a VM entry uses, and clears it.
  ///
  /// - Parameters:
  ///   - memory: the pages of the vCPU, which nothing else uses.
  ///   - settings: what the vCPU's controls and masks are.
  ///   - host: what a VM exit loads.
  public init(memory: VCPUMemory, settings: VCPUSettings, host: HostState, on processor: P) {
    let region = VMCSRegion(
      initializing: memory.vmcs.pointer, at: memory.vmcs.address,
      revisionIdentifier: UInt32(truncatingIfNeeded: settings.capabilities.basic.rawValue) & 0x7FFF_FFFF, on: processor)
    let state = VCPUState(memory: memory, settings: settings, host: host, on: processor)
    let vmcs = region.load()
    host.write(to: vmcs, rsp: memory.hostRSP, exitControls: settings.controls.exit)
    state.writeControls(to: vmcs)
    GuestResetState.write(to: vmcs, settings: settings)
    self.region = vmcs.clear()
    self.state = state
  }

  init(region: consuming VMCSRegion<P>, state: VCPUState<P>) {
    self.region = region
    self.state = state
  }

  /// Loads the VMCS on this logical processor; panics if that is not the one whose host state it has.
  public consuming func load() -> LoadedVCPU<P> {
    let loaded = LoadedVCPU(self)
    loaded.state.processor.requireHost(loaded.state.hostAPICID)
    return loaded
  }

  /// Loads the VMCS, calls `body`, and clears the VMCS.
  public mutating func whileLoaded<Result>(_ body: (inout LoadedVCPU<P>) -> Result) -> Result {
    var loaded = LoadedVCPU(self)
    let result = body(&loaded)
    self = loaded.unload()
    return result
  }

  /// The value of a register as the guest sees it.
  ///
  /// Registers outside the VMCS are read without loading it.
  public mutating func register(_ register: GuestRegister) -> UInt64 {
    if let value = state.registerOutsideVMCS(register) { return value }
    return whileLoaded { $0.register(register) }
  }

  /// Gives a register a value.
  ///
  /// Registers outside the VMCS are written without loading it.
  public mutating func setRegister(_ register: GuestRegister, to value: UInt64) throws(RegisterError) {
    if state.setRegisterOutsideVMCS(register, to: value) { return }
    // A closure that throws would need an untyped error here.
    let error: RegisterError? = whileLoaded { loaded in
      do throws(RegisterError) {
        try loaded.setRegister(register, to: value)
        return nil
      } catch { return error }
    }
    if let error { throw error }
  }

  /// The descriptor in `segment`.
  public mutating func descriptor(_ segment: GuestSegment) -> GuestDescriptor {
    whileLoaded { $0.descriptor(segment) }
  }

  /// Gives `segment` a descriptor.
  public mutating func setDescriptor(_ segment: GuestSegment, to descriptor: GuestDescriptor) {
    whileLoaded { $0.setDescriptor(segment, to: descriptor) }
  }
}

/// The pages that one vCPU needs: its VMCS, its MSR bitmaps, its virtual-APIC page, and one for the registers outside the
/// VMCS.
public struct VCPUMemory {
  /// The VMCS region.
  public let vmcs: PagePool.Page
  /// The MSR bitmaps.
  public let msrBitmaps: PagePool.Page
  /// `GuestRegisters`, and behind them the host's RSP, for the VM-entry stub.
  public let registers: PagePool.Page
  /// The virtual-APIC page: the registers of the guest's local APIC, which the processor and software share (SDM,
  /// "Virtual APIC State").
  public let virtualAPIC: PagePool.Page

  /// Takes the pages from `pool`; nil if it has too few.
  public init?(from pool: inout PagePool) {
    guard let vmcs = pool.allocate(), let msrBitmaps = pool.allocate(), let registers = pool.allocate(),
      let virtualAPIC = pool.allocate()
    else { return nil }
    (self.vmcs, self.msrBitmaps, self.registers, self.virtualAPIC) = (vmcs, msrBitmaps, registers, virtualAPIC)
  }

  /// Where RSP points after a VM exit: behind the guest's registers, so that the stub can push them.
  var hostRSP: UInt64 {
    UInt64(UInt(bitPattern: registers.pointer)) + UInt64(MemoryLayout<GuestRegisters>.stride)
  }
}
