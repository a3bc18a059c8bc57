import VMCS

extension LinearAddressTranslation {
  /// The guest-physical address of an instruction in 64-bit code, if that is quickly said: 4-level paging, pages of at
  /// most 2 MBytes, accessed flags that are set already, no bit that could be reserved.
  ///
  /// - Returns: nil if `translate` has to say it, which then gives the address or the fault.
  func quickFetchAddress<Memory: GuestPhysicalMemory>(_ address: UInt64, in memory: Memory) -> UInt64? {
    guard cr0.pg, efer.lma, !cr4.la57 else { return nil }
    let needed = PagingEntry.present | PagingEntry.accessed
    let forbidden = PagingEntry.executeDisable | PagingStructures.addressMask & ~0 << UInt64(physicalAddressWidth)
    var table = cr3 & PagingStructures.addressMask
    var rights = PagingEntry.userMode
    var shift: UInt64 = 39
    while true {
      guard let entry = memory.load(table | address &>> (shift &- 3) & 0xFF8, as: UInt64.self),
        entry & (needed | forbidden) == needed
      else { return nil }
      rights &= entry
      let isPage = shift == 12 || entry & PagingEntry.pageSize != 0
      guard isPage else {
        table = entry & PagingStructures.addressMask
        shift &-= 9
        continue
      }
      let offset: UInt64 = (1 &<< shift) &- 1
      // Bit 12 of an entry for a large page is PAT.
      let isAllowed = isUserMode ? rights != 0 : rights == 0 || !cr4.smep
      guard isAllowed, shift <= 21, shift == 12 || entry & offset & ~0x1FFF == 0 else { return nil }
      return entry & PagingStructures.addressMask & ~offset | address & offset
    }
  }
}
