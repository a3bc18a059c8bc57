/// Sixteen bytes, first in, first out: a FIFO of a 16550A.
struct FIFO16: ~Copyable {
  private var bytes = InlineArray<16, UInt8>(repeating: 0)
  private var first: UInt8 = 0
  /// How many bytes it holds, 0 to 16.
  private(set) var count: UInt8 = 0

  static var capacity: UInt8 { 16 }

  var isEmpty: Bool { count == 0 }

  /// The oldest byte; after the last one has been removed still that one.
  var oldest: UInt8 { bytes[Int(first & 15)] }

  /// Appends a byte; the caller has seen to it that there is room.
  mutating func append(_ byte: UInt8) {
    bytes[Int((first &+ count) & 15)] = byte
    count = min(count &+ 1, Self.capacity)
  }

  /// Removes the oldest byte, if any.
  mutating func removeFirst() {
    guard count > 0 else { return }
    count &-= 1
    if count > 0 { first = (first &+ 1) & 15 }
  }

  mutating func removeAll() {
    count = 0
  }
}
