import VMCS

extension LoadedVCPU {
  /// The translation of linear addresses for an access that the guest makes now.
  ///
  /// - Parameters:
  ///   - physicalAddressWidth: the number of bits of a guest-physical address, as CPUID shows it.
  ///   - has1GBPages: whether CPUID shows 1-GByte pages.
  public func linearAddressTranslation(
    physicalAddressWidth: UInt8, has1GBPages: Bool
  ) -> LinearAddressTranslation {
    var translation = LinearAddressTranslation(
      cr0: vmcs[.guestCR0], cr3: vmcs[.guestCR3], cr4: vmcs[.guestCR4], efer: vmcs[.guestIA32EFER],
      isUserMode: privilegeLevel == 3, alignmentCheck: vmcs[.guestRFLAGS].ac,
      physicalAddressWidth: physicalAddressWidth, has1GBPages: has1GBPages)
    if translation.cr0.pg && translation.cr4.pae && !translation.efer.lma {
      translation.pdptes = [vmcs[.guestPDPTE0], vmcs[.guestPDPTE1], vmcs[.guestPDPTE2], vmcs[.guestPDPTE3]]
    }
    return translation
  }

  /// An operand in `segment` of an instruction that the guest executes now.
  public func memoryOperand(in segment: GuestSegment, _ translation: LinearAddressTranslation) -> MemoryOperand {
    MemoryOperand(
      segment: segment, descriptor: descriptor(segment), is64Bit: is64Bit,
      isAlignmentChecked: translation.isUserMode && translation.alignmentCheck && translation.cr0.am,
      translation: translation)
  }

  /// The current privilege level, 0 to 3 (SDM, "Saving Segment Registers and Descriptor-Table Registers": the DPL of SS
  /// is always the CPL).
  public var privilegeLevel: UInt8 { vmcs[.guestSSAccessRights].dpl }

  /// Whether string instructions go backwards: RFLAGS.DF.
  public var isDirectionFlagSet: Bool { vmcs[.guestRFLAGS].df }

  /// Raises a page fault in the guest, at the next entry.
  public mutating func raisePageFault(at linearAddress: UInt64, _ code: PageFaultErrorCode) {
    state.processor.cr2 = linearAddress
    raise(.exception(.pageFault, errorCode: code.rawValue))
  }

  /// Ends an exit whose instruction the guest is to execute again, because what it needs has been changed meanwhile.
  ///
  /// The processor may have exited by older translations than those of the paging structures: they are dropped.
  public mutating func executeAgain() { state.needsVPIDFlush = true }

  /// Ends blocking by STI and by MOV SS, for an instruction that has begun to take effect but is to go on.
  public mutating func endInterruptShadow() {
    let interruptibility = vmcs[.guestInterruptibilityState].rawValue
    if interruptibility & 3 != 0 {
      vmcs[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: interruptibility & ~3)
    }
  }
}
