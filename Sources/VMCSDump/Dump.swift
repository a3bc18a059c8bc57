import VMCS

/// A value that a dump has for a field.
@frozen
public struct DumpValue: Equatable, Sendable {
  /// How far the printed number is the field's contents.
  @frozen
  public enum Quality: UInt8, Sendable {
    /// It is.
    case exact
    /// It is what the guest sees, or belongs to something else that the hypervisor prints in the field's place.
    case view
    /// Only its low bits were printed.
    case truncated
  }

  /// The number, zero-extended to 64 bits.
  public var bits: UInt64
  /// The line of the input that it was read from, counted from 1.
  public var line: UInt64
  /// How far it is the field's contents.
  public var quality: Quality
}

/// What the printer of a dump says happened.
@frozen
public struct DumpClaim: Equatable, Sendable {
  /// The kinds of claims.
  @frozen
  public enum Kind: UInt8, Sendable {
    /// The VM entry failed with an exit reason, 32 bits.
    case exitReason
    /// A VMX instruction failed with a VM-instruction error.
    case instructionError
    /// QEMU's "hardware error": an exit reason if bit 31 is 1, else a VM-instruction error, or 0.
    case hardwareError
    /// Loading this entry of the VM-entry MSR-load area failed, counted from 0.
    case msrLoadEntryFrom0
    /// The same, counted from 1.
    case msrLoadEntryFrom1
  }

  /// What is claimed.
  public var kind: Kind
  /// The number that belongs to it.
  public var value: UInt64
  /// The line of the input that says so, counted from 1.
  public var line: UInt64
}

/// An MSR and its value, as a dump prints the entries of MSR areas.
@frozen
public struct DumpMSREntry: Equatable, Sendable {
  /// Which area the entry is in.
  @frozen
  public enum Area: UInt8, Sendable {
    /// The VM-entry MSR-load area.
    case vmEntryLoad
    /// The VM-exit MSR-store area.
    case vmExitStore
    /// The VM-exit MSR-load area.
    case vmExitLoad
  }

  /// Which area the entry is in.
  public var area: Area
  /// The MSR.
  public var msr: MSR
  /// The value.
  public var value: UInt64
  /// The line of the input, counted from 1.
  public var line: UInt64
}

/// A line inside a dump that was not, or not wholly, understood.
public struct UnreadLine: Equatable, Sendable {
  /// The number of the line, counted from 1.
  public var line: UInt64
  /// Whether values were read from the part before.
  public var isReadInPart: Bool
  /// The text as it was found, at most 120 bytes.
  public var text: [UInt8]
}

/// One VMCS as a hypervisor printed it: the values that it has for fields, and what is said about it.
public struct Dump: Sendable {
  /// Who printed it.
  public var format: DumpFormat
  /// Whether a Xen before 4.6 printed it.
  public var isBeforeXen46 = false
  /// The first line that belongs to it, counted from 1.
  public var firstLine: UInt64
  /// The last line that belongs to it.
  public var lastLine: UInt64
  /// The number of the virtual processor, nil if it is not printed.
  public var virtualProcessor: UInt64?
  /// The number of the domain of Xen, nil if it is not printed.
  public var domain: UInt64?
  /// Whether the guest was in system-management mode, nil if it is not printed.
  public var isInSMM: Bool?
  /// Whether the instruction was VMRESUME, nil if it is not printed.
  public var isVMRESUME: Bool?
  /// Whether lines of several dumps are mixed and nothing tells them apart; then there are no values.
  public var isInterleaved = false
  /// What the printer says happened, in the order of the lines.
  public var claims: [DumpClaim] = []
  /// The entries of MSR areas, in the order of the lines.
  public var msrEntries: [DumpMSREntry] = []
  /// The VMX instructions that are said to have failed, in the order of the lines, at most ``failureLimit``.
  public var failures: [DumpInstructionFailure] = []
  /// The lines between the first and the last that were not wholly understood, at most ``unreadLimit``.
  public var unread: [UnreadLine] = []
  /// How many lines were not wholly understood.
  public var unreadCount = 0
  private var values: [DumpValue?]

  /// How many different failures ``failures`` keeps.
  public static var failureLimit: Int { 32 }

  /// How many lines ``unread`` keeps.
  public static var unreadLimit: Int { 32 }

  /// Makes a dump without values.
  public init(format: DumpFormat, line: UInt64) {
    self.format = format
    (firstLine, lastLine) = (line, line)
    values = Array(repeating: nil, count: VMCSFieldDescription.count)
  }

  /// The value of a field and where it is from; nil if the dump has none.
  ///
  /// A value for an encoding that the SDM does not define is dropped.
  public subscript(field: VMCSFieldEncoding) -> DumpValue? {
    get { VMCSFieldDescription.index(of: field).flatMap { values[$0] } }
    set {
      if let index = VMCSFieldDescription.index(of: field) { values[index] = newValue }
    }
  }

  /// The value of the field at `index` in the SDM's order, which is below `VMCSFieldDescription.count`.
  public subscript(at index: Int) -> DumpValue? {
    get { values[index] }
    set { values[index] = newValue }
  }

  /// How many fields have a value.
  public var valueCount: Int { values.reduce(0) { $1 == nil ? $0 : $0 + 1 } }

  /// The contents of a field; nil if the dump does not have them, all of them and as they are in the VMCS.
  public func contents(of field: VMCSFieldEncoding) -> UInt64? {
    guard let value = self[field], value.quality == .exact else { return nil }
    return value.bits
  }
}
