/// The guest's physical memory, for what the processor itself would read and write there.
///
/// Integers are little-endian and need no alignment.
public protocol GuestPhysicalMemory {
  /// The integer at guest-physical `address`; nil if there is not memory for all of it.
  func load<Value: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, as type: Value.Type) -> Value?

  /// Stores an integer at guest-physical `address`; false, with nothing changed, if there is not memory for all of it.
  func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at address: UInt64) -> Bool
}
