import VMCS

/// What decides about the instruction fetches of 64-bit code with 4-level paging.
struct QuickFetch {
  /// CR3.
  var cr3: UInt64
  /// Whether CPL is 3.
  var isUserMode: Bool
  /// CR4.SMEP.
  var smep: Bool
  /// The number of bits of a guest-physical address, 32 to 52.
  var physicalAddressWidth: UInt8

  /// The guest-physical address of an instruction, if that is quickly said: pages of at most 2 MBytes, accessed flags
  /// that are set already, no bit that could be reserved.
  ///
  /// - Returns: nil if `LinearAddressTranslation` has to say it, which then gives the address or the fault.
  @inline(__always)
  func address<Memory: GuestPhysicalMemory>(of linear: UInt64, in memory: Memory) -> UInt64? {
    let addressMask = PagingStructures.addressMask
    let needed = PagingEntry.present | PagingEntry.accessed
    let considered = needed | PagingEntry.executeDisable | addressMask & ~0 &<< UInt64(physicalAddressWidth)
    var entry = cr3
    var rights = PagingEntry.userMode
    // Bits 47:39 select an entry of 8 bytes in the first table.
    var shift: UInt64 = 36
    var isPage = false
    repeat {
      guard let next = memory.load(entry & addressMask | linear &>> shift & 0xFF8, as: UInt64.self),
        next & considered == needed
      else { return nil }
      entry = next
      rights &= entry
      isPage = shift == 9 || entry & PagingEntry.pageSize != 0
      shift &-= 9
    } while !isPage
    guard isUserMode ? rights != 0 : rights == 0 || !smep else { return nil }
    if shift == 0 { return entry & addressMask | linear & 0xFFF }
    // Bit 12 of an entry for a large page is PAT, bits 20:13 are reserved.
    guard shift == 9, entry & 0x1F_E000 == 0 else { return nil }
    return entry & addressMask & ~0x1F_FFFF | linear & 0x1F_FFFF
  }
}

extension LoadedVCPU {
  /// Reads the 15 bytes at RIP, if that is quickly done: 64-bit code, 4-level paging with nothing unusual, and no end of
  /// a page near.
  ///
  /// - Parameter physicalAddressWidth: the number of bits of a guest-physical address, as CPUID shows it.
  /// - Returns: nil if `fetchInstruction` has to say which bytes there are.
  @inline(__always)
  public func fetchQuickly<Memory: GuestPhysicalMemory>(
    physicalAddressWidth: UInt8, in memory: Memory
  ) -> InstructionBytes? {
    let rip = vmcs[.guestRIP]
    guard rip & 0xFFF <= 0xFF0, vmcs[.guestCSAccessRights].l, vmcs[.guestIA32EFER].lma else { return nil }
    let cr4 = vmcs[.guestCR4]
    guard !cr4.la57 else { return nil }
    let fetch = QuickFetch(
      cr3: vmcs[.guestCR3], isUserMode: vmcs[.guestSSAccessRights].dpl == 3, smep: cr4.smep,
      physicalAddressWidth: physicalAddressWidth)
    guard let address = fetch.address(of: rip, in: memory), let low = memory.load(address, as: UInt64.self),
      let high = memory.load(address &+ 8, as: UInt64.self)
    else { return nil }
    return InstructionBytes(low: low, high: high, count: InstructionBytes.limit)
  }
}
