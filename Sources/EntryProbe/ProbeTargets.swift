import VMCS
import VMEntryChecks

/// States that one check each is aimed at, which bits changed at random hit too seldom.
///
/// Only one of them is made; the others are passed over.
struct ProbeTargets {
  private let environment: ProbeEnvironment
  private let bases: UnsafeMutablePointer<UInt64>
  private let wanted: Int
  /// How many there are.
  private(set) var count = 0
  /// The one that is wanted.
  private(set) var result = ProbeCase(.long)

  /// Makes the state with the number `wanted`.
  init(_ wanted: Int, _ environment: ProbeEnvironment, bases: UnsafeMutablePointer<UInt64>) {
    (self.environment, self.bases, self.wanted) = (environment, bases, wanted)
    addBasic()
    addControls()
    addAddresses()
    addHost()
    addGuestRegisters()
    addSegments()
    addNonRegisterState()
    addMSRLoading()
  }

  private mutating func state(_ base: ProbeBase, _ change: (inout Self) -> Void) {
    count += 1
    guard count - 1 == wanted else { return }
    result = ProbeCase(base)
    change(&self)
  }

  /// The value of a field; a field that the processor does not have keeps its value.
  private subscript<Value>(field: VMCSField<Value, ReadWrite>) -> UInt64 {
    get {
      result.value(of: field.index)
        ?? bases[result.base.rawValue * VMCSFieldDescription.count + field.index]
    }
    set {
      if environment.isWritable(field.index) {
        result.append(field.index, newValue & ~0 >> UInt64(64 - field.encoding.width.bitWidth))
      }
    }
  }

  /// In this order, so that the launch state is clear after the first, and launched after the third.
  private mutating func addBasic() {
    state(.long) { $0.result.entry = .withoutCurrentVMCS }
    state(.long) { $0.result.entry = .otherLaunchState }
    state(.long) { _ in }
    state(.long) { $0.result.entry = .otherLaunchState }
    state(.long) { $0.result.entry = .blockedByMOVSS }
    state(.long) { if $0.environment.hasShadowVMCSs { $0.result.entry = .onShadowVMCS } }
  }

  private mutating func addControls() {
    // "Virtualize APIC accesses" and "virtual-interrupt delivery" would make the TPR threshold one of no consequence.
    for threshold in UInt64(5)...6 {
      state(.rich) {
        $0[.secondaryProcessorBasedVMExecutionControls] &= ~(1 << 0 | 1 << 9)
        $0[.tprThreshold] = threshold
      }
    }
    state(.rich) { $0[.pinBasedVMExecutionControls] &= ~1 }
    state(.rich) { $0[.secondaryProcessorBasedVMExecutionControls] |= 1 << 4 }
    state(.rich) { $0[.tscMultiplier] = 0 }
    state(.long) { $0[.virtualProcessorIdentifier] = 0 }
    // "Unrestricted guest", PML and sub-page write permissions without EPT.
    let needEPT: InlineArray<3, UInt64> = [1 << 7, 1 << 17, 1 << 23]
    for index in needEPT.indices {
      state(.long) { $0[.secondaryProcessorBasedVMExecutionControls] = needEPT[index] }
    }
    state(.long) {
      $0[.secondaryProcessorBasedVMExecutionControls] = 1 << 13
      $0[.vmFunctionControls] = 1
    }
    state(.long) { $0[.eptPointer] |= 1 << 6 }
    state(.long) { $0[.eptPointer] |= 1 << 7 }
    state(.long) {
      $0[.primaryVMExitControls] |= 1 << 22
      $0[.pinBasedVMExecutionControls] &= ~(1 << 6)
    }
    state(.exception) { $0[.vmEntryInterruptionInformation] &= ~(1 << 11) }
  }

  private mutating func addAddresses() {
    let addresses: InlineArray<12, VMCSField<PhysicalAddress, ReadWrite>> = [
      .ioBitmapAAddress, .ioBitmapBAddress, .msrBitmapsAddress, .apicAccessAddress, .virtualAPICAddress, .pmlAddress,
      .eptpListAddress, .vmreadBitmapAddress, .vmwriteBitmapAddress, .virtualizationExceptionInformationAddress,
      .subPagePermissionTablePointer, .vmcsLinkPointer,
    ]
    let width = environment.capability(.cpuid80000008EAX) & 0xFF
    for index in addresses.indices {
      let base: ProbeBase = index == addresses.count - 1 ? .blocking : .rich
      state(base) { $0[addresses[index]] |= 0x800 }
      state(base) { $0[addresses[index]] |= 1 << width }
    }
    let lastEntry: UInt64 = 1 << width - 16
    state(.blocked) { $0[.vmExitMSRStoreAddress] |= 8 }
    state(.blocked) { $0[.vmExitMSRLoadAddress] |= 8 }
    state(.msrLoad) { $0[.vmEntryMSRLoadAddress] |= 8 }
    state(.msrLoad) { $0[.vmEntryMSRLoadAddress] = lastEntry }
    state(.blocked) {
      $0[.vmExitMSRStoreAddress] = lastEntry
      $0[.vmExitMSRStoreCount] = 2
    }
    state(.blocked) {
      $0[.vmExitMSRLoadAddress] = lastEntry
      $0[.vmExitMSRLoadCount] = 2
    }
  }

  private mutating func addHost() {
    state(.rich) {
      $0[.hostCR4] |= 1 << 23
      $0[.hostCR0] &= ~(1 << 16)
    }
    let invalidSCET: InlineArray<3, UInt64> = [1 << 6, 3 << 10, 1 << 47]
    for index in invalidSCET.indices {
      state(.rich) { $0[.hostIA32SCET] = invalidSCET[index] }
      state(.rich) { $0[.guestIA32SCET] = invalidSCET[index] }
    }
    state(.rich) { $0[.hostSSP] = 2 }
    state(.rich) { $0[.hostSSP] = 1 << 47 }
    state(.rich) { $0[.hostIA32INTERRUPTSSPTABLEADDR] = 1 << 47 }
    state(.long) { $0[.hostCR4] &= ~(1 << 5) }
    // Without "host address-space size"; "load IA32_EFER" would want the same of the host's LMA.
    state(.protected) { $0[.primaryVMExitControls] &= ~(1 << 9 | 1 << 21) }
  }

  private mutating func addGuestRegisters() {
    state(.real) { $0[.guestCR0] |= 1 << 31 }
    state(.protected) { $0[.guestCR4] |= 1 << 17 }
    state(.rich) { $0[.guestCR4] |= 1 << 23 }
    state(.long) { $0[.guestIA32EFER] = 0xC01 }
    state(.rich) { $0[.guestSSP] = 2 }
    state(.rich) { $0[.guestSSP] = 1 << 50 }
    state(.rich) { $0[.guestIA32INTERRUPTSSPTABLEADDR] = 1 << 47 }
    // Virtual-8086 mode in IA-32e mode.
    state(.virtual8086) {
      $0[.vmEntryControls] |= 1 << 9
      $0[.guestCR4] |= 1 << 5
      $0[.guestIA32EFER] = 0x500
    }
    state(.pae) { $0[.guestPDPTE0] |= 2 }
    state(.pae) { $0[.guestPDPTE1] |= 2 }
    state(.pae) { $0[.guestPDPTE2] |= 3 }
    state(.pae) { $0[.guestPDPTE3] |= 2 }
  }

  private mutating func addSegments() {
    let accessRights: InlineArray<4, VMCSField<SegmentAccessRights, ReadWrite>> = [
      .guestDSAccessRights, .guestESAccessRights, .guestFSAccessRights, .guestGSAccessRights,
    ]
    for index in accessRights.indices {
      // Code that cannot be read, and data that is not present.
      state(.segments) { $0[accessRights[index]] = 0xF9 }
      state(.segments) { $0[accessRights[index]] = 0x73 }
    }
    // DPL 0 in CS, which is conforming, and 3 in SS, with RPL 0 in both.
    state(.protected) {
      $0[.guestCSAccessRights] = 0xC09F
      $0[.guestSSAccessRights] = 0xC0F3
    }
    // CS as before, and SS with RPL 3 too.
    state(.protected) {
      $0[.guestCSAccessRights] = 0xC09F
      $0[.guestSSAccessRights] = 0xC0F3
      $0[.guestSSSelector] = 0x13
    }
    state(.real) { $0[.guestSSAccessRights] = 0xF3 }
    state(.real) { $0[.guestCSAccessRights] = 0xF3 }
    state(.long) { $0[.guestCSAccessRights] = 0xE09B }
    let invalidLDTR: InlineArray<4, UInt64> = [0x92, 0x02, 0x182, 0x8082]
    for index in invalidLDTR.indices { state(.segments) { $0[.guestLDTRAccessRights] = invalidLDTR[index] } }
    state(.segments) { $0[.guestLDTRLimit] = 0x10_0FFF }
    state(.segments) { $0[.guestLDTRSelector] |= 4 }
  }

  private mutating func addNonRegisterState() {
    let (interrupt, nmi): (UInt64, UInt64) = (0x8000_0020, 0x8000_0202)
    state(.long) {
      $0[.guestInterruptibilityState] = 1
      $0[.guestRFLAGS] = 2
    }
    state(.long) { $0[.guestInterruptibilityState] = 3 }
    state(.long) {
      $0[.vmEntryInterruptionInformation] = interrupt
      $0[.guestRFLAGS] = 2
    }
    for blocking in UInt64(1)...2 {
      state(.long) {
        $0[.vmEntryInterruptionInformation] = interrupt
        $0[.guestInterruptibilityState] = blocking
      }
      state(.long) {
        $0[.vmEntryInterruptionInformation] = nmi
        $0[.guestInterruptibilityState] = blocking
      }
    }
    state(.rich) {
      $0[.vmEntryInterruptionInformation] = nmi
      $0[.guestInterruptibilityState] = 8
    }
    state(.user) { $0[.guestActivityState] = 1 }
    state(.long) {
      $0[.guestActivityState] = 1
      $0[.guestInterruptibilityState] = 1
    }
    state(.long) {
      $0[.guestActivityState] = 2
      $0[.vmEntryInterruptionInformation] = interrupt
    }
    state(.long) { $0[.vmcsLinkPointer] = $0.environment[.currentVMCS] }
    state(.long) { $0[.vmcsLinkPointer] = ProbeMemory.Page.shadowVMCS.address }
  }

  private mutating func addMSRLoading() {
    let pages: InlineArray<7, ProbeMemory.Page> = [
      .forbiddenFSBase, .forbiddenX2APIC, .reservedBits, .forbiddenSMM, .badPAT, .nonCanonical, .microcodeUpdate,
    ]
    for index in pages.indices { state(.msrLoad) { $0[.vmEntryMSRLoadAddress] = pages[index].address } }
  }
}
