import VMCS

/// A section of the SDM that lists checks, of the chapter "VM Entries" unless said otherwise, in the order of the checks.
@frozen
public enum EntryCheckSection: UInt8, CaseIterable, Sendable {
  /// Basic VM-Entry Checks.
  case basicVMEntryChecks
  /// VM-Execution Control Fields.
  case vmExecutionControlFields
  /// VM-Exit Control Fields.
  case vmExitControlFields
  /// VM-Entry Control Fields.
  case vmEntryControlFields
  /// Checks on the Executive-VMCS Pointer Field, of the chapter "System Management Mode".
  case executiveVMCSPointer
  /// Checks on Host Control Registers, MSRs, and SSP.
  case hostControlRegistersMSRsAndSSP
  /// Checks on Host Segment and Descriptor-Table Registers.
  case hostSegmentAndDescriptorTableRegisters
  /// Checks Related to Address-Space Size.
  case addressSpaceSize
  /// Checks on Guest Control Registers, Debug Registers, and MSRs.
  case guestControlRegistersDebugRegistersAndMSRs
  /// Checks on Guest Segment Registers.
  case guestSegmentRegisters
  /// Checks on Guest Descriptor-Table Registers.
  case guestDescriptorTableRegisters
  /// Checks on Guest RIP, RFLAGS, and SSP.
  case guestRIPRFLAGSAndSSP
  /// Checks on Guest Non-Register State.
  case guestNonRegisterState
  /// Checks on Guest Page-Directory-Pointer-Table Entries.
  case guestPageDirectoryPointerTableEntries
  /// Loading MSRs.
  case loadingMSRs

  /// The SDM's title.
  public var title: StaticString {
    switch self {
    case .basicVMEntryChecks: "Basic VM-Entry Checks"
    case .vmExecutionControlFields: "VM-Execution Control Fields"
    case .vmExitControlFields: "VM-Exit Control Fields"
    case .vmEntryControlFields: "VM-Entry Control Fields"
    case .executiveVMCSPointer: "Checks on the Executive-VMCS Pointer Field"
    case .hostControlRegistersMSRsAndSSP: "Checks on Host Control Registers, MSRs, and SSP"
    case .hostSegmentAndDescriptorTableRegisters: "Checks on Host Segment and Descriptor-Table Registers"
    case .addressSpaceSize: "Checks Related to Address-Space Size"
    case .guestControlRegistersDebugRegistersAndMSRs: "Checks on Guest Control Registers, Debug Registers, and MSRs"
    case .guestSegmentRegisters: "Checks on Guest Segment Registers"
    case .guestDescriptorTableRegisters: "Checks on Guest Descriptor-Table Registers"
    case .guestRIPRFLAGSAndSSP: "Checks on Guest RIP, RFLAGS, and SSP"
    case .guestNonRegisterState: "Checks on Guest Non-Register State"
    case .guestPageDirectoryPointerTableEntries: "Checks on Guest Page-Directory-Pointer-Table Entries"
    case .loadingMSRs: "Loading MSRs"
    }
  }

  /// What the processor does when a check of the section fails that has no outcome of its own.
  var outcome: EntryOutcome {
    switch self {
    case .basicVMEntryChecks: .vmFailInvalid
    case .vmExecutionControlFields, .vmExitControlFields, .vmEntryControlFields:
      .vmFailValid(.vmEntryWithInvalidControlFields)
    case .executiveVMCSPointer: .vmFailValid(.vmEntryWithInvalidExecutiveVMCSPointer)
    case .hostControlRegistersMSRsAndSSP, .hostSegmentAndDescriptorTableRegisters, .addressSpaceSize:
      .vmFailValid(.vmEntryWithInvalidHostStateFields)
    case .guestControlRegistersDebugRegistersAndMSRs, .guestSegmentRegisters, .guestDescriptorTableRegisters,
      .guestRIPRFLAGSAndSSP, .guestNonRegisterState:
      .invalidGuestState(.notSpecific)
    case .guestPageDirectoryPointerTableEntries: .invalidGuestState(.pdpteLoading)
    case .loadingMSRs: .msrLoading
    }
  }
}
