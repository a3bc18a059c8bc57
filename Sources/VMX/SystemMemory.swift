import VMCS

/// The guest's linear memory, for what the processor reads and writes there for itself: task-state segments and descriptor
/// tables.
///
/// SDM, "Access Rights": these are implicit supervisor-mode accesses, whatever CPL and RFLAGS.AC are. Outside IA-32e mode
/// addresses have 32 bits.
struct SystemMemory<Memory: GuestPhysicalMemory> {
  private var translation: LinearAddressTranslation
  private let memory: Memory

  /// Accesses `memory` by `translation`, as a supervisor.
  init(_ translation: LinearAddressTranslation, _ memory: Memory) {
    self.translation = translation
    self.translation.isUserMode = false
    self.translation.alignmentCheck = false
    self.memory = memory
  }

  /// The integer of `byteCount` bytes, at most 8, at `address`.
  ///
  /// An aligned quadword, as a descriptor is, is read at once (SDM, "Guaranteed Atomic Operations").
  func load(_ address: UInt64, byteCount: Int) throws(MemoryFault) -> UInt64 {
    if byteCount == 8 && address & 7 == 0 { return try load(address, as: UInt64.self) }
    var value: UInt64 = 0
    for index in 0..<byteCount {
      value |= UInt64(try load(address &+ UInt64(index), as: UInt8.self)) << UInt64(8 * index)
    }
    return value
  }

  private func load<Value: FixedWidthInteger & BitwiseCopyable>(
    _ address: UInt64, as type: Value.Type
  ) throws(MemoryFault) -> Value {
    let location = try physicalAddress(address, for: .read)
    guard let value = memory.load(location, as: type) else {
      throw .missingMemory(guestPhysicalAddress: location, isWrite: false)
    }
    return value
  }

  /// Stores the lower `byteCount` bytes, at most 8, of `value` at `address`.
  func store(_ value: UInt64, byteCount: Int, at address: UInt64) throws(MemoryFault) {
    for index in 0..<byteCount {
      let location = try physicalAddress(address &+ UInt64(index), for: .write)
      guard memory.store(UInt8(truncatingIfNeeded: value >> UInt64(8 * index)), at: location) else {
        throw .missingMemory(guestPhysicalAddress: location, isWrite: true)
      }
    }
  }

  /// Stores a byte where `old` was found before, by a locked access; throws `.changed` if it is not there any more.
  func replace(_ old: UInt8, with new: UInt8, at address: UInt64) throws(MemoryFault) {
    let location = try physicalAddress(address, for: .write)
    guard memory.replace(UInt64(old), with: UInt64(new), byteCount: 1, at: location) else { throw .changed }
  }

  /// Clears those bits of the byte at `address` that `bits` has, by locked accesses; throws `.changed` if other
  /// processors change it each time that it has been read.
  func clear(_ bits: UInt8, at address: UInt64) throws(MemoryFault) {
    for _ in 0..<LinearAddressTranslation.attempts {
      let old = UInt8(truncatingIfNeeded: try load(address, byteCount: 1))
      do throws(MemoryFault) { return try replace(old, with: old & ~bits, at: address) } catch {
        guard case .changed = error else { throw error }
      }
    }
    throw .changed
  }

  /// Throws what an access to the `byteCount` bytes, 1 to 4,096, at `address` would.
  func require(_ address: UInt64, byteCount: Int, for access: LinearAccess) throws(MemoryFault) {
    try require(address, for: access)
    try require(address &+ UInt64(byteCount - 1), for: access)
  }

  private func require(_ address: UInt64, for access: LinearAccess) throws(MemoryFault) {
    let location = try physicalAddress(address, for: access)
    guard memory.load(location, as: UInt8.self) != nil else {
      throw .missingMemory(guestPhysicalAddress: location, isWrite: access == .write)
    }
  }

  private func physicalAddress(_ address: UInt64, for access: LinearAccess) throws(MemoryFault) -> UInt64 {
    let linear = translation.efer.lma ? address : address & 0xFFFF_FFFF
    switch translation.translate(linear, for: access, in: memory) {
    case .address(let location): return location
    case .pageFault(let code): throw .pageFault(linearAddress: linear, code)
    case .missingMemory(let location): throw .missingMemory(guestPhysicalAddress: location, isWrite: false)
    case .changed: throw .changed
    }
  }
}
