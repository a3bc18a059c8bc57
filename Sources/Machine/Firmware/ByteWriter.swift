/// Builds little-endian data in a fixed place, front to back.
struct ByteWriter {
  /// Where the data goes.
  let bytes: UnsafeMutableRawBufferPointer
  /// How many bytes there are so far.
  private(set) var count = 0

  /// Starts with no data.
  init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }

  /// Appends an integer.
  mutating func append<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
    let size = MemoryLayout<Value>.size
    precondition(size <= bytes.count - count)
    bytes.storeBytes(of: value.littleEndian, toByteOffset: count, as: Value.self)
    count += size
  }

  /// Appends the bytes of a text.
  mutating func append(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { append(text.utf8Start[index]) }
  }

  /// Appends a few bytes.
  mutating func append<let size: Int>(_ values: InlineArray<size, UInt8>) {
    for index in values.indices { append(values[index]) }
  }

  /// Appends bytes that are elsewhere.
  mutating func append(_ source: UnsafeRawBufferPointer) {
    precondition(source.count <= bytes.count - count)
    UnsafeMutableRawBufferPointer(rebasing: bytes[count...]).copyMemory(from: source)
    count += source.count
  }

  /// Appends bytes of 0 until the number of bytes is a multiple of `alignment`.
  mutating func align(to alignment: Int) { pad(to: (count + alignment - 1) / alignment * alignment) }

  /// Appends bytes of 0 until there are `total` bytes.
  mutating func pad(to total: Int) {
    while count < total { append(0 as UInt8) }
  }

  /// Overwrites an integer that has been appended.
  func replace<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int, with value: Value) {
    precondition(offset + MemoryLayout<Value>.size <= count)
    bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
  }

  /// Sets the byte at `offset` so that the first `length` bytes from `start` on sum up to 0, as ACPI's checksums do.
  func setChecksum(at offset: Int, of range: Range<Int>) {
    replace(at: offset, with: 0 as UInt8)
    replace(at: offset, with: 0 &- range.reduce(0 as UInt8) { $0 &+ bytes[$1] })
  }
}
