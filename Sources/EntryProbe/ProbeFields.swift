import VMCS

/// Which fields and values are worth trying.
enum ProbeFields {
  static var entangledCount: Int { 32 }

  /// A field whose checks depend on other fields.
  static func entangled(_ number: Int) -> Int {
    let fields: InlineArray<32, UInt32> = [
      VMCSField.guestRFLAGS.encoding.rawValue, VMCSField.guestCR0.encoding.rawValue,
      VMCSField.guestCR4.encoding.rawValue, VMCSField.guestIA32EFER.encoding.rawValue,
      VMCSField.vmEntryControls.encoding.rawValue,
      VMCSField.pinBasedVMExecutionControls.encoding.rawValue,
      VMCSField.primaryProcessorBasedVMExecutionControls.encoding.rawValue,
      VMCSField.secondaryProcessorBasedVMExecutionControls.encoding.rawValue,
      VMCSField.primaryVMExitControls.encoding.rawValue,
      VMCSField.vmEntryInterruptionInformation.encoding.rawValue,
      VMCSField.vmEntryInterruptionInformation.encoding.rawValue,
      VMCSField.vmEntryExceptionErrorCode.encoding.rawValue, VMCSField.vmEntryInstructionLength.encoding.rawValue,
      VMCSField.guestInterruptibilityState.encoding.rawValue, VMCSField.guestActivityState.encoding.rawValue,
      VMCSField.guestPendingDebugExceptions.encoding.rawValue,
      VMCSField.guestCSAccessRights.encoding.rawValue, VMCSField.guestSSAccessRights.encoding.rawValue,
      VMCSField.guestDSAccessRights.encoding.rawValue, VMCSField.guestFSAccessRights.encoding.rawValue,
      VMCSField.guestTRAccessRights.encoding.rawValue, VMCSField.guestLDTRAccessRights.encoding.rawValue,
      VMCSField.guestCSSelector.encoding.rawValue, VMCSField.guestSSSelector.encoding.rawValue,
      VMCSField.guestCSLimit.encoding.rawValue, VMCSField.guestDSLimit.encoding.rawValue,
      VMCSField.guestCSBase.encoding.rawValue, VMCSField.guestSSBase.encoding.rawValue,
      VMCSField.guestRIP.encoding.rawValue, VMCSField.vmcsLinkPointer.encoding.rawValue,
      VMCSField.vmEntryMSRLoadAddress.encoding.rawValue, VMCSField.guestCR3.encoding.rawValue,
    ]
    return VMCSFieldDescription.index(of: VMCSFieldEncoding(rawValue: fields[number])).unsafelyUnwrapped
  }

  static var notableCount: Int { 20 }

  /// A value at the border of something; `random` has the bits for those that have some.
  static func notable(_ number: Int, _ random: UInt64) -> UInt64 {
    let pages = ProbeMemory.Page.allCases
    return switch number {
    case 0: 0
    case 1: ~0
    case 2: 0x7FFF_FFFF_FFFF
    case 3: 0xFFFF_8000_0000_0000
    case 4: 0x8000_0000_0000
    case 5: 0xFFFF_FFFF
    case 6: 0x1_0000_0000
    case 7: 0xFFFF
    case 8: 0xFFF
    case 9: 0x10_0000
    case 10: random
    case 11: random & 0xFFFF_FFFF
    case 12: random & 0xF_FFFF_F000
    default: pages[Int(random % UInt64(pages.count))].address | (number == 13 ? random & 0xFF : 0)
    }
  }

  /// A value that looks like one of the field's.
  static func plausible(_ encoding: VMCSFieldEncoding, old: UInt64, _ random: inout ProbeRandom) -> UInt64 {
    let bits = random.next()
    switch (encoding.width, encoding.type) {
    case (.bits32, .guestState)
    where encoding.index >= VMCSField.guestESAccessRights.encoding.index
      && encoding.index <= VMCSField.guestTRAccessRights.encoding.index:
      // Any type, S and DPL; present, and the upper part mostly as it was.
      return bits & 0x7F | (bits & 0x700 == 0 ? 0 : 0x80) | (bits & 0x3800 == 0 ? bits & 0x1_F000 : old & 0x1_F000)
    case (.bits32, .guestState) where encoding.index < VMCSField.guestESAccessRights.encoding.index:
      return bits & 0xF_0000 == 0
        ? bits & 0xFFFF_FFFF : [0xFFF, 0xFFFF, 0xF_FFFF, 0xFFFF_FFFF, 0x10_0FFF, 0, 0x67, 0x1FFF_FFFF][Int(bits & 7)]
    case (.bits32, .control) where encoding.index == VMCSField.vmEntryInterruptionInformation.encoding.index:
      // Valid, any type, an exception's vector, the error code at random.
      return 1 << 31 | bits & 0x71F | bits >> 8 & 0x800 | (bits & 0x3_0000 == 0 ? bits >> 32 & 0xFF : 0)
    case (.bits16, _): return bits & 0x7F
    default: return old ^ (1 << (bits & 63)) ^ (1 << (bits >> 6 & 63))
    }
  }
}
