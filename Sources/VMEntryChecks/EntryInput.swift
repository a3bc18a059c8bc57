import VMCS

/// Something that a check reads.
@frozen
public enum EntryInput: Hashable, Sendable {
  /// A field of the VMCS.
  case field(VMCSFieldEncoding)
  /// A capability of the processor.
  case capability(EntryCapability)
  /// A fact about the logical processor.
  case fact(EntryFact)
  /// Memory that the VMCS refers to, a quadword at an address.
  case memory(PhysicalAddress)
}
