import VMCS

/// What a number in a line is.
struct DumpTarget: Equatable, Sendable {
  private enum Kind: UInt8 {
    case ignored, field, claim, other, failure
  }

  /// The numbers that are neither fields nor claims.
  enum Other: UInt8 {
    /// The encoding of the field that the next number is for.
    case encoding
    /// A value for the field that the last number named.
    case value
    case virtualProcessor, domain, smm
    /// A basic exit reason without the rest of the field.
    case basicExitReason
    /// The same, of a VM-entry failure.
    case entryFailureReason
    case msrIndex, msrValue
    /// What is known of an instruction that failed, after the target that names the instruction.
    case failureOperand, failureValue, failureError, failureOutcome
    /// Parts of the VM-exit interruption information.
    case eventType, eventVector, eventErrorCode
  }

  private let kind: Kind
  private let code: UInt16
  let quality: DumpValue.Quality
  /// Whether the number is an access byte in QEMU's form, which becomes access rights.
  let isDescriptorFlags: Bool

  private init(
    _ kind: Kind, _ code: UInt16, _ quality: DumpValue.Quality = .exact, isDescriptorFlags: Bool = false
  ) {
    self.kind = kind
    self.code = code
    self.quality = quality
    self.isDescriptorFlags = isDescriptorFlags
  }

  /// Nothing that a VMCS has.
  static let ignored = Self(.ignored, 0)

  static func field<Value, Access>(_ field: VMCSField<Value, Access>) -> Self {
    Self(.field, UInt16(truncatingIfNeeded: field.encoding.rawValue))
  }
  /// The guest's view of a field.
  static func view<Value, Access>(_ field: VMCSField<Value, Access>) -> Self {
    Self(.field, UInt16(truncatingIfNeeded: field.encoding.rawValue), .view)
  }
  /// The low bits of a field.
  static func truncated<Value, Access>(_ field: VMCSField<Value, Access>) -> Self {
    Self(.field, UInt16(truncatingIfNeeded: field.encoding.rawValue), .truncated)
  }
  /// Bits 63:32 of a descriptor, in which QEMU prints access rights.
  static func descriptorFlags(_ field: VMCSField<SegmentAccessRights, ReadWrite>) -> Self {
    Self(.field, UInt16(truncatingIfNeeded: field.encoding.rawValue), isDescriptorFlags: true)
  }
  static func claim(_ claim: DumpClaim.Kind) -> Self { Self(.claim, UInt16(claim.rawValue)) }
  /// The operand of a VMX instruction that failed.
  static func failure(_ instruction: DumpInstructionFailure.Instruction) -> Self {
    Self(.failure, UInt16(instruction.rawValue))
  }
  static func other(_ other: Other) -> Self { Self(.other, UInt16(other.rawValue)) }

  /// The field, if the number is for one.
  var field: VMCSFieldEncoding? { kind == .field ? VMCSFieldEncoding(rawValue: UInt32(code)) : nil }
  /// The claim, if it is one.
  var claim: DumpClaim.Kind? { kind == .claim ? DumpClaim.Kind(rawValue: UInt8(code)) : nil }
  /// The instruction that failed, if it is the operand of one.
  var failure: DumpInstructionFailure.Instruction? {
    kind == .failure ? DumpInstructionFailure.Instruction(rawValue: UInt8(code)) : nil
  }
  /// What else it is.
  var other: Other? { kind == .other ? Other(rawValue: UInt8(code)) : nil }

  /// The most bits that the number can have.
  var bitWidth: Int {
    if isDescriptorFlags { return 32 }
    if let field { return field.width.bitWidth }
    switch (claim, other) {
    case (.exitReason, _), (.instructionError, _), (_, .msrIndex): return 32
    case (_, .basicExitReason), (_, .entryFailureReason): return 16
    case (_, .eventVector): return 8
    case (_, .eventType): return 3
    case (_, .eventErrorCode): return 32
    default: return 64
    }
  }
}

/// What the numbers of a row are, at most eight; copied without counting references.
struct DumpTargets: RandomAccessCollection, Sendable {
  private var targets = InlineArray<8, DumpTarget>(repeating: .ignored)
  let endIndex: Int
  var startIndex: Int { 0 }

  init(_ list: [DumpTarget]) {
    precondition(list.count <= 8)
    endIndex = list.count
    for (index, target) in list.enumerated() { targets[index] = target }
  }

  subscript(index: Int) -> DumpTarget { targets[index] }
}
