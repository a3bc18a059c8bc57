import VMCS

/// One check that a VM entry makes: what it is called, what it requires, and what happens if it fails.
public struct EntryCheck: Sendable {
  /// The identifier, stable and in the SDM's words, like `guest.rflags.if-for-external-interrupt`.
  public var id: EntryText
  /// The section of the SDM that has the check.
  public var section: EntryCheckSection
  /// One sentence that says what is required.
  public var statement: EntryText
  /// The Swift names of everything that the check may read, separated by spaces: fields, and the cases of
  /// `EntryCapability` and of `EntryFact`; `memory` for memory that the VMCS refers to.
  public var inputs: EntryText
  /// What the processor does when the check fails.
  public var outcome: EntryOutcome
  /// Whether the SDM lets a processor not make the check.
  public var isOptional: Bool
}

/// What a processor does when a check fails.
@frozen
public enum EntryOutcome: Hashable, Sendable {
  /// The instruction causes an invalid-opcode exception (#UD).
  case invalidOpcode
  /// The instruction causes a general-protection exception (#GP) with error code 0.
  case generalProtection
  /// VMfailInvalid: the instruction sets CF.
  case vmFailInvalid
  /// VMfailValid: the instruction sets ZF and the VM-instruction error field to this number.
  case vmFailValid(VMInstructionError)
  /// A VM exit with basic exit reason 33, "VM-entry failure due to invalid guest state", and this exit qualification.
  case invalidGuestState(VMEntryFailureQualification)
  /// A VM exit with basic exit reason 34, "VM-entry failure due to MSR loading"; the exit qualification is the number of the
  /// entry, counted from 1.
  case msrLoading
}

/// What a check found.
@frozen
public enum EntryVerdict: Sendable {
  /// What the check requires is so.
  case passed
  /// It is not.
  case failed(EntryFinding)
  /// It cannot be said, because of an input that is not known. There may be more.
  case undecidable(EntryInput)
}

/// Why a check failed.
@frozen
public struct EntryFinding: Hashable, Sendable {
  /// Where the finding is.
  @frozen
  public enum Subject: Hashable, Sendable {
    /// In a field of the VMCS.
    case field(VMCSFieldEncoding)
    /// In the quadword in memory at an address.
    case memory(PhysicalAddress)
    /// In bits 63:0 of an entry of the VM-entry MSR-load area, counted from 1.
    case msrLoadEntry(UInt32)
    /// In bits 127:64 of an entry of the VM-entry MSR-load area, counted from 1.
    case msrLoadData(UInt32)
    /// In what the logical processor is.
    case fact(EntryFact)
  }

  /// Where the finding is.
  public var subject: Subject
  /// The bits that the check is about.
  public var mask: UInt64
  /// The value found, all bits.
  public var found: UInt64
  /// The value, all bits, after the smallest change that lets the check pass while all else stays as it is.
  public var required: UInt64

  /// The bits that the smallest change inverts.
  @inlinable public var change: UInt64 { found ^ required }
}
