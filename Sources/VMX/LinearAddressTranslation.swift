import VMCS

/// What an access to a linear address is for.
@frozen
public enum LinearAccess: Sendable, CaseIterable {
  /// Reads of data.
  case read
  /// Writes of data.
  case write
  /// Instruction fetches.
  case fetch
}

/// What a linear address translates to.
@frozen
public enum LinearTranslation: Equatable, Sendable {
  /// The guest-physical address.
  case address(UInt64)
  /// The access causes a page fault.
  case pageFault(PageFaultErrorCode)
  /// The walk reads a paging-structure entry at a guest-physical address where there is no memory.
  case missingMemory(guestPhysicalAddress: UInt64)
  /// Each walk has found its entries changed when it was to set their flags.
  case changed
}

/// The translation of the guest's linear addresses by its own paging structures (SDM, "Paging").
///
/// It does what the processor would do for an access that Skep makes in the guest's stead: checks the entries and the
/// access rights, and sets accessed and dirty flags. Nothing is cached. Shadow-stack accesses and the features that need
/// more state than this (protection keys for supervisor-mode pages, HLAT, LASS, LAM) are not among what a guest of Skep
/// has.
public struct LinearAddressTranslation: Sendable {
  /// CR0, of which PG and WP count.
  public var cr0: CR0
  /// CR3.
  public var cr3: UInt64
  /// CR4, of which PSE, PAE, LA57, SMEP, SMAP and PKE count.
  public var cr4: CR4
  /// IA32_EFER, of which LMA and NXE count.
  public var efer: IA32EFER
  /// The PDPTE registers, which PAE paging uses.
  public var pdptes: InlineArray<4, UInt64> = [0, 0, 0, 0]
  /// Whether the access is a user-mode access: CPL is 3.
  public var isUserMode: Bool
  /// RFLAGS.AC, which allows supervisor-mode data accesses to user-mode addresses in spite of SMAP.
  public var alignmentCheck: Bool
  /// PKRU.
  public var pkru: UInt32 = 0
  /// The number of bits of a guest-physical address, 32 to 52.
  public var physicalAddressWidth: UInt8
  /// Whether the guest's processor has 1-GByte pages.
  public var has1GBPages: Bool

  /// Makes a translation by registers; PDPTE registers and PKRU are 0.
  public init(
    cr0: CR0, cr3: UInt64, cr4: CR4, efer: IA32EFER, isUserMode: Bool, alignmentCheck: Bool,
    physicalAddressWidth: UInt8, has1GBPages: Bool
  ) {
    self.cr0 = cr0
    self.cr3 = cr3
    self.cr4 = cr4
    self.efer = efer
    self.isUserMode = isUserMode
    self.alignmentCheck = alignmentCheck
    self.physicalAddressWidth = physicalAddressWidth
    self.has1GBPages = has1GBPages
  }

  /// Translates `address`, as the processor does for an access of this kind to one byte there.
  ///
  /// Accessed and dirty flags are set if, and only if, the access is allowed. If another processor changes an entry whose
  /// flags are to be set, the walk begins again, up to 64 times, so that it cannot keep the host busy. An address that is
  /// not canonical is the caller's to refuse: its upper bits are ignored here, as are bits 63:32 outside IA-32e mode.
  public func translate<Memory: GuestPhysicalMemory>(
    _ address: UInt64, for access: LinearAccess, in memory: Memory
  ) -> LinearTranslation {
    guard cr0.pg else { return .address(address & 0xFFFF_FFFF) }
    let structures = PagingStructures(self)
    guard let table = structures.root(for: address) else { return .pageFault(errorCode(access)) }
    for _ in 0..<Self.attempts {
      if let translation = walk(address, for: access, structures, from: table, in: memory) { return translation }
    }
    return .changed
  }

  /// How often a page walk, or another update of what other processors change meanwhile, begins.
  static var attempts: Int { 64 }

  /// One page walk; nil if entries have changed meanwhile.
  private func walk<Memory: GuestPhysicalMemory>(
    _ address: UInt64, for access: LinearAccess, _ structures: PagingStructures, from table: UInt64, in memory: Memory
  ) -> LinearTranslation? {
    var walk = PagingWalk(structures, from: table)
    while true {
      let location = walk.location(of: address)
      guard let entry = structures.load(location, in: memory) else {
        return .missingMemory(guestPhysicalAddress: location)
      }
      guard entry & PagingEntry.present != 0 else { return .pageFault(errorCode(access)) }
      let isPage = structures.mapsPage(entry, level: walk.level)
      if entry & structures.reserved(entry, level: walk.level, isPage: isPage) != 0 {
        return .pageFault(errorCode(access, rsvd: true))
      }
      walk.descend(through: entry, at: location)
      guard isPage else { continue }
      if let fault = violation(access, walk.rights, PagingEntry.protectionKey(of: entry)) { return .pageFault(fault) }
      guard walk.setFlags(isWrite: access == .write, in: memory) else { return nil }
      return .address(structures.pageAddress(entry, level: walk.level + 1, of: address))
    }
  }

  /// The error code of a page fault: not-present unless more is said.
  private func errorCode(_ access: LinearAccess, p: Bool = false, rsvd: Bool = false, pk: Bool = false)
    -> PageFaultErrorCode
  {
    var code = PageFaultErrorCode(rawValue: 0)
    code.p = p || rsvd
    code.wr = access == .write
    code.us = isUserMode
    code.rsvd = rsvd
    code.id = access == .fetch && (cr4.smep || cr4.pae && efer.nxe)
    code.pk = pk
    return code
  }

  /// The page fault of an access that the rights do not allow (SDM, "Determination of Access Rights"); nil if they do.
  private func violation(_ access: LinearAccess, _ rights: PageRights, _ key: UInt32) -> PageFaultErrorCode? {
    let keyRights = efer.lma && cr4.pke && rights.isUserMode && access != .fetch ? pkru >> (2 * key) : 0
    let isAllowed =
      switch (access, isUserMode) {
      case (.read, true): rights.isUserMode
      case (.write, true): rights.isUserMode && rights.isWritable
      case (.fetch, true): rights.isUserMode && rights.isExecutable
      case (.read, false): !isForbiddenBySMAP(rights)
      case (.write, false): !isForbiddenBySMAP(rights) && (rights.isWritable || !cr0.wp)
      case (.fetch, false): rights.isExecutable && !(cr4.smep && rights.isUserMode)
      }
    let accessDisable = keyRights & 1 != 0
    let writeDisable = keyRights & 2 != 0 && access == .write && (isUserMode || cr0.wp)
    let isForbiddenByKey = accessDisable || writeDisable
    return isAllowed && !isForbiddenByKey ? nil : errorCode(access, p: true, pk: isForbiddenByKey)
  }

  private func isForbiddenBySMAP(_ rights: PageRights) -> Bool { cr4.smap && !alignmentCheck && rights.isUserMode }
}
