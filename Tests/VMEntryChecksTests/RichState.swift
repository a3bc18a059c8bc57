import VMCS
import VMEntryChecks

extension TestState {
  /// 64-bit mode with every control that can be 1 at the same time, and every address that they need.
  static var rich: TestState {
    BaseState.long.makeState().with {
      $0.setRichControls()
      $0.setRichAddresses()
      $0.setRichHostAndGuest()
      $0.memory = [
        0x3_0000: 0x277, 0x3_0008: 0x0007_0406_0007_0406, 0x3_0010: 0xC000_0082, 0x3_0018: 0xFFFF_8000_0000_0000,
        0x3_0020: 0xC000_0080, 0x3_0028: 0xD01, 0x1_F000: 0x8000_002B,
      ]
    }
  }

  private mutating func setRichControls() {
    self[.pinBasedVMExecutionControls] = 0x16 | 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7
    let rdtscExiting: UInt64 = 1 << 12
    self[.primaryProcessorBasedVMExecutionControls] =
      (ControlWord.primary.valueType.bitFields.mask | 0x0400_6172) & ~rdtscExiting
    let x2APIC: UInt64 = 1 << 4
    self[.secondaryProcessorBasedVMExecutionControls] = ControlWord.secondary.valueType.bitFields.mask & ~x2APIC
    self[.tertiaryProcessorBasedVMExecutionControls] = ControlWord.tertiary.valueType.bitFields.mask
    self[.vmFunctionControls] = 1
    self[.primaryVMExitControls] = ControlWord.exit.valueType.bitFields.mask | 0x3_6DFB
    self[.secondaryVMExitControls] = ControlWord.secondaryExit.valueType.bitFields.mask
    self[.vmEntryControls] = (ControlWord.entry.valueType.bitFields.mask | 0x11FB) & ~(3 << 10)
    self[.eptPointer] = 0x1_00DE
    self[.cr3TargetCount] = 4
    self[.postedInterruptNotificationVector] = 0xF2
    self[.virtualTimerVector] = 0xEC
    self[.lastPIDPointerIndex] = 7
    self[.tscMultiplier] = 1 << 48
  }

  private mutating func setRichAddresses() {
    let addresses: [VMCSField<PhysicalAddress, ReadWrite>] = [
      .ioBitmapAAddress, .ioBitmapBAddress, .msrBitmapsAddress, .virtualAPICAddress, .apicAccessAddress, .pmlAddress,
      .eptpListAddress, .vmreadBitmapAddress, .vmwriteBitmapAddress, .virtualizationExceptionInformationAddress,
      .subPagePermissionTablePointer, .lowPASIDDirectoryAddress, .highPASIDDirectoryAddress,
      .postedInterruptDescriptorAddress, .pidPointerTableAddress,
    ]
    for (index, field) in addresses.enumerated() { self[field] = 0x1_0000 + UInt64(index) << 12 }
    self[.hlatPointer] = 0x2_1018
    self[.vmcsLinkPointer] = 0x1_F000
    self[.vmExitMSRStoreAddress] = 0x3_1000
    self[.vmExitMSRStoreCount] = 2
    self[.vmExitMSRLoadAddress] = 0x3_2000
    self[.vmExitMSRLoadCount] = 2
    self[.vmEntryMSRLoadAddress] = 0x3_0000
    self[.vmEntryMSRLoadCount] = 3
  }

  private mutating func setRichHostAndGuest() {
    self[.hostCR4] = 0x2020 | 1 << 23 | 1 << 32
    self[.guestCR4] = 0x2020 | 1 << 23 | 1 << 32
    let shadowStack: UInt64 = 0xFFFF_8000_0000_0000
    for field: VMCSField<IA32SCET, ReadWrite> in [.hostIA32SCET, .guestIA32SCET] { self[field] = shadowStack | 0x3F }
    for field: VMCSField<UInt64, ReadWrite> in [
      .hostSSP, .guestSSP, .hostIA32INTERRUPTSSPTABLEADDR, .guestIA32INTERRUPTSSPTABLEADDR, .hostIA32FREDRSP1,
      .hostIA32FREDRSP2, .hostIA32FREDRSP3, .hostIA32FREDSSP1, .hostIA32FREDSSP2, .hostIA32FREDSSP3, .guestIA32FREDRSP1,
      .guestIA32FREDRSP2, .guestIA32FREDRSP3, .guestIA32FREDSSP1, .guestIA32FREDSSP2, .guestIA32FREDSSP3,
    ] { self[field] = shadowStack | 0x1040 }
    for field: VMCSField<IA32FREDCONFIG, ReadWrite> in [.hostIA32FREDCONFIG, .guestIA32FREDCONFIG] {
      self[field] = shadowStack | 0x6C9
    }
    for field: VMCSField<UInt64, ReadWrite> in [.hostIA32PERFGLOBALCTRL, .guestIA32PERFGLOBALCTRL] {
      self[field] = 0x1_000F_0000_00FF
    }
    for field: VMCSField<IA32PKRS, ReadWrite> in [.hostIA32PKRS, .guestIA32PKRS] { self[field] = 0xFFFF_FFFF }
    for field: VMCSField<IA32SPECCTRL, ReadWrite> in [.hostIA32SPECCTRL, .guestIA32SPECCTRL] { self[field] = 0x5FF }
    self[.guestIA32BNDCFGS] = shadowStack | 0x3
    self[.guestIA32RTITCTL] = 0x0180_00FF_8F7B_FFFF
    self[.guestIA32LBRCTL] = 0x7F_000F
    self[.guestIA32DEBUGCTL] = 0xFFC7
    self[.guestUINV] = 0xF3
  }
}
