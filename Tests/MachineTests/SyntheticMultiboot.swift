/// Bytes that are put together field by field, little-endian.
struct FileBytes {
  var bytes: [UInt8]

  init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

  mutating func set<Value: FixedWidthInteger>(_ offset: Int, _ value: Value) {
    withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + $0.count, with: $0) }
  }

  mutating func set(_ offset: Int, fields: [UInt32]) {
    for (index, field) in fields.enumerated() { set(offset + index * 4, field) }
  }
}

/// A Multiboot kernel made for a test: an ELF file with the header behind the program headers, and 4 KiB of code.
struct SyntheticMultiboot {
  struct Segment {
    var offset = 0
    var linear: UInt64
    var physical: UInt64
    var fileSize: UInt64
    var size: UInt64
    var type: UInt32 = 1
  }

  static let headerOffset = 0x800
  static let codeOffset = 0x1000
  static let code = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ $0 >> 8) }

  var is64Bit = false
  var machine: UInt16 = 3
  var entry: UInt64 = 0x40_0010
  var segments = [
    Segment(offset: codeOffset, linear: 0x40_0000, physical: 0x40_0000, fileSize: 4096, size: 12 << 20)
  ]
  /// What the file says of the number of its program headers, if that is not true.
  var programHeaderCount: UInt16?
  /// The loose sections; each file has the null section and one of the program besides, if it has any.
  var sections: [[UInt8]] = []
  /// The words of the Multiboot header.
  var header: [UInt32] = version1()

  static func version1(flags: UInt32 = 3, _ rest: [UInt32] = []) -> [UInt32] {
    [0x1BAD_B002, flags, 0 &- 0x1BAD_B002 &- flags] + rest
  }

  static func version2(architecture: UInt32 = 0, tags: [[UInt32]] = [], end: [UInt32] = [0, 8]) -> [UInt32] {
    let body = tags.flatMap { $0.count % 2 == 0 ? $0 : $0 + [0] } + end
    let length = UInt32(16 + body.count * 4)
    return [0xE852_50D6, architecture, length, 0 &- 0xE852_50D6 &- architecture &- length] + body
  }

  /// A tag of a version 2 header.
  static func tag(_ type: UInt32, isOptional: Bool = false, _ words: [UInt32] = []) -> [UInt32] {
    [type | (isOptional ? 1 << 16 : 0), UInt32(8 + words.count * 4)] + words
  }

  var bytes: [UInt8] {
    var file = FileBytes(count: Self.codeOffset)
    file.bytes.replaceSubrange(0..<4, with: [0x7F, 0x45, 0x4C, 0x46])
    file.set(4, UInt8(is64Bit ? 2 : 1))
    file.set(5, UInt8(1))
    file.set(16, UInt16(2))
    file.set(18, machine)
    let headerSize = is64Bit ? 64 : 52
    setWord(&file, 24, 24, entry)
    setWord(&file, 28, 32, UInt64(headerSize))
    file.set(is64Bit ? 54 : 42, UInt16(is64Bit ? 56 : 32))
    file.set(is64Bit ? 56 : 44, programHeaderCount ?? UInt16(segments.count))
    for (index, segment) in segments.enumerated() {
      let base = headerSize + index * (is64Bit ? 56 : 32)
      file.set(base, segment.type)
      setWord(&file, base + 4, base + 8, UInt64(segment.offset))
      setWord(&file, base + 8, base + 16, segment.linear)
      setWord(&file, base + 12, base + 24, segment.physical)
      setWord(&file, base + 16, base + 32, segment.fileSize)
      setWord(&file, base + 20, base + 40, segment.size)
    }
    file.set(Self.headerOffset, fields: header)
    file.bytes += Self.code
    appendSections(to: &file)
    return file.bytes
  }

  private func setWord(_ file: inout FileBytes, _ offset32: Int, _ offset64: Int, _ value: UInt64) {
    if is64Bit { file.set(offset64, value) } else { file.set(offset32, UInt32(truncatingIfNeeded: value)) }
  }

  var sectionHeaderSize: Int { is64Bit ? 64 : 40 }

  private func appendSections(to file: inout FileBytes) {
    if sections.isEmpty { return }
    var placed: [(type: UInt32, address: UInt64, offset: Int, size: Int)] = [
      (0, 0, 0, 0), (1, 0x40_0000, Self.codeOffset, 4096), (8, 0, 0, 0x1000),
    ]
    for section in sections {
      placed.append((3, 0, file.bytes.count, section.count))
      file.bytes += section
    }
    let table = file.bytes.count
    file.bytes += [UInt8](repeating: 0, count: placed.count * sectionHeaderSize)
    setWord(&file, 32, 40, UInt64(table))
    file.set(is64Bit ? 58 : 46, UInt16(sectionHeaderSize))
    file.set(is64Bit ? 60 : 48, UInt16(placed.count))
    file.set(is64Bit ? 62 : 50, UInt16(placed.count - 1))
    for (index, section) in placed.enumerated() {
      let base = table + index * sectionHeaderSize
      file.set(base + 4, section.type)
      setWord(&file, base + 12, base + 16, section.address)
      setWord(&file, base + 16, base + 24, UInt64(section.offset))
      setWord(&file, base + 20, base + 32, UInt64(section.size))
    }
  }
}
