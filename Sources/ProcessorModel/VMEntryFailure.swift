import VMCS

/// Why a VM entry fails after the basic checks.
public enum VMEntryFailure: Hashable, Sendable {
  /// The instruction ends with VMfailValid: a check on the controls or the host state failed, errors 7, 8, 25 or 26.
  case instruction(VMInstructionError)
  /// A VM exit with basic reason 33 and an exit qualification: a check on the guest state failed.
  case guestState(qualification: UInt64)
  /// A VM exit with basic reason 34: loading the entry with that number, counted from 1, of the MSR-load area failed.
  case msrLoading(entry: UInt64)
}
