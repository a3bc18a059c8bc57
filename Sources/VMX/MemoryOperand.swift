import VMCS

/// Why a memory operand cannot be accessed.
@frozen
public enum MemoryFault: Error, Equatable, Sendable {
  /// The access causes this exception.
  case exception(Event)
  /// The access causes a page fault at a linear address, which goes into CR2.
  case pageFault(linearAddress: UInt64, PageFaultErrorCode)
  /// There is no memory at a guest-physical address that the access, or the page walk for it, needs.
  case missingMemory(guestPhysicalAddress: UInt64, isWrite: Bool)
  /// Code, paging structures or descriptors have been changed while they were used: the guest is to execute the
  /// instruction again.
  case changed
}

/// Where a memory operand of up to a page is in guest-physical memory: in one piece, or in two if it crosses a page.
@frozen
public struct OperandLocation: Equatable, Sendable {
  /// The guest-physical address of the first byte.
  public var first: UInt64
  /// How many bytes are there.
  public var firstCount: Int
  /// The guest-physical address of the other bytes.
  public var second: UInt64

  /// Makes a location; `second` does not count if `firstCount` is the operand's size.
  @inlinable
  public init(first: UInt64, firstCount: Int, second: UInt64) {
    self.first = first
    self.firstCount = firstCount
    self.second = second
  }

  /// The guest-physical address of the operand's byte `index`.
  public func address(of index: Int) -> UInt64 {
    index < firstCount ? first + UInt64(index) : second + UInt64(index - firstCount)
  }

  /// Where the first and the second half of an operand of `byteCount` bytes are.
  public func halves(byteCount: Int) -> (Self, Self) {
    let half = byteCount / 2
    let firstHalf = Self(first: first, firstCount: min(firstCount, half), second: second)
    let isSplit = firstCount > half
    let secondHalf = Self(
      first: address(of: half), firstCount: isSplit ? firstCount - half : half, second: isSplit ? second : 0)
    return (firstHalf, secondHalf)
  }
}

/// Access to a segment's memory in the stead of an instruction of the guest: segmentation, alignment, paging.
///
/// SDM, "Protection" ("Limit Checking", "Type Checking", "Alignment Checking"), "Segmentation in IA-32e Mode",
/// "Canonical Addressing", "Paging".
public struct MemoryOperand: Sendable {
  /// The segment register.
  public var segment: GuestSegment
  /// The segment's descriptor.
  public var descriptor: GuestDescriptor
  /// Whether the guest executes 64-bit code.
  public var is64Bit: Bool
  /// Whether CR0.AM, RFLAGS.AC and CPL 3 ask for alignment checks.
  public var isAlignmentChecked: Bool
  /// The translation of linear addresses.
  public var translation: LinearAddressTranslation

  /// Makes an operand.
  public init(
    segment: GuestSegment, descriptor: GuestDescriptor, is64Bit: Bool, isAlignmentChecked: Bool,
    translation: LinearAddressTranslation
  ) {
    self.segment = segment
    self.descriptor = descriptor
    self.is64Bit = is64Bit
    self.isAlignmentChecked = isAlignmentChecked
    self.translation = translation
  }

  /// Finds the `byteCount` bytes, 1, 2, 4 or 8, at `offset` of the segment, and that the guest may access them so.
  public func locate<Memory: GuestPhysicalMemory>(
    _ offset: UInt64, byteCount: Int, for access: LinearAccess, in memory: Memory
  ) throws(MemoryFault) -> OperandLocation {
    let location = try translate(offset, byteCount: byteCount, for: access, in: memory)
    for index in 0..<byteCount where memory.load(location.address(of: index), as: UInt8.self) == nil {
      throw .missingMemory(guestPhysicalAddress: location.address(of: index), isWrite: access == .write)
    }
    return location
  }

  /// Finds the `byteCount` bytes, 1, 2, 4, 8 or 16, at `offset` of the segment, whether there is memory or not.
  public func translate<Memory: GuestPhysicalMemory>(
    _ offset: UInt64, byteCount: Int, for access: LinearAccess, in memory: Memory
  ) throws(MemoryFault) -> OperandLocation {
    let linear = try linearAddress(of: offset, byteCount: byteCount, for: access)
    if isAlignmentChecked && linear & UInt64(byteCount - 1) != 0 {
      throw .exception(.exception(.alignmentCheck, errorCode: 0))
    }
    let first = try physicalAddress(of: linear, for: access, in: memory)
    let firstCount = min(byteCount, Int(0x1000 - linear & 0xFFF))
    var location = OperandLocation(first: first, firstCount: firstCount, second: 0)
    if firstCount < byteCount {
      location.second = try physicalAddress(
        of: truncated(linear &+ UInt64(firstCount)), for: access, in: memory)
    }
    return location
  }

  /// The linear address of the operand, if the segment has all of it and allows the access.
  public func linearAddress(of offset: UInt64, byteCount: Int, for access: LinearAccess) throws(MemoryFault) -> UInt64 {
    let isAllowed = is64Bit || allows(access) && contains(offset, byteCount: byteCount)
    guard isAllowed else { throw segmentFault }
    guard is64Bit else { return truncated(descriptor.base &+ offset) }
    let hasBase = segment == .fs || segment == .gs
    let linear = hasBase ? descriptor.base &+ offset : offset
    guard isCanonical(linear), isCanonical(linear &+ UInt64(byteCount - 1)) else { throw segmentFault }
    return linear
  }

  /// #SS(0) for SS, #GP(0) for the others.
  private var segmentFault: MemoryFault {
    .exception(.exception(segment == .ss ? .stackSegmentFault : .generalProtection, errorCode: 0))
  }

  /// Whether the segment's type allows the access; every CS with which the guest runs can be fetched from, in virtual-8086
  /// and real-address mode a data segment, too.
  private func allows(_ access: LinearAccess) -> Bool {
    let rights = descriptor.accessRights
    guard !rights.unusable else { return false }
    let isCode = rights.type & 0b1000 != 0
    let isReadableCodeOrWritableData = rights.type & 0b0010 != 0
    return switch access {
    case .read: !isCode || isReadableCodeOrWritableData
    case .write: !isCode && isReadableCodeOrWritableData
    case .fetch: true
    }
  }

  /// Whether the segment's limit includes all bytes.
  private func contains(_ offset: UInt64, byteCount: Int) -> Bool {
    let rights = descriptor.accessRights
    let last = offset + UInt64(byteCount - 1)
    let isExpandDown = rights.type & 0b1100 == 0b0100
    guard isExpandDown else { return last <= UInt64(descriptor.limit) }
    return offset > UInt64(descriptor.limit) && last <= (rights.db ? 0xFFFF_FFFF : 0xFFFF)
  }

  private func isCanonical(_ address: UInt64) -> Bool {
    let width: UInt64 = translation.cr4.la57 ? 57 : 48
    let upper = Int64(bitPattern: address) >> Int64(width - 1)
    return upper == 0 || upper == -1
  }

  private func truncated(_ linear: UInt64) -> UInt64 { is64Bit ? linear : linear & 0xFFFF_FFFF }

  /// The guest-physical address of the byte at a linear address of the operand's.
  func physicalAddress<Memory: GuestPhysicalMemory>(
    of linear: UInt64, for access: LinearAccess, in memory: Memory
  ) throws(MemoryFault) -> UInt64 {
    switch translation.translate(linear, for: access, in: memory) {
    case .address(let address): return address
    case .pageFault(let code): throw .pageFault(linearAddress: linear, code)
    case .missingMemory(let address): throw .missingMemory(guestPhysicalAddress: address, isWrite: false)
    case .changed: throw .changed
    }
  }
}
