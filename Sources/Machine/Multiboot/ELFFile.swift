/// An ELF file for x86 that is an executable: a view of its bytes whose headers have been checked.
///
/// It owns nothing. Names are those of the "Tool Interface Standard (TIS) Executable and Linking Format (ELF)
/// Specification"; a file for x86-64 is entered in 32-bit mode all the same.
struct ELFFile {
  /// The greatest number of program headers that are taken.
  static var programHeaderLimit: Int { 128 }

  let bytes: UnsafeRawBufferPointer
  /// ELFCLASS64, not ELFCLASS32.
  let is64Bit: Bool

  /// Checks the ELF header and where the tables are.
  init(_ bytes: UnsafeRawBufferPointer) throws(MultibootError) {
    let format = ForeignFileFormat(bytes)
    switch format {
    case .elf(machine: 3), .elf(machine: 62): break
    default: throw .notLoadable(format)
    }
    guard bytes[4] == 1 || bytes[4] == 2, bytes[5] == 1 else { throw .notLoadable(format) }
    is64Bit = bytes[4] == 2
    self.bytes = bytes
    let headerSize = is64Bit ? 64 : 52
    guard bytes.count >= headerSize else {
      throw .truncated(expected: UInt64(headerSize), found: UInt64(bytes.count))
    }
    try checkTables()
  }

  private func checkTables() throws(MultibootError) {
    if programHeaderCount > Self.programHeaderLimit {
      throw .tooManySegments(UInt64(programHeaderCount), limit: UInt64(Self.programHeaderLimit))
    }
    if programHeaderCount > 0 {
      guard programHeaderSize >= (is64Bit ? 56 : 32) else { throw .damagedSegment(0) }
      try check(programHeaderOffset, UInt64(programHeaderCount * programHeaderSize))
    }
    if sectionCount > 0 {
      guard sectionHeaderSize >= (is64Bit ? 64 : 40) else { throw .damagedSection(0) }
      try check(sectionHeaderOffset, UInt64(sectionCount * sectionHeaderSize))
    }
  }

  private func check(_ offset: UInt64, _ byteCount: UInt64) throws(MultibootError) {
    let (end, overflow) = offset.addingReportingOverflow(byteCount)
    if overflow || end > UInt64(bytes.count) {
      throw .truncated(expected: overflow ? .max : end, found: UInt64(bytes.count))
    }
  }

  private func header(_ offset32: Int, _ offset64: Int) -> UInt16 {
    bytes.shortField(at: is64Bit ? offset64 : offset32)
  }

  /// The address field at one of two offsets, of the width that the class has.
  private func address(at base: Int, _ offset32: Int, _ offset64: Int) -> UInt64 {
    is64Bit ? bytes.longField(at: base + offset64) : UInt64(bytes.field(at: base + offset32))
  }

  /// `e_entry`, a linear address.
  var entry: UInt64 { address(at: 0, 24, 24) }
  private var programHeaderOffset: UInt64 { address(at: 0, 28, 32) }
  private var programHeaderSize: Int { Int(header(42, 54)) }
  /// `e_phnum`.
  var programHeaderCount: Int { Int(header(44, 56)) }
  private var sectionHeaderOffset: UInt64 { address(at: 0, 32, 40) }
  /// `e_shentsize`.
  var sectionHeaderSize: Int { Int(header(46, 58)) }
  /// `e_shnum`.
  var sectionCount: Int { Int(header(48, 60)) }
  /// `e_shstrndx`.
  var sectionNameIndex: UInt16 { header(50, 62) }

  /// A segment to load, with the linear address for which it is linked.
  struct Segment {
    var placed: KernelSegment
    var linearAddress: UInt64
  }

  /// The segment of a program header; nil if it is not to be loaded or has no bytes.
  func segment(_ index: Int) throws(MultibootError) -> Segment? {
    let base = Int(programHeaderOffset) + index * programHeaderSize
    guard bytes.field(at: base) == 1 else { return nil }  // PT_LOAD
    let fileOffset = address(at: base, 4, 8)
    let fileByteCount = address(at: base, 16, 32)
    let segment = KernelSegment(
      fileOffset: fileOffset, fileByteCount: fileByteCount, address: address(at: base, 12, 24),
      byteCount: address(at: base, 20, 40))
    if segment.byteCount == 0, fileByteCount == 0 { return nil }
    let (_, overflow) = segment.address.addingReportingOverflow(segment.byteCount)
    guard fileByteCount <= segment.byteCount, !overflow else { throw .damagedSegment(index) }
    // The offset of a segment without bytes in the file need not be in the file.
    if fileByteCount > 0 { try check(fileOffset, fileByteCount) }
    return Segment(placed: segment, linearAddress: address(at: base, 8, 16))
  }

  /// All section headers.
  var sectionHeaders: UnsafeRawBufferPointer {
    if sectionCount == 0 { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let start = Int(sectionHeaderOffset)
    return UnsafeRawBufferPointer(rebasing: bytes[start..<start + sectionCount * sectionHeaderSize])
  }

  /// The offset of `sh_addr` in a section header.
  var sectionAddressOffset: Int { is64Bit ? 16 : 12 }

  /// The bytes of a section that is no part of the program: symbols, debugging information and their like; nil for all
  /// others.
  func looseSection(_ index: Int) throws(MultibootError) -> UnsafeRawBufferPointer? {
    let base = Int(sectionHeaderOffset) + index * sectionHeaderSize
    let type = bytes.field(at: base + 4)
    let size = address(at: base, 20, 32)
    guard type != 0, type != 8, size > 0, address(at: base, 12, 16) == 0 else { return nil }  // SHT_NULL, SHT_NOBITS
    let offset = address(at: base, 16, 24)
    let (end, overflow) = offset.addingReportingOverflow(size)
    guard !overflow, end <= UInt64(bytes.count) else { throw .damagedSection(index) }
    return UnsafeRawBufferPointer(rebasing: bytes[Int(offset)..<Int(end)])
  }
}

/// A part of a kernel's file and where it goes.
struct KernelSegment: Equatable {
  /// Where it starts in the file.
  var fileOffset: UInt64
  /// How many bytes of the file it has.
  var fileByteCount: UInt64
  /// The physical address where it goes.
  var address: UInt64
  /// How many bytes it has in memory: zeros follow those of the file.
  var byteCount: UInt64

  /// The physical addresses that it takes.
  var range: Range<UInt64> { address..<address + byteCount }
}
