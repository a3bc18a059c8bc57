import VMCS

/// What Skep decides for a vCPU before it exists.
public struct VCPUSettings: Sendable {
  /// What the processor can do.
  public var capabilities: VMXCapabilities
  /// The control words.
  public var controls: ControlWords
  /// The optional controls, which `controls` has been made with.
  public var options: OptionalControls
  /// The APIC-access page, aligned to 4,096 bytes; used with "virtualize APIC accesses".
  ///
  /// One for all vCPUs of a guest. The extended page tables map the local APIC's page, FEE00000H, to it; nothing is ever
  /// stored there.
  public var apicAccessAddress = PhysicalAddress(0)
  /// The posted-interrupt descriptor, aligned to 64 bytes; used with "process posted interrupts".
  public var postedInterruptDescriptorAddress = PhysicalAddress(0)
  /// The host's vector that notifies of posted interrupts; used with "process posted interrupts".
  public var postedInterruptNotificationVector: UInt8 = 0
  /// CR0's and CR4's masks.
  public var cr0, cr4: ControlRegisterMasks
  /// The guest's extended page tables.
  public var eptPointer: EPTPointer
  /// The tag of the guest's linear translations; not 0.
  ///
  /// Used where the controls enable VPIDs.
  public var vpid: UInt16
  /// What is added to the time-stamp counter for the guest while IA32_TSC_ADJUST is 0: the same for all vCPUs of a guest.
  public var tscOffset: UInt64

  /// Makes settings.
  ///
  /// - Parameter options: those of the `VMXSupport` that `controls` are from.
  public init(
    capabilities: VMXCapabilities, controls: ControlWords, options: OptionalControls = [], supportedCR4: UInt64,
    eptPointer: EPTPointer, vpid: UInt16, tscOffset: UInt64
  ) {
    self.capabilities = capabilities
    self.controls = controls
    self.options = options
    cr0 = .cr0(capabilities.cr0)
    cr4 = .cr4(capabilities.cr4, supported: supportedCR4)
    self.eptPointer = eptPointer
    self.vpid = vpid
    self.tscOffset = tscOffset
  }

  /// Whether the processor has "monitor trap flag".
  var hasMonitorTrapFlag: Bool {
    PrimaryProcessorBasedVMExecutionControls(rawValue: capabilities.settings.primary.allowed1)
      .contains(.monitorTrapFlag)
  }
}

/// The part of a vCPU that is the same whether its VMCS is loaded or not.
@usableFromInline
struct VCPUState<P: VMXProcessor> {
  @usableFromInline let processor: P
  @usableFromInline let registers: UnsafeMutablePointer<GuestRegisters>
  let msrBitmaps: MSRBitmap
  @usableFromInline let virtualAPIC: UnsafeMutableRawPointer
  let virtualAPICAddress: PhysicalAddress
  @usableFromInline let hostNMI: HostNMIFlag
  @usableFromInline let settings: VCPUSettings
  /// The initial APIC ID of the processor whose state VM exits load.
  let hostAPICID: UInt8

  /// The one software shadow of each control word that changes while the guest runs, and of the fields that would be
  /// written often with what they hold already.
  @usableFromInline var primaryControls: PrimaryProcessorBasedVMExecutionControls {
    didSet { updateNeeds() }
  }
  var secondaryControls: SecondaryProcessorBasedVMExecutionControls
  @usableFromInline var tprThreshold: UInt8 = 0
  var eoiExitBitmaps: InlineArray<4, UInt64> = [0, 0, 0, 0]

  /// Whether the VMCS's launch state is "launched", so that VMRESUME is due.
  @usableFromInline var isLaunched = false
  /// Registers that neither the VMCS holds nor the stub saves, while the vCPU is not loaded: loading puts them into the
  /// processor, where the guest uses them and the host does not.
  var cr2: UInt64 = 0
  var debugRegisters: InlineArray<4, UInt64> = [0, 0, 0, 0]
  var dr6 = Self.dr6AfterReset
  /// CR4 as the guest has set it when it last changed a bit that is owned or watched; the others may be stale.
  @usableFromInline var cr4 = CR4(rawValue: 0)
  /// The guest's XCR0, which is in the processor as well while the vCPU is loaded.
  @usableFromInline var xcr0: UInt64 = 1

  @usableFromInline var events = PendingEvents() {
    didSet { updateNeeds() }
  }
  /// Whether events wait or a window is open: kept, since every VM exit asks.
  @usableFromInline private(set) var needsEventPreparation = false
  /// The EPT generation for which this processor's translations are right; the greatest number if there is none.
  @usableFromInline var eptGeneration = UInt64.max
  /// Whether blocking by STI and by MOV SS has ended since the last exit, but the VMCS does not show it.
  @usableFromInline var owesEndOfShadow = false
  /// Whether linear translations tagged with the VPID may be stale.
  @usableFromInline var needsVPIDFlush = true

  init(memory: VCPUMemory, settings: VCPUSettings, host: HostState, on processor: P) {
    self.processor = processor
    self.settings = settings
    hostAPICID = host.initialAPICID
    registers = memory.registers.pointer.bindMemory(to: GuestRegisters.self, capacity: 1)
    registers.initialize(to: GuestRegisters())
    // The processor's signature.
    registers.pointee.rdx = UInt64(processor.cpuid(1, 0).eax)
    hostNMI = HostNMIFlag(behind: memory.registers.pointer)
    msrBitmaps = MSRBitmap(alreadyIn: memory.msrBitmaps)
    virtualAPIC = memory.virtualAPIC.pointer
    virtualAPICAddress = memory.virtualAPIC.address
    primaryControls = settings.controls.primary
    secondaryControls = settings.controls.secondary
  }

  private mutating func updateNeeds() {
    needsEventPreparation = !events.isEmpty || !primaryControls.isDisjoint(with: Self.windows)
  }

  /// The controls that make the guest exit as soon as it can take an event.
  static var windows: PrimaryProcessorBasedVMExecutionControls {
    [.interruptWindowExiting, .nmiWindowExiting, .monitorTrapFlag]
  }

  /// The exceptions that make the guest exit: machine checks are the host's, and the delivery of a debug exception or an
  /// alignment check can cause the next, without end and without an instruction between (CVE-2015-8104, CVE-2015-5307).
  static var exceptions: ExceptionBitmap { [.machineCheck, .debugException, .alignmentCheck] }

  /// Writes the control fields, in the order of SDM Appendix B, each only if it exists with these controls.
  func writeControls(to vmcs: borrowing CurrentVMCS<P>) {
    let controls = settings.controls
    vmcs[.pinBasedVMExecutionControls] = controls.pinBased
    vmcs[.primaryProcessorBasedVMExecutionControls] = controls.primary
    vmcs[.secondaryProcessorBasedVMExecutionControls] = controls.secondary
    vmcs[.primaryVMExitControls] = controls.exit
    vmcs[.vmEntryControls] = controls.entry
    if controls.secondary.contains(.enableVPID) { vmcs[.virtualProcessorIdentifier] = settings.vpid }
    vmcs[.msrBitmapsAddress] = msrBitmaps.address
    vmcs[.tscOffset] = settings.tscOffset
    vmcs[.eptPointer] = settings.eptPointer
    if controls.secondary.contains(.enableENCLSExiting) { vmcs[.enclsExitingBitmap] = ~0 }
    if controls.secondary.contains(.enableENCLVExiting) { vmcs[.enclvExitingBitmap] = ~0 }
    vmcs[.exceptionBitmap] = Self.exceptions
    vmcs[.pageFaultErrorCodeMask] = PageFaultErrorCode(rawValue: 0)
    vmcs[.pageFaultErrorCodeMatch] = PageFaultErrorCode(rawValue: 0)
    vmcs[.cr3TargetCount] = 0
    vmcs[.vmExitMSRStoreCount] = 0
    vmcs[.vmExitMSRLoadCount] = 0
    vmcs[.vmEntryMSRLoadCount] = 0
    vmcs[.vmEntryInterruptionInformation] = VMEntryInterruptionInformation(rawValue: 0)
    vmcs[.cr0GuestHostMask] = CR0(rawValue: settings.cr0.owned)
    vmcs[.cr4GuestHostMask] = CR4(rawValue: settings.cr4.owned)
    writeAPICVirtualization(to: vmcs)
  }

  /// Writes the fields that exist with the optional controls only.
  private func writeAPICVirtualization(to vmcs: borrowing CurrentVMCS<P>) {
    let options = settings.options
    if options.contains(.useTPRShadow) {
      vmcs[.virtualAPICAddress] = virtualAPICAddress
      vmcs[.tprThreshold] = TPRThreshold(rawValue: 0)
    }
    if options.contains(.virtualizeAPICAccesses) { vmcs[.apicAccessAddress] = settings.apicAccessAddress }
    if options.contains(.virtualInterruptDelivery) {
      vmcs[.eoiExitBitmap0] = 0
      vmcs[.eoiExitBitmap1] = 0
      vmcs[.eoiExitBitmap2] = 0
      vmcs[.eoiExitBitmap3] = 0
      vmcs[.guestInterruptStatus] = GuestInterruptStatus(rawValue: 0)
    }
    if options.contains(.processPostedInterrupts) {
      vmcs[.postedInterruptNotificationVector] = UInt16(settings.postedInterruptNotificationVector)
      vmcs[.postedInterruptDescriptorAddress] = settings.postedInterruptDescriptorAddress
    }
    if options.contains(.activateVMXPreemptionTimer) { vmcs[.vmxPreemptionTimerValue] = .max }
  }

  /// The value of a register that the VMCS does not hold; nil if the VMCS holds it.
  func registerOutsideVMCS(_ register: GuestRegister) -> UInt64? {
    switch register {
    case .cr2: cr2
    case .dr0: debugRegisters[0]
    case .dr1: debugRegisters[1]
    case .dr2: debugRegisters[2]
    case .dr3: debugRegisters[3]
    case .dr6: dr6
    default: generalPurposeRegister(register).map { $0.pointee }
    }
  }

  /// Gives a register that the VMCS does not hold a value; false if the VMCS holds it.
  mutating func setRegisterOutsideVMCS(_ register: GuestRegister, to value: UInt64) -> Bool {
    switch register {
    case .cr2: cr2 = value
    case .dr0: debugRegisters[0] = value
    case .dr1: debugRegisters[1] = value
    case .dr2: debugRegisters[2] = value
    case .dr3: debugRegisters[3] = value
    case .dr6: dr6 = value
    default:
      guard let place = generalPurposeRegister(register) else { return false }
      place.pointee = value
    }
    return true
  }

  /// Gives the registers that the VMCS does not hold, and that are in the processor, their values after reset.
  mutating func clearProcessorRegisters() {
    cr2 = 0
    debugRegisters = [0, 0, 0, 0]
    dr6 = Self.dr6AfterReset
  }

  /// Takes what the guest has left in the processor.
  mutating func saveProcessorRegisters() {
    cr2 = processor.cr2
    for number in 0..<4 { debugRegisters[number] = processor.debugRegister(number) }
    dr6 = processor.debugRegister(6)
  }

  /// Puts into the processor what VM entries do not load.
  func loadProcessorRegisters() {
    processor.cr2 = cr2
    for number in 0..<4 { processor.setDebugRegister(number, to: debugRegisters[number]) }
    processor.setDebugRegister(6, to: dr6)
    if processor.cr4 & Self.osxsave != 0 { processor.xcr0 = xcr0 }
  }

  private static var osxsave: UInt64 { 1 << 18 }
  private static var dr6AfterReset: UInt64 { 0xFFFF_0FF0 }

  /// Where the stub keeps a general-purpose register; nil for RSP, which is in the VMCS, and for other registers.
  private func generalPurposeRegister(_ register: GuestRegister) -> UnsafeMutablePointer<UInt64>? {
    guard register.rawValue <= GuestRegister.r15.rawValue, register != .rsp else { return nil }
    return registerFile + Int(register.rawValue)
  }

  /// The sixteen registers as an array, indexed as instructions encode them; the slot of RSP is not in use.
  @usableFromInline
  var registerFile: UnsafeMutablePointer<UInt64> {
    UnsafeMutableRawPointer(registers).assumingMemoryBound(to: UInt64.self)
  }
}
