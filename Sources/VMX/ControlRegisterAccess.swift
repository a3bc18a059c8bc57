import VMCS

extension LoadedVCPU {
  /// Emulates the control-register access of the exit (SDM, "MOV—Move to/from Control Registers").
  ///
  /// Only what the masks make exit comes here: MOV to CR0 that changes a bit the host owns, MOV to CR4 likewise, and MOV
  /// to and from CR8. After MOV to CR8 the caller evaluates what `taskPriority` masks.
  ///
  /// - Parameters:
  ///   - access: the exit qualification.
  ///   - memory: where the PDPTEs are.
  ///   - physicalAddressWidth: the number of bits of a guest-physical address, as CPUID shows it.
  @inline(never)
  public mutating func emulate<Memory: GuestPhysicalMemory>(
    _ access: ControlRegisterAccessQualification, memory: Memory, physicalAddressWidth: UInt8
  ) {
    let index = Int(access.register.rawValue)
    let movToControlRegister: UInt8 = 0
    let movFromControlRegister: UInt8 = 1
    let clts: UInt8 = 2
    let lmsw: UInt8 = 3
    switch (access.accessType.rawValue, access.controlRegister) {
    case (movToControlRegister, 0): writeCR0(operand(index), memory, physicalAddressWidth)
    case (movToControlRegister, 4): writeCR4(operand(index), memory, physicalAddressWidth)
    case (movToControlRegister, 8):
      let value = operand(index)
      if value > 15 { return raise(.generalProtection) }
      taskPriority = UInt8(truncatingIfNeeded: value << 4)
      advance()
    case (movFromControlRegister, 8):
      setGeneralPurposeRegister(index, to: UInt64(taskPriority >> 4))
      advance()
    case (clts, 0):
      let taskSwitched: UInt64 = 1 << 3
      writeCR0(register(.cr0) & ~taskSwitched, memory, physicalAddressWidth)
    case (lmsw, 0):
      // It changes bits 3:0 and does not clear PE.
      let cr0 = register(.cr0)
      writeCR0(cr0 & ~0xE | UInt64(access.lmswSourceData) & 0xF | cr0 & 1, memory, physicalAddressWidth)
    default: raise(.generalProtection)
    }
  }

  /// The operand of a MOV to a control register: 64 bits in 64-bit mode, otherwise 32.
  private func operand(_ index: Int) -> UInt64 {
    let value = generalPurposeRegister(index)
    return is64Bit ? value : value & 0xFFFF_FFFF
  }

  private mutating func setGeneralPurposeRegister(_ index: Int, to value: UInt64) {
    if index == 4 { vmcs[.guestRSP] = value } else { state.registerFile[index] = value }
  }

  private mutating func writeCR4<Memory: GuestPhysicalMemory>(
    _ written: UInt64, _ memory: Memory, _ physicalAddressWidth: UInt8
  ) {
    let old = CR4(rawValue: register(.cr4))
    let new = CR4(rawValue: written)
    let cr0 = vmcs[.guestCR0]
    let efer = vmcs[.guestIA32EFER]
    guard isLegal(new, old: old, cr0: cr0, efer: efer) else { return raise(.generalProtection) }
    let changed = new.rawValue ^ old.rawValue
    let reloadsPDPTEs = cr0.pg && new.pae && !efer.lma && changed & Self.reloadingBitsOfCR4 != 0
    if reloadsPDPTEs && !loadPDPTEs(from: memory, physicalAddressWidth) { return raise(.generalProtection) }
    setCR4(written)
    if changed & Self.flushingBitsOfCR4 != 0 { state.needsVPIDFlush = true }
    advance()
  }

  /// The combinations for which MOV to CR4 raises #GP(0).
  ///
  /// Bits that the host fixes are those that the guest's processor does not have.
  private func isLegal(_ new: CR4, old: CR4, cr0: CR0, efer: IA32EFER) -> Bool {
    if new.rawValue & state.settings.cr4.fixed != 0 { return false }
    if efer.lma && (!new.pae || new.la57 != old.la57) { return false }
    if new.pcide && !old.pcide && (!efer.lma || vmcs[.guestCR3] & 0xFFF != 0) { return false }
    return !new.cet || cr0.wp
  }

  private mutating func writeCR0<Memory: GuestPhysicalMemory>(
    _ written: UInt64, _ memory: Memory, _ physicalAddressWidth: UInt8
  ) {
    let old = CR0(rawValue: register(.cr0))
    // Reserved bits of the lower half are ignored and ET is always 1.
    var new = CR0(rawValue: written & (ControlRegisterMasks.definedInCR0 | ~0xFFFF_FFFF))
    new.et = true
    var efer = vmcs[.guestIA32EFER]
    let cr4 = vmcs[.guestCR4]
    guard isLegal(new, old: old, cr4: cr4, efer: efer) else { return raise(.generalProtection) }

    efer.lma = new.pg && efer.lme
    let reloadsPDPTEs =
      new.pg && cr4.pae && !efer.lma && (new.rawValue ^ old.rawValue) & Self.reloadingBits.rawValue != 0
    if reloadsPDPTEs && !loadPDPTEs(from: memory, physicalAddressWidth) { return raise(.generalProtection) }
    setEFER(efer)
    setCR0(new.rawValue)
    if (new.rawValue ^ old.rawValue) & Self.flushingBits.rawValue != 0 { state.needsVPIDFlush = true }
    advance()
  }

  /// The combinations for which MOV to CR0 raises #GP(0).
  private mutating func isLegal(_ new: CR0, old: CR0, cr4: CR4, efer: IA32EFER) -> Bool {
    if new.rawValue >> 32 != 0 { return false }
    if new.pg && !new.pe || new.nw && !new.cd { return false }
    if new.pg && !old.pg && efer.lme {
      // The last: IA-32e mode has no 16-bit TSSs.
      if !cr4.pae || vmcs[.guestCSAccessRights].l || vmcs[.guestTRAccessRights].rawValue & 0xF == 3 { return false }
    }
    if !new.pg && old.pg && (is64Bit || cr4.pcide) { return false }
    if !new.wp && cr4.cet { return false }
    return true
  }

  /// Loads the PDPTEs as MOV to CR0 does with PAE paging (SDM, "PDPTE Registers"); false if one is illegal.
  func loadPDPTEs<Memory: GuestPhysicalMemory>(
    from memory: Memory, _ physicalAddressWidth: UInt8
  ) -> Bool {
    let table = vmcs[.guestCR3] & 0xFFFF_FFE0
    let reserved = Self.reservedInPDPTE | ~0 << UInt64(physicalAddressWidth)
    var entries: InlineArray<4, UInt64> = [0, 0, 0, 0]
    for index in 0..<4 {
      guard let entry = memory.load(table + UInt64(8 * index), as: UInt64.self) else { return false }
      if entry & 1 != 0 && entry & reserved != 0 { return false }
      entries[index] = entry
    }
    vmcs[.guestPDPTE0] = entries[0]
    vmcs[.guestPDPTE1] = entries[1]
    vmcs[.guestPDPTE2] = entries[2]
    vmcs[.guestPDPTE3] = entries[3]
    return true
  }

  /// CD, NW and PG: a change of one reloads the PDPTEs.
  private static var reloadingBits: CR0 { CR0(rawValue: 0xE000_0000) }
  /// PG, WP and PE: a change of one makes linear translations stale.
  private static var flushingBits: CR0 { CR0(rawValue: 0x8001_0001) }
  /// PSE, PAE, PGE and SMEP: a change of one reloads the PDPTEs.
  private static var reloadingBitsOfCR4: UInt64 { 0x0010_00B0 }
  /// PSE, PAE, PGE, LA57, PCIDE, SMEP, SMAP, PKE, CET and PKS: a change of one makes linear translations stale.
  private static var flushingBitsOfCR4: UInt64 { 0x01F2_10B0 }
  /// Bits 2:1 and 8:5; those from the physical-address width on are reserved too.
  private static var reservedInPDPTE: UInt64 { 0x1E6 }
}
