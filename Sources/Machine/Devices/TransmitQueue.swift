/// The bytes that the guest has sent and the host has not taken yet, first in, first out.
///
/// Its memory is its creator's and must outlive it.
public struct TransmitQueue: ~Copyable {
  private let storage: UnsafeMutableBufferPointer<UInt8>
  private var first = 0
  /// How many bytes it holds.
  public private(set) var count = 0

  /// Makes an empty queue that holds as many bytes as `storage` has.
  public init(storage: UnsafeMutableBufferPointer<UInt8>) {
    self.storage = storage
  }

  /// Appends a byte.
  ///
  /// - Returns: false, and nothing has happened, when the queue is full.
  public mutating func append(_ byte: UInt8) -> Bool {
    guard count < storage.count else { return false }
    var index = first &+ count
    if index >= storage.count { index &-= storage.count }
    storage[index] = byte
    count &+= 1
    return true
  }

  /// Removes and returns the oldest byte; `nil` if there is none.
  public mutating func removeFirst() -> UInt8? {
    guard count > 0 else { return nil }
    let byte = storage[first]
    first &+= 1
    if first == storage.count { first = 0 }
    count &-= 1
    return byte
  }
}
