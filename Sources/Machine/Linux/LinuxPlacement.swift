/// Where a kernel, its initrd and its command line go in a guest's memory.
///
/// All addresses are guest-physical. A placement is computed from sizes alone, so that a launcher can tell, before there is a guest, whether everything fits.
public struct LinuxPlacement: Equatable, Sendable {
  /// Where the protected-mode code is loaded.
  public let kernelAddress: UInt64
  /// Where the memory ends that the kernel needs until it manages memory itself.
  public let kernelEnd: UInt64
  /// Where the initrd is loaded; 0 if there is none.
  public let initrdAddress: UInt64

  /// The GDT.
  public static var gdtAddress: UInt64 { 0x1000 }
  /// The first address above the initial stack, of which 16 KiB are free.
  public static var stackTop: UInt64 { 0x7000 }
  /// `boot_params`.
  public static var bootParamsAddress: UInt64 { 0x7000 }
  /// The page tables, ``IdentityPageTables/byteCount`` bytes.
  public static var pageTablesAddress: UInt64 { 0x8000 }
  /// The command line, which ends below ``commandLineEnd`` with its zero byte.
  public static var commandLineAddress: UInt64 { 0x10000 }
  /// Where the room for the command line ends.
  public static var commandLineEnd: UInt64 { 0x20000 }

  /// Finds a place for everything.
  ///
  /// The kernel goes to `pref_address`, or to the next address above that is aligned as a relocatable kernel wants it:
  /// lower would gain nothing, as it moves itself up to `pref_address` before it unpacks. The initrd goes as high as RAM
  /// below 4 GiB and `initrd_addr_max` allow.
  ///
  /// - Parameters:
  ///   - kernel: The kernel.
  ///   - initrdByteCount: The initrd's length in bytes, or nil if there is none.
  ///   - commandLineByteCount: The command line's length in bytes, without a zero byte.
  ///   - layout: The guest's memory.
  /// - Throws: What does not fit.
  public init(
    kernel: LinuxKernel, initrdByteCount: UInt64?, commandLineByteCount: UInt64, layout: GuestMemoryLayout
  ) throws(LinuxLoaderError) {
    let room = Self.commandLineEnd - Self.commandLineAddress - 1
    let commandLineLimit = min(UInt64(kernel[.cmdlineSize]), room)
    if commandLineByteCount > commandLineLimit {
      throw .commandLineTooLong(byteCount: commandLineByteCount, limit: commandLineLimit)
    }

    let available = layout.lowByteCount
    let alignment = kernel.isRelocatable ? UInt64(kernel[.kernelAlignment]) : 1
    let wanted = max(kernel[.prefAddress], E820Map.extendedMemoryStart)
    let (aligned, isPastEnd) = wanted.addingReportingOverflow((0 &- wanted) & (alignment - 1))
    let (end, endIsPastEnd) = aligned.addingReportingOverflow(UInt64(kernel[.initSize]))
    guard !isPastEnd, !endIsPastEnd else { throw .tooLittleMemory(needed: .max, available: available) }
    guard end <= available else { throw .tooLittleMemory(needed: end, available: available) }
    kernelAddress = aligned
    kernelEnd = end

    guard let initrdByteCount else {
      initrdAddress = 0
      return
    }
    if initrdByteCount == 0 { throw .emptyInitrd }
    let limit = min(available, UInt64(kernel[.initrdAddrMax]) + 1) & ~0xFFF
    let start = (end + 0xFFF) & ~0xFFF
    let free = limit > start ? limit - start : 0
    guard initrdByteCount <= free else { throw .initrdDoesNotFit(byteCount: initrdByteCount, available: free) }
    initrdAddress = (limit - initrdByteCount) & ~0xFFF
  }
}
