import VMCS
import VMEntryChecks

/// States of every mode, from which all others are made.
///
/// On a processor that has what they need they are valid, all but
/// `blocked`.
public enum ProbeBase: Int, CaseIterable, Sendable {
  /// 64-bit mode with EPT.
  case long
  /// Real-address mode, as "unrestricted guest" allows it.
  case real
  /// 32-bit paging without EPT and without secondary controls.
  case protected
  /// PAE paging with EPT: the PDPTEs are fields.
  case pae
  /// PAE paging without EPT: the PDPTEs are in memory.
  case paeInMemory
  /// Virtual-8086 mode.
  case virtual8086
  /// Protected mode without paging, as "unrestricted guest" allows it.
  case unpaged
  /// Compatibility mode.
  case compatibility
  /// 64-bit mode at CPL 3.
  case user
  /// 16-bit segments of many types at CPL 3, with an LDT.
  case segments
  /// 64-bit mode with every control that can be 1 at the same time.
  case rich
  /// As `rich`, but no entry is possible since the host's TR is null: here states can be tried that would do harm.
  case blocked
  /// A hardware exception with an error code is injected.
  case exception
  /// A software interrupt is injected.
  case softwareInterrupt
  /// MSRs are loaded.
  case msrLoad
  /// The activity state is HLT, with a pending debug exception.
  case halted
  /// Blocking by MOV SS, with a linked VMCS.
  case blocking

  /// Whether states that are made from this base can enter the guest, or fail after the host state has been checked.
  var isEnterable: Bool { self != .blocked }

  /// Whether "IA-32e mode guest" is 1.
  var isInIA32eMode: Bool {
    switch self {
    case .real, .protected, .pae, .paeInMemory, .virtual8086, .unpaged, .segments, .softwareInterrupt: false
    default: true
    }
  }
}

extension ProbeState {
  /// Makes this the state `base`.
  func set(_ base: ProbeBase, _ environment: ProbeEnvironment) {
    for index in 0..<VMCSFieldDescription.count { values[index] = 0 }
    setHost(environment)
    setLong(environment)
    switch base {
    case .long: break
    case .real: setReal(environment)
    case .protected: setProtected(environment)
    case .pae: setPAE(environment)
    case .paeInMemory:
      setPAE(environment)
      setSecondary(0, environment)
      self[.guestCR3] = ProbeMemory.Page.pageDirectoryPointers.address | 0x20
    case .virtual8086: setVirtual8086(environment)
    case .unpaged:
      setReal(environment)
      self[.guestCR0] = environment.guestCR0(pe: true, pg: false)
      self[.guestCSSelector] = 8
      self[.guestCSBase] = 0
      self[.guestCSAccessRights] = 0x93
    case .compatibility: self[.guestCSAccessRights] = 0xC09B
    case .user: setUser()
    case .segments: setSegments(environment)
    case .rich: setRich(environment)
    case .blocked:
      setRich(environment)
      self[.hostTRSelector] = 0
      self[.vmExitMSRStoreAddress] = ProbeMemory.Page.unused.address
      self[.vmExitMSRStoreCount] = 1
      self[.vmExitMSRLoadAddress] = ProbeMemory.Page.loadableMSRs.address
      self[.vmExitMSRLoadCount] = 1
    case .exception:
      self[.vmEntryInterruptionInformation] = 0x8000_0B0D
      self[.vmEntryExceptionErrorCode] = 0x1234
    case .softwareInterrupt:
      setVirtual8086(environment)
      self[.vmEntryInterruptionInformation] = 0x8000_0421
      self[.vmEntryInstructionLength] = 2
    case .msrLoad: self[.vmEntryMSRLoadCount] = 2
    case .halted:
      self[.guestActivityState] = environment.hasPreemptionTimer ? 1 : 0
      self[.guestPendingDebugExceptions] = 0x1001
    case .blocking:
      self[.guestInterruptibilityState] = 2
      self[.vmcsLinkPointer] = ProbeMemory.Page.vmcs.address
    }
  }

  private func setHost(_ environment: ProbeEnvironment) {
    self[.hostCR0] = environment[.cr0]
    self[.hostCR3] = environment[.cr3]
    self[.hostCR4] = environment[.cr4]
    self[.hostIA32EFER] = environment[.efer]
    self[.hostIA32PAT] = environment[.pat]
    self[.hostCSSelector] = 0x08
    self[.hostSSSelector] = 0x10
    self[.hostDSSelector] = 0x10
    self[.hostESSelector] = 0x10
    self[.hostTRSelector] = 0x18
    self[.hostGDTRBase] = environment[.gdtrBase]
    self[.hostIDTRBase] = environment[.idtrBase]
    self[.hostTRBase] = environment[.trBase]
    self[.hostRSP] = environment[.rsp]
    self[.hostRIP] = environment[.rip]
  }

  private func setLong(_ environment: ProbeEnvironment) {
    let preemptionTimer: UInt64 = 1 << 6
    self[.pinBasedVMExecutionControls] = environment.settings(.pin, preemptionTimer | 1)
    self[.primaryProcessorBasedVMExecutionControls] = environment.settings(.primary, 1 << 7)
    setSecondary(1 << 1 | 1 << 5 | 1 << 7, environment)
    self[.primaryVMExitControls] = environment.settings(.exit, 1 << 9 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21)
    self[.vmEntryControls] = environment.settings(.entry, 1 << 9 | 1 << 14 | 1 << 15)
    self[.virtualProcessorIdentifier] = 1
    self[.eptPointer] = ProbeMemory.Page.emptyTable.address | 0x1E
    self[.vmEntryMSRLoadAddress] = ProbeMemory.Page.loadableMSRs.address
    self[.vmcsLinkPointer] = ~0
    self[.guestCR0] = environment.guestCR0(pe: true, pg: true)
    self[.guestCR3] = ProbeMemory.Page.emptyTable.address
    self[.guestCR4] = environment.guestCR4(1 << 5)
    self[.guestIA32EFER] = 0xD01
    self[.guestIA32PAT] = 0x0007_0406_0007_0406
    self[.guestDR7] = 0x400
    self[.guestRFLAGS] = 0x202
    self[.guestRIP] = 0x10_0000
    self[.guestRSP] = 0x20_0000
    self[.guestCSSelector] = 8
    self[.guestCSLimit] = 0xFFFF_FFFF
    self[.guestCSAccessRights] = 0xA09B
    setDataSegments(selector: 0x10, base: 0, limit: 0xFFFF_FFFF, accessRights: 0xC093)
    self[.guestTRSelector] = 0x18
    self[.guestTRLimit] = 0x67
    self[.guestTRAccessRights] = 0x8B
    self[.guestLDTRAccessRights] = 0x1_0000
    self[.guestGDTRLimit] = 0x1F
    self[.guestIDTRLimit] = 0xFFF
  }

  /// Sets the secondary controls of `desired` that there are, and activates them if there is any.
  private func setSecondary(_ desired: UInt64, _ environment: ProbeEnvironment) {
    let activate: UInt64 = 1 << 31
    let controls = environment.settings(.secondary, desired)
    self[.secondaryProcessorBasedVMExecutionControls] = controls
    let primary = self[.primaryProcessorBasedVMExecutionControls] & ~activate
    self[.primaryProcessorBasedVMExecutionControls] =
      environment.settings(.primary, primary | (controls == 0 ? 0 : activate))
  }

  private func setDataSegments(selector: UInt64, base: UInt64, limit: UInt64, accessRights: UInt64) {
    let segments: InlineArray<5, GuestSegment> = [.ss, .ds, .es, .fs, .gs]
    for index in segments.indices {
      let fields = segments[index].fields
      (self[fields.base], self[fields.limit]) = (base, limit)
      if let field = fields.accessRights { self[field] = accessRights }
    }
    self[.guestSSSelector] = selector
    self[.guestDSSelector] = selector
    self[.guestESSelector] = selector
    self[.guestFSSelector] = selector
    self[.guestGSSelector] = selector
  }

  private func leaveLongMode(_ environment: ProbeEnvironment) {
    self[.vmEntryControls] &= ~(1 << 9)
    self[.guestIA32EFER] = 0
    self[.guestCR4] = environment.guestCR4(0)
    self[.guestCSAccessRights] = 0xC09B
  }

  private func setReal(_ environment: ProbeEnvironment) {
    leaveLongMode(environment)
    self[.guestCR0] = environment.guestCR0(pe: false, pg: false)
    self[.guestRFLAGS] = 2
    self[.guestRIP] = 0xFFF0
    self[.guestCSSelector] = 0xF000
    self[.guestCSBase] = 0xFFFF_0000
    self[.guestCSLimit] = 0xFFFF
    self[.guestCSAccessRights] = 0x9B
    setDataSegments(selector: 0, base: 0, limit: 0xFFFF, accessRights: 0x93)
    self[.guestLDTRAccessRights] = 0x82
    self[.guestLDTRLimit] = 0xFFFF
  }

  private func setProtected(_ environment: ProbeEnvironment) {
    leaveLongMode(environment)
    setSecondary(0, environment)
  }

  private func setPAE(_ environment: ProbeEnvironment) {
    leaveLongMode(environment)
    self[.guestCR4] = environment.guestCR4(1 << 5)
    self[.guestIA32EFER] = 0x800
    self[.guestPDPTE0] = 0x304_0001
    self[.guestPDPTE1] = 0x304_1019
    self[.guestPDPTE2] = 0x5E00
    self[.guestPDPTE3] = 0x304_2001
  }

  private func setVirtual8086(_ environment: ProbeEnvironment) {
    setProtected(environment)
    self[.guestRFLAGS] = 0x2_3202
    setDataSegments(selector: 0x1234, base: 0x1_2340, limit: 0xFFFF, accessRights: 0xF3)
    self[.guestCSSelector] = 0xF000
    self[.guestCSBase] = 0xF_0000
    self[.guestCSLimit] = 0xFFFF
    self[.guestCSAccessRights] = 0xF3
  }

  private func setUser() {
    self[.guestCSSelector] = 0x33
    self[.guestCSAccessRights] = 0xA0FB
    setDataSegments(selector: 0x2B, base: 0, limit: 0xFFFF_FFFF, accessRights: 0xC0F3)
  }

  private func setSegments(_ environment: ProbeEnvironment) {
    setProtected(environment)
    self[.guestCSSelector] = 0x0F
    self[.guestCSLimit] = 0xFFFF
    self[.guestCSAccessRights] = 0xFF
    setDataSegments(selector: 0x17, base: 0x1_0000, limit: 0x1FFF, accessRights: 0xF3)
    self[.guestDSAccessRights] = 0x40F7
    self[.guestESAccessRights] = 0xF1
    self[.guestFSAccessRights] = 0xFB
    self[.guestGSAccessRights] = 0x1_0000
    self[.guestTRLimit] = 0x2B
    self[.guestTRAccessRights] = 0x83
    self[.guestLDTRSelector] = 0x20
    self[.guestLDTRBase] = 0x9000
    self[.guestLDTRLimit] = 0x7F
    self[.guestLDTRAccessRights] = 0x82
  }

  private func setRich(_ environment: ProbeEnvironment) {
    self[.pinBasedVMExecutionControls] = environment.settings(.pin, ~0)
    self[.primaryProcessorBasedVMExecutionControls] = environment.settings(.primary, ~0)
    let x2APIC: UInt64 = 1 << 4
    setSecondary(~x2APIC, environment)
    self[.primaryVMExitControls] = environment.settings(.exit, ~0)
    let (systemManagement, dualMonitor): (UInt64, UInt64) = (1 << 10, 1 << 11)
    self[.vmEntryControls] = environment.settings(.entry, ~(systemManagement | dualMonitor))
    self[.vmFunctionControls] = environment.capability(.ia32VMXVMFUNC)
    self[.cr3TargetCount] = 4
    self[.tscMultiplier] = 1 << 48
    self[.postedInterruptNotificationVector] = 0xF2
    self[.virtualAPICAddress] = ProbeMemory.Page.virtualAPIC.address
    let addresses: InlineArray<11, VMCSField<PhysicalAddress, ReadWrite>> = [
      .ioBitmapAAddress, .ioBitmapBAddress, .msrBitmapsAddress, .apicAccessAddress, .pmlAddress, .eptpListAddress,
      .vmreadBitmapAddress, .vmwriteBitmapAddress, .virtualizationExceptionInformationAddress,
      .subPagePermissionTablePointer, .postedInterruptDescriptorAddress,
    ]
    for index in addresses.indices {
      self[addresses[index]] = ProbeMemory.Page.unused.address + UInt64(index) << 12
    }
  }
}

extension ProbeEnvironment {
  /// `desired` as the processor allows it: with the bits that have to be 1, without those that have to be 0.
  func settings(_ word: ControlWord, _ desired: UInt64) -> UInt64 {
    let isExact = capability(.ia32VMXBASIC) >> 55 & 1 == 1
    let value: UInt64
    switch word {
    case .pin: value = capability(isExact ? .ia32VMXTRUEPINBASEDCTLS : .ia32VMXPINBASEDCTLS)
    case .primary: value = capability(isExact ? .ia32VMXTRUEPROCBASEDCTLS : .ia32VMXPROCBASEDCTLS)
    case .exit: value = capability(isExact ? .ia32VMXTRUEEXITCTLS : .ia32VMXEXITCTLS)
    case .entry: value = capability(isExact ? .ia32VMXTRUEENTRYCTLS : .ia32VMXENTRYCTLS)
    default: value = capability(.ia32VMXPROCBASEDCTLS2)
    }
    return (desired | value & 0xFFFF_FFFF) & value >> 32
  }

  /// Whether a VMCS can be a shadow VMCS ("VMCS shadowing").
  var hasShadowVMCSs: Bool { settings(.primary, 1 << 31) >> 31 == 1 && settings(.secondary, 1 << 14) >> 14 & 1 == 1 }

  /// Whether there is a VMX-preemption timer, without which a guest that does nothing is never left.
  var hasPreemptionTimer: Bool { settings(.pin, 1 << 6) >> 6 & 1 == 1 }

  /// A CR0 that VMX operation allows, apart from PE and PG.
  func guestCR0(pe: Bool, pg: Bool) -> UInt64 {
    let mode: UInt64 = 0x8000_0001
    return capability(.ia32VMXCR0FIXED0) & ~mode | 0x30 | (pe ? 1 : 0) | (pg ? 1 << 31 : 0)
  }

  /// A CR4 that VMX operation allows, with `bits`.
  func guestCR4(_ bits: UInt64) -> UInt64 { capability(.ia32VMXCR4FIXED0) | bits }
}
