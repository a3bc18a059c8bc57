/// The two Multiboot specifications, which differ in the header, in what the kernel is told, and in little else.
public enum MultibootVersion: Sendable {
  /// "Multiboot Specification version 0.6.96".
  case one
  /// "Multiboot2 Specification version 2.0".
  case two

  /// What EAX holds when the kernel is entered.
  public var loaderMagic: UInt32 {
    switch self {
    case .one: 0x2BAD_B002
    case .two: 0x36D7_6289
    }
  }

  /// The magic field of the kernel's header.
  var headerMagic: UInt32 {
    switch self {
    case .one: 0x1BAD_B002
    case .two: 0xE852_50D6
    }
  }

  /// In how many bytes of the file the whole header is.
  var searchLimit: Int {
    switch self {
    case .one: 8192
    case .two: 32768
    }
  }

  /// What the header's offset in the file is a multiple of.
  var headerAlignment: Int {
    switch self {
    case .one: 4
    case .two: 8
    }
  }

  /// The number of 32-bit fields, from the magic on, whose sum is 0: the last is the checksum.
  var checkedFieldCount: Int {
    switch self {
    case .one: 3
    case .two: 4
    }
  }

  /// The offset of the header in a file: the first place that has the magic and a right checksum; nil if there is none.
  func headerOffset(in file: UnsafeRawBufferPointer) -> Int? {
    let end = min(file.count, searchLimit) - checkedFieldCount * 4
    return stride(from: 0, through: end, by: headerAlignment).first { offset in
      file.field(at: offset) == headerMagic
        && (0..<checkedFieldCount).reduce(0 as UInt32) { $0 &+ file.field(at: offset + $1 * 4) } == 0
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The little-endian 32-bit field at an offset, which must be within the bytes.
  func field(at offset: Int) -> UInt32 { UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }

  /// The little-endian 16-bit field at an offset, which must be within the bytes.
  func shortField(at offset: Int) -> UInt16 {
    UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  /// The little-endian 64-bit field at an offset, which must be within the bytes.
  func longField(at offset: Int) -> UInt64 {
    UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
