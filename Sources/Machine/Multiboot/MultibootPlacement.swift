/// Where a Multiboot kernel, its modules and what it is told go in a guest's memory.
///
/// A placement is computed from sizes alone, so that a launcher can tell, before there is a guest, whether everything
/// fits.
public struct MultibootPlacement: Equatable, Sendable {
  /// What is added, with wraparound, to the addresses for which the kernel is linked; 0 if it cannot be moved.
  public let displacement: UInt64
  /// Where the first module goes, a multiple of 4 KiB; each of the others starts at the next page.
  public let modulesAddress: UInt64
  /// Where the sections go that are no part of the program, a multiple of 4 KiB.
  public let sectionsAddress: UInt64
  /// Where the GDT goes, and behind it what the kernel is told.
  public let informationAddress: UInt64
  /// The room there, in bytes.
  let informationByteCount: UInt64

  /// Where QEMU has this information, too: kernels start other processors in the pages below.
  private static var preferredInformationAddress: UInt64 { 0x9000 }

  /// Finds a place for everything.
  ///
  /// Nothing goes where the kernel is, nor outside of RAM that is free for an operating system. The modules go behind the
  /// kernel if they fit there.
  ///
  /// - Parameters:
  ///   - kernel: The kernel.
  ///   - modules: The sizes of its modules.
  ///   - commandLineByteCount: The length of its command line in bytes, without a zero byte.
  ///   - layout: The guest's memory.
  /// - Throws: What does not fit.
  public init(
    kernel: MultibootKernel, modules: BootModuleSizes, commandLineByteCount: Int, layout: GuestMemoryLayout
  ) throws(MultibootError) {
    let memory = FreeMemory(layout)
    displacement = try Self.displacement(of: kernel, in: memory)
    var taken = TakenMemory(kernel, displacement)
    let kernelEnd = kernel.linkedRange.upperBound &+ displacement

    informationByteCount = MultibootInformation.byteCount(
      of: kernel, modules: modules, commandLineByteCount: commandLineByteCount, rangeCount: E820Map(layout).count)
    guard let address = memory.place(informationByteCount, from: Self.preferredInformationAddress, besides: taken)
    else {
      throw .informationDoesNotFit(byteCount: informationByteCount)
    }
    informationAddress = address
    taken.information = address..<address + informationByteCount

    guard let address = memory.place(modules.byteCount, from: kernelEnd, besides: taken) else {
      throw .modulesDoNotFit(byteCount: modules.byteCount)
    }
    modulesAddress = address
    taken.modules = address..<address + modules.byteCount

    let sections = try Self.looseSectionsByteCount(of: kernel)
    guard let address = memory.place(sections, from: taken.modules.upperBound, besides: taken) else {
      throw .informationDoesNotFit(byteCount: sections)
    }
    sectionsAddress = address
  }

  /// The room for the sections that are no part of the program, each from a page on.
  private static func looseSectionsByteCount(of kernel: MultibootKernel) throws(MultibootError) -> UInt64 {
    guard let elf = kernel.elf else { return 0 }
    var total: UInt64 = 0
    for index in 0..<elf.sectionCount {
      if let section = try elf.looseSection(index) { total += (UInt64(section.count) + 0xFFF) & ~0xFFF }
    }
    return total
  }

  private static func displacement(of kernel: MultibootKernel, in memory: FreeMemory) throws(MultibootError) -> UInt64 {
    let linked = kernel.linkedRange
    guard let relocation = kernel.header.relocation else {
      for index in 0..<kernel.segmentCount {
        guard let range = kernel.segment(index)?.range, !memory.contains(range) else { continue }
        throw .missingMemory(start: range.lowerBound, end: range.upperBound)
      }
      return 0
    }
    let isPreferred = relocation.preference != 1 && relocation.preference != 2
    let isAllowed = linked.lowerBound >= relocation.lowest && linked.upperBound - 1 <= relocation.highest
    if isPreferred, isAllowed, memory.contains(linked) { return 0 }
    let size = linked.upperBound - linked.lowerBound
    guard relocation.lowest <= relocation.highest,
      let start = memory.place(
        size, within: UInt64(relocation.lowest)..<UInt64(relocation.highest) + 1,
        alignment: UInt64(max(relocation.alignment, 1)), fromTop: relocation.preference == 2)
    else { throw .noPlace(byteCount: size) }
    return start &- linked.lowerBound
  }
}

/// What of the guest's memory is taken already.
private struct TakenMemory {
  let kernel: MultibootKernel
  let displacement: UInt64
  var information = 0..<0 as Range<UInt64>
  var modules = 0..<0 as Range<UInt64>

  init(_ kernel: MultibootKernel, _ displacement: UInt64) {
    self.kernel = kernel
    self.displacement = displacement
  }

  /// The end of a part that overlaps `range`; nil if none does.
  func end(ofOverlapWith range: Range<UInt64>) -> UInt64? {
    if information.overlaps(range) { return information.upperBound }
    if modules.overlaps(range) { return modules.upperBound }
    for index in 0..<kernel.segmentCount {
      guard let segment = kernel.segment(index) else { continue }
      let start = segment.address &+ displacement
      let taken = start..<start + segment.byteCount
      if taken.overlaps(range) { return taken.upperBound }
    }
    return nil
  }
}

/// The RAM below 4 GiB that is free for an operating system: two ranges.
private struct FreeMemory {
  let low: Range<UInt64>
  let high: Range<UInt64>

  init(_ layout: GuestMemoryLayout) {
    low = 0..<min(layout.lowByteCount, E820Map.conventionalMemoryEnd)
    high = E820Map.extendedMemoryStart..<max(layout.lowByteCount, E820Map.extendedMemoryStart)
  }

  func contains(_ range: Range<UInt64>) -> Bool { low.contains(range) || high.contains(range) }

  /// The lowest multiple of 4 KiB with room for `byteCount` bytes, from `start` on or else from the start of RAM; nil if
  /// there is none.
  func place(_ byteCount: UInt64, from start: UInt64, besides taken: TakenMemory) -> UInt64? {
    lowest(byteCount, from: start, besides: taken) ?? lowest(byteCount, from: 0x1000, besides: taken)
  }

  private func lowest(_ byteCount: UInt64, from start: UInt64, besides taken: TakenMemory) -> UInt64? {
    guard byteCount <= high.upperBound else { return nil }
    var address = (min(start, high.upperBound) + 0xFFF) & ~0xFFF
    while address + byteCount <= high.upperBound {
      let range = address..<address + byteCount
      if range.lowerBound < high.lowerBound, range.upperBound > low.upperBound {
        address = high.lowerBound
      } else if let end = taken.end(ofOverlapWith: range) {
        address = (end + 0xFFF) & ~0xFFF
      } else {
        return address
      }
    }
    return nil
  }

  /// A place within `limits` for `byteCount` bytes, the highest or the lowest; nil if there is none.
  ///
  /// The first page is never one.
  func place(_ byteCount: UInt64, within limits: Range<UInt64>, alignment: UInt64, fromTop: Bool) -> UInt64? {
    let firstPage: UInt64 = 0x1000
    let low = Self.place(
      byteCount, in: min(firstPage, self.low.upperBound)..<self.low.upperBound, limits, alignment, fromTop)
    let high = Self.place(byteCount, in: self.high, limits, alignment, fromTop)
    return fromTop ? high ?? low : low ?? high
  }

  private static func place(
    _ byteCount: UInt64, in memory: Range<UInt64>, _ limits: Range<UInt64>, _ alignment: UInt64, _ fromTop: Bool
  ) -> UInt64? {
    let range = memory.clamped(to: limits)
    guard byteCount <= range.upperBound - range.lowerBound else { return nil }
    let last = (range.upperBound - byteCount) / alignment * alignment
    let first = (range.lowerBound + alignment - 1) / alignment * alignment
    return first <= last ? (fromTop ? last : first) : nil
  }
}
