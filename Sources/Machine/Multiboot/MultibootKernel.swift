/// A kernel with a Multiboot header: a view of the file's bytes whose headers have been checked.
///
/// It owns nothing.
public struct MultibootKernel {
  /// The file.
  public let bytes: UnsafeRawBufferPointer
  /// Which of the specifications the kernel's header follows.
  public var version: MultibootVersion { header.version }

  let header: MultibootHeader
  /// The ELF file, if it says where the kernel goes.
  let elf: ELFFile?
  /// The only segment of a kernel that is described by its Multiboot header.
  private let flat: KernelSegment?
  /// The physical addresses from the start of the first segment to the end of the last, for which the kernel is linked.
  let linkedRange: Range<UInt64>
  /// The physical address of the entry point for which the kernel is linked.
  let entry: UInt64

  /// Checks the headers of a file and makes a view of it.
  ///
  /// - Parameter bytes: The whole file, which must stay valid for as long as the view is used. Any bytes are allowed.
  /// - Returns: nil if there is no Multiboot header of this version in the file.
  /// - Throws: The first fault that is found, or what the header requires and Skep does not have.
  public init?(_ version: MultibootVersion, _ bytes: UnsafeRawBufferPointer) throws(MultibootError) {
    guard let offset = version.headerOffset(in: bytes) else { return nil }
    self.bytes = bytes
    header = try MultibootHeader(version, in: bytes, at: offset)
    if let addresses = header.addresses {
      let segment = try Self.segment(addresses, headerOffset: UInt64(offset), fileByteCount: UInt64(bytes.count))
      flat = segment
      elf = nil
      linkedRange = segment.range
    } else {
      let file = try ELFFile(bytes)
      flat = nil
      elf = file
      linkedRange = try Self.linkedRange(of: file)
    }
    if let entry = header.entry { self.entry = UInt64(entry) } else { entry = try Self.entry(of: elf) }
    guard linkedRange.contains(entry) else { throw .entryOutsideSegments(entry) }
  }

  /// The number of segments, of which some may be nil.
  var segmentCount: Int { elf?.programHeaderCount ?? 1 }

  /// The segment with an index below ``segmentCount``; nil if there is nothing to load.
  func segment(_ index: Int) -> KernelSegment? {
    if let flat { return flat }
    // `init` has seen that it does not throw.
    return try? elf?.segment(index)?.placed
  }

  private static func segment(
    _ addresses: MultibootHeader.Addresses, headerOffset: UInt64, fileByteCount: UInt64
  ) throws(MultibootError) -> KernelSegment {
    // A `load_addr` of all ones: from the start of the file.
    let before = addresses.load == .max ? headerOffset : UInt64(addresses.header) &- UInt64(addresses.load)
    guard before <= headerOffset, before <= UInt64(addresses.header) else { throw .wrongAddresses }
    let start = UInt64(addresses.header) - before
    let fileOffset = headerOffset - before
    let available = fileByteCount - fileOffset
    let loadEnd = addresses.loadEnd == 0 ? start + available : UInt64(addresses.loadEnd)
    guard loadEnd > start else { throw .wrongAddresses }
    guard loadEnd - start <= available else {
      throw .truncated(expected: fileOffset + loadEnd - start, found: fileByteCount)
    }
    let end = addresses.bssEnd == 0 ? loadEnd : UInt64(addresses.bssEnd)
    guard end >= loadEnd else { throw .wrongAddresses }
    return KernelSegment(
      fileOffset: fileOffset, fileByteCount: loadEnd - start, address: start, byteCount: end - start)
  }

  private static func linkedRange(of file: ELFFile) throws(MultibootError) -> Range<UInt64> {
    var start = UInt64.max
    var end: UInt64 = 0
    for index in 0..<file.programHeaderCount {
      guard let segment = try file.segment(index)?.placed else { continue }
      start = min(start, segment.address)
      end = max(end, segment.address + segment.byteCount)
    }
    guard start < end else { throw .noSegments }
    return start..<end
  }

  /// The physical address of `e_entry`, which is linear unless no segment is linked there.
  private static func entry(of file: ELFFile?) throws(MultibootError) -> UInt64 {
    guard let file else { throw .noEntry }
    for index in 0..<file.programHeaderCount {
      guard let segment = try file.segment(index), file.entry >= segment.linearAddress else { continue }
      let offset = file.entry - segment.linearAddress
      if offset < segment.placed.byteCount { return segment.placed.address + offset }
    }
    return file.entry
  }
}
