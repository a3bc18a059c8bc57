/// What a file is that was given as a kernel and is not a bzImage, as far as its first bytes tell.
public enum ForeignFileFormat: Equatable, Sendable {
  /// An ELF file for the processor that `e_machine` names.
  case elf(machine: UInt16)
  /// A PE file, as EFI programs are, for the processor that its COFF header names.
  case pe(machine: UInt16)
  /// An EFI zboot image, the compressed kernel of several architectures.
  case efiZboot
  /// A Linux `Image` for AArch64.
  case arm64Image
  /// A Linux `Image` for RISC-V.
  case riscvImage
  /// A Linux `zImage` for 32-bit Arm.
  case armZImage
  /// A U-Boot legacy image.
  case uImage
  /// A flattened device tree, or a U-Boot FIT image.
  case deviceTree
  /// An Android boot image.
  case androidBootImage
  /// Data compressed by gzip.
  case gzip
  /// Data compressed by bzip2.
  case bzip2
  /// Data compressed by xz.
  case xz
  /// Data compressed by Zstandard.
  case zstd
  /// Data compressed by LZ4.
  case lz4
  /// A cpio archive, which an initramfs is.
  case cpio
  /// A tar archive.
  case tar
  /// A ZIP archive.
  case zip
  /// An `ar` archive: a Debian package or a library.
  case ar
  /// An RPM package.
  case rpm
  /// A QEMU disk image.
  case qcow2
  /// An ISO 9660 file system.
  case iso9660
  /// A boot sector, and perhaps the disk behind it.
  case bootSector
  /// A program for an interpreter.
  case script
  /// Plain text.
  case text
  /// Nothing but bytes of 0.
  case zeros
  /// None of these.
  case unknown

  /// Recognises the format of a file by its bytes.
  public init(_ bytes: UnsafeRawBufferPointer) {
    self = Self.signed(bytes) ?? Self.elf(bytes) ?? Self.pe(bytes) ?? Self.plain(bytes)
  }

  private static func elf(_ bytes: UnsafeRawBufferPointer) -> Self? {
    guard bytes.count >= 20, Signature(.unknown, at: 0, 0x7F45_4C46, 4).matches(bytes) else { return nil }
    let isBigEndian = bytes[5] == 2
    let machine = bytes.loadUnaligned(fromByteOffset: 18, as: UInt16.self)
    return .elf(machine: isBigEndian ? UInt16(bigEndian: machine) : UInt16(littleEndian: machine))
  }

  private static func pe(_ bytes: UnsafeRawBufferPointer) -> Self? {
    guard bytes.count >= 0x40, Signature(.unknown, at: 0, 0x4D5A, 2).matches(bytes) else { return nil }
    let header = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0x3C, as: UInt32.self)))
    guard header + 6 <= bytes.count, Signature(.unknown, at: header, 0x5045_0000, 4).matches(bytes) else { return nil }
    return .pe(machine: UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: header + 4, as: UInt16.self)))
  }

  /// What has no signature at its start: a boot sector, nothing but zeros, nothing but text, or not recognised.
  private static func plain(_ bytes: UnsafeRawBufferPointer) -> Self {
    // A handful of bytes proves nothing: it may be the start of anything.
    let start = bytes.prefix(512)
    guard start.count >= 8 else { return .unknown }
    // A kernel with an EFI stub has the mark of a boot sector too, but the beginning of a PE file.
    let isMarked = Signature(.bootSector, at: 0x1FE, 0x55AA, 2).matches(bytes)
    if isMarked, !Signature(.pe(machine: 0), at: 0, 0x4D5A, 2).matches(bytes) { return .bootSector }
    if start.allSatisfy({ $0 == 0 }) { return .zeros }
    // Letters beyond ASCII are allowed, but what consists of nothing else is hardly text.
    let hasControls = start.contains { $0 < 0x20 && !(0x09...0x0D).contains($0) || $0 == 0x7F }
    let isMostlyASCII = start.count { $0 >= 0x80 } * 2 <= start.count
    return !hasControls && isMostlyASCII ? .text : .unknown
  }

  /// What a signature tells.
  ///
  /// It comes before the look at PE files, so that the kernels that are PE files too are known by their own marks.
  private static func signed(_ bytes: UnsafeRawBufferPointer) -> Self? {
    let signatures: [23 of Signature] = [
      Signature(.efiZboot, at: 4, 0x7A69_6D67, 4),  // "zimg"
      Signature(.arm64Image, at: 0x38, 0x4152_4D64, 4),  // "ARMd"
      Signature(.riscvImage, at: 0x38, 0x5253_4305, 4),  // "RSC", 5
      Signature(.armZImage, at: 0x24, 0x1828_6F01, 4),
      Signature(.uImage, at: 0, 0x2705_1956, 4),
      Signature(.deviceTree, at: 0, 0xD00D_FEED, 4),
      Signature(.androidBootImage, at: 0, 0x414E_4452_4F49_4421, 8),  // "ANDROID!"
      Signature(.gzip, at: 0, 0x1F8B, 2),
      Signature(.bzip2, at: 0, 0x42_5A68, 3),  // "BZh"
      Signature(.xz, at: 0, 0xFD37_7A58_5A00, 6),
      Signature(.zstd, at: 0, 0x28B5_2FFD, 4),
      Signature(.lz4, at: 0, 0x0422_4D18, 4),
      Signature(.lz4, at: 0, 0x0221_4C18, 4),  // the older format, which Linux uses
      Signature(.cpio, at: 0, 0x3037_3037_3031, 6),  // "070701"
      Signature(.cpio, at: 0, 0x3037_3037_3032, 6),  // "070702", with checksums
      Signature(.cpio, at: 0, 0xC771, 2),  // the binary format
      Signature(.tar, at: 257, 0x75_7374_6172, 5),  // "ustar"
      Signature(.zip, at: 0, 0x504B_0304, 4),
      Signature(.ar, at: 0, 0x213C_6172_6368_3E0A, 8),  // "!<arch>", line feed
      Signature(.rpm, at: 0, 0xEDAB_EEDB, 4),
      Signature(.qcow2, at: 0, 0x5146_49FB, 4),
      Signature(.iso9660, at: 0x8001, 0x43_4430_3031, 5),  // "CD001"
      Signature(.script, at: 0, 0x2321, 2),  // "#!"
    ]
    for index in signatures.indices where signatures[index].matches(bytes) { return signatures[index].format }
    return nil
  }
}

/// Bytes that a format has at a fixed offset.
private struct Signature {
  let format: ForeignFileFormat
  let offset: Int
  /// The bytes, the first one most significant.
  let value: UInt64
  let byteCount: Int

  init(_ format: ForeignFileFormat, at offset: Int, _ value: UInt64, _ byteCount: Int) {
    self.format = format
    self.offset = offset
    self.value = value
    self.byteCount = byteCount
  }

  func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard offset + byteCount <= bytes.count else { return false }
    var found: UInt64 = 0
    for index in offset..<offset + byteCount { found = found << 8 | UInt64(bytes[index]) }
    return found == value
  }
}
