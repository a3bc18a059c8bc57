import VMCS

/// An access to an operand in memory that made the guest exit: what the processor says of it.
@frozen
public struct OperandAccess: Equatable, Sendable {
  /// The guest-physical address.
  public var address: UInt64
  /// The linear address; nil if the processor does not say it.
  public var linearAddress: UInt64?
  /// Whether it was a write, or the write of an operand that is read and written.
  public var isWrite: Bool

  /// Makes an access.
  @inlinable
  public init(address: UInt64, linearAddress: UInt64?, isWrite: Bool) {
    self.address = address
    self.linearAddress = linearAddress
    self.isWrite = isWrite
  }

  /// Whether an operand of `byteCount` bytes, 1, 2, 4, 8 or 16, that begins at the address ends in the same page.
  @inlinable
  public func isWhole(byteCount: Int) -> Bool { address & 0xFFF <= 0x1000 &- UInt64(truncatingIfNeeded: byteCount) }

  /// Whether the exit's translation of an operand at `linear` to `address` is that of this operand: the same byte, and
  /// the access has been checked.
  @inlinable
  public func isAccess(toOperandAt linear: UInt64, isWrite: Bool) -> Bool {
    guard !isWrite || self.isWrite else { return false }
    guard let linearAddress else { return linear & 0xFFF == address & 0xFFF }
    return linearAddress == linear
  }
}

extension LoadedVCPU {
  /// Whether an EPT violation is the fetch of an instruction, and not the walk of the paging structures for it.
  public mutating func isInstructionFetch(_ qualification: EPTViolationQualification) -> Bool {
    qualification.fetch && qualification.translatedAddressAccess && !vmcs[.idtVectoringInformation].valid
  }

  /// The access of an EPT violation (SDM, "Exit Qualification for EPT Violations").
  ///
  /// - Returns: nil if it is not an instruction's access to an operand, but to a paging structure, to code, or by the
  ///   delivery of an event.
  @inline(__always)
  public func operandAccess(at address: UInt64, _ qualification: EPTViolationQualification) -> OperandAccess? {
    let isOperand =
      qualification.linearAddressValid && qualification.translatedAddressAccess && !qualification.fetch
    guard isOperand, !vmcs[.idtVectoringInformation].valid else { return nil }
    return OperandAccess(
      address: address, linearAddress: vmcs[.guestLinearAddress], isWrite: qualification.write)
  }

  /// The access of an APIC-access VM exit (SDM, "Exit Qualification for APIC-Access VM Exits from Linear Accesses and
  /// Guest-Physical Accesses").
  ///
  /// - Parameter base: the guest-physical address of the page.
  /// - Returns: nil if it is not an instruction's linear access to an operand.
  public func operandAccess(inPageAt base: UInt64, _ qualification: APICAccessQualification) -> OperandAccess? {
    let type = qualification.accessType
    guard type == .linearDataRead || type == .linearDataWrite, !vmcs[.idtVectoringInformation].valid else { return nil }
    return OperandAccess(
      address: base | UInt64(qualification.offset), linearAddress: nil, isWrite: type == .linearDataWrite)
  }
}
