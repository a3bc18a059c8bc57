import VMCS

@testable import VMX

/// The page walk once more, written down mode by mode from the SDM's tables of entry formats, to compare with.
///
/// Entries are lists of bits here and nothing is shared with the code under test but the types of its question.
struct NaivePageWalk {
  let state: LinearAddressTranslation
  let memory: FlatMemory

  enum Answer: Equatable {
    case address(UInt64)
    case fault(UInt32)
    case missing(UInt64)
  }

  /// The answer, and what the entries at these addresses become.
  func walk(_ linear: UInt64, _ access: LinearAccess) -> (Answer, [UInt64: UInt64]) {
    if !state.cr0.pg { return (.address(linear % (1 << 32)), [:]) }
    if !state.cr4.pae { return walk32Bit(linear, access) }
    if !state.efer.lma {
      let pdpte = state.pdptes[Int((linear / (1 << 30)) % 4)]
      if pdpte % 2 == 0 { return (.fault(code(access, [])), [:]) }
      return walkWide(linear, access, table: frame(pdpte), levels: [21, 12])
    }
    return walkWide(
      linear, access, table: frame(state.cr3), levels: state.cr4.la57 ? [48, 39, 30, 21, 12] : [39, 30, 21, 12])
  }

  private func bit(_ value: UInt64, _ number: Int) -> Bool { (value >> UInt64(number)) % 2 == 1 }
  private func frame(_ entry: UInt64) -> UInt64 { (entry % (1 << 52)) / 4096 * 4096 }

  private func walk32Bit(_ linear: UInt64, _ access: LinearAccess) -> (Answer, [UInt64: UInt64]) {
    let pdeAddress = (state.cr3 % (1 << 32)) / 4096 * 4096 + (linear / (1 << 22)) % 1024 * 4
    guard let pde32 = memory.load(pdeAddress, as: UInt32.self) else { return (.missing(pdeAddress), [:]) }
    let pde = UInt64(pde32)
    if !bit(pde, 0) { return (.fault(code(access, [])), [:]) }
    if state.cr4.pse && bit(pde, 7) {
      for number in 13...21 where bit(pde, number) {
        if number == 21 || number + 19 >= state.physicalAddressWidth { return (.fault(code(access, [0, 3])), [:]) }
      }
      if let fault = denied(access, [pde], leaf: pde) { return (.fault(fault), [:]) }
      let base = pde / (1 << 22) * (1 << 22) + (pde / (1 << 13)) % 256 * (1 << 32)
      return (.address(base + linear % (1 << 22)), [pdeAddress: flagged(pde, access, isLeaf: true)])
    }
    let pteAddress = frame(pde) + (linear / 4096) % 1024 * 4
    guard let pte32 = memory.load(pteAddress, as: UInt32.self) else { return (.missing(pteAddress), [:]) }
    let pte = UInt64(pte32)
    if !bit(pte, 0) { return (.fault(code(access, [])), [:]) }
    if let fault = denied(access, [pde, pte], leaf: pte) { return (.fault(fault), [:]) }
    var changes = [pdeAddress: flagged(pde, access, isLeaf: false)]
    changes[pteAddress] = flagged(pte, access, isLeaf: true)
    return (.address(frame(pte) + linear % 4096), changes)
  }

  private func walkWide(
    _ linear: UInt64, _ access: LinearAccess, table: UInt64, levels: [Int]
  ) -> (Answer, [UInt64: UInt64]) {
    var table = table
    var entries: [UInt64] = []
    var changes: [UInt64: UInt64] = [:]
    for shift in levels {
      let address = table + (linear >> UInt64(shift)) % 512 * 8
      guard let entry = memory.load(address, as: UInt64.self) else { return (.missing(address), [:]) }
      if !bit(entry, 0) { return (.fault(code(access, [])), [:]) }
      let isLeaf = shift == 12 || bit(entry, 7) && (shift == 21 || shift == 30 && state.has1GBPages)
      if isReservedBitSet(entry, shift: shift, isLeaf: isLeaf) { return (.fault(code(access, [0, 3])), [:]) }
      entries.append(entry)
      changes[address] = flagged(entry, access, isLeaf: isLeaf)
      if isLeaf {
        if let fault = denied(access, entries, leaf: entry) { return (.fault(fault), [:]) }
        let size = UInt64(1) << UInt64(shift)
        return (.address((entry % (1 << 52)) / size * size + linear % size), changes)
      }
      table = frame(entry)
    }
    return (.missing(0), [:])
  }

  private func isReservedBitSet(_ entry: UInt64, shift: Int, isLeaf: Bool) -> Bool {
    if bit(entry, 63) && !state.efer.nxe { return true }
    for number in Int(state.physicalAddressWidth)..<52 where bit(entry, number) { return true }
    if !state.efer.lma { for number in 52...62 where bit(entry, number) { return true } }
    if shift >= 39 || shift == 30 && !state.has1GBPages { if bit(entry, 7) { return true } }
    if isLeaf && shift > 12 { for number in 13..<shift where bit(entry, number) { return true } }
    return false
  }

  private func flagged(_ entry: UInt64, _ access: LinearAccess, isLeaf: Bool) -> UInt64 {
    entry | 0x20 | (isLeaf && access == .write ? 0x40 : 0)
  }

  /// The error code if the access is not allowed (SDM, "Determination of Access Rights", sentence by sentence).
  private func denied(_ access: LinearAccess, _ entries: [UInt64], leaf: UInt64) -> UInt32? {
    let isUserAddress = entries.allSatisfy { bit($0, 2) }
    let isWritable = entries.allSatisfy { bit($0, 1) }
    let isExecuteDisabled = entries.contains { bit($0, 63) }
    var key = (access: false, write: false)
    if state.efer.lma && state.cr4.pke && isUserAddress {
      let number = Int((leaf >> 59) % 16)
      key = (bit(UInt64(state.pkru), 2 * number), bit(UInt64(state.pkru), 2 * number + 1))
    }
    var allowed = true
    var keyViolation = false
    switch access {
    case .read, .write:
      if state.isUserMode {
        if !isUserAddress { allowed = false }
      } else if isUserAddress && state.cr4.smap && !state.alignmentCheck {
        allowed = false
      }
      if key.access { keyViolation = true }
      if access == .write {
        if (state.isUserMode || state.cr0.wp) && !isWritable { allowed = false }
        if (state.isUserMode || state.cr0.wp) && key.write { keyViolation = true }
      }
    case .fetch:
      if state.isUserMode && !isUserAddress { allowed = false }
      if !state.isUserMode && isUserAddress && state.cr4.smep { allowed = false }
      if isExecuteDisabled { allowed = false }
    }
    if allowed && !keyViolation { return nil }
    return code(access, keyViolation ? [0, 5] : [0])
  }

  private func code(_ access: LinearAccess, _ bits: [Int]) -> UInt32 {
    var bits = Set(bits)
    if access == .write { bits.insert(1) }
    if state.isUserMode { bits.insert(2) }
    if access == .fetch && (state.cr4.smep || state.cr4.pae && state.efer.nxe) { bits.insert(4) }
    return bits.reduce(0) { $0 | 1 << UInt32($1) }
  }
}
