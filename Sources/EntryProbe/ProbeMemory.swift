/// The memory that probe states refer to: 16 MiB that nothing else uses, at a place that both sides know.
///
/// Everything from `zeroed.lowerBound` on that has no content here is 0, up to the end of the emulated memory, behind which
/// the emulator reads ones. So a state with an address of which a bit is wrong is predictable too.
public enum ProbeMemory {
  /// The whole that the probe sets to 0 before it fills pages; its end is the end of the machine's memory.
  public static var zeroed: Range<UInt64> { 0x100_0000..<0x800_0000 }

  /// A page with a content or a purpose.
  public enum Page: UInt64, CaseIterable, Sendable {
    /// Four page-directory-pointer-table entries for PAE paging, at offset 0x20.
    case pageDirectoryPointers = 0x300_1000
    /// Where CR3 and EPTP of states point: no entry is present.
    case emptyTable = 0x300_2000
    /// Entries of a VM-entry MSR-load area that can be loaded, in front of one that cannot.
    case loadableMSRs = 0x300_4000
    /// As before with an MSR that must not be loaded, by one of several reasons, at the start of each page.
    case forbiddenFSBase = 0x300_8000
    case forbiddenX2APIC = 0x300_9000
    case reservedBits = 0x300_A000
    case forbiddenSMM = 0x300_B000
    case badPAT = 0x300_C000
    case nonCanonical = 0x300_D000
    /// As before with an MSR that a processor may load or not.
    case microcodeUpdate = 0x300_E000
    /// A VMCS region, and one that is marked as a shadow VMCS.
    case vmcs = 0x301_0000
    case shadowVMCS = 0x301_1000
    /// A virtual-APIC page with a VTPR of 0x50.
    case virtualAPIC = 0x302_0000
    /// The first of pages that are only pointed to.
    case unused = 0x304_0000

    /// The page's address.
    public var address: UInt64 { rawValue }
  }

  /// The quadword at `address`, which is a multiple of 8; nil if it is not known.
  ///
  /// - Parameter revisionIdentifier: the processor's VMCS revision identifier.
  public static func quadword(at address: UInt64, revisionIdentifier: UInt64) -> UInt64? {
    if address >= zeroed.upperBound { return address < 0xC000_0000 || address >= 1 << 32 ? ~0 : nil }
    if address < zeroed.lowerBound { return nil }
    guard let page = Page(rawValue: address & ~0xFFF) else { return 0 }
    return content(page, offset: address & 0xFFF, revisionIdentifier)
  }

  private static func content(_ page: Page, offset: UInt64, _ revisionIdentifier: UInt64) -> UInt64 {
    switch page {
    case .pageDirectoryPointers:
      let entries: InlineArray<4, UInt64> = [0x304_1001, 0x304_2019, 0xE00, 0x304_3001]
      return offset >= 0x20 && offset < 0x40 ? entries[Int(offset - 0x20) / 8] : 0
    case .loadableMSRs: return msr(offset, nil)
    case .forbiddenFSBase: return msr(offset, (0xC000_0100, 0))
    case .forbiddenX2APIC: return msr(offset, (0x808, 0))
    case .reservedBits: return msr(offset, (0x1_0000_0174, 0))
    case .forbiddenSMM: return msr(offset, (0x9B, 0))
    case .badPAT: return msr(offset, (0x277, 0x0007_0406_0002_0406))
    case .nonCanonical: return msr(offset, (0xC000_0082, 0x8000_0000_0000))
    case .microcodeUpdate: return msr(offset, (0x79, 0))
    case .vmcs: return offset == 0 ? revisionIdentifier : 0
    case .shadowVMCS: return offset == 0 ? revisionIdentifier | 1 << 31 : 0
    case .virtualAPIC: return offset == 0x80 ? 0x50 : 0
    case .emptyTable, .unused: return 0
    }
  }

  /// An MSR-load area: `first` if it is given, then IA32_SYSENTER_CS and IA32_PAT, then IA32_FS_BASE, which must not be
  /// loaded, again and again.
  private static func msr(_ offset: UInt64, _ first: (UInt64, UInt64)?) -> UInt64 {
    let number = offset >> 4
    let entry: (UInt64, UInt64)
    switch number {
    case 0: entry = first ?? (0x174, 0x10)
    case 1: entry = (0x277, 0x0007_0406_0007_0406)
    default: entry = (0xC000_0100, 0)
    }
    return offset & 8 == 0 ? entry.0 : entry.1
  }
}
