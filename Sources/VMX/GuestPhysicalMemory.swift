/// The guest's physical memory, for what the processor itself would read and write there.
///
/// Integers are little-endian and need no alignment.
public protocol GuestPhysicalMemory {
  /// The integer at guest-physical `address`; nil if there is not memory for all of it.
  func load<Value: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, as type: Value.Type) -> Value?

  /// Stores an integer at guest-physical `address`; false, with nothing changed, if there is not memory for all of it.
  func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at address: UInt64) -> Bool

  /// Puts `new` in the place of `old` at guest-physical `address`, in one atomic access, if `old` is still there.
  ///
  /// - Parameters:
  ///   - byteCount: 1, 4 or 8; bits of `old` and `new` beyond it do not count.
  ///   - address: a multiple of `byteCount`.
  /// - Returns: false, with nothing changed, if something else is there, or no memory.
  func replace(_ old: UInt64, with new: UInt64, byteCount: Int, at address: UInt64) -> Bool
}
