@testable import VMX

/// Guest-physical memory from 0 up.
final class FlatMemory: GuestPhysicalMemory {
  var bytes: [UInt8]

  init(byteCount: Int) { bytes = Array(repeating: 0, count: byteCount) }

  func load<Value: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, as type: Value.Type) -> Value? {
    guard hasMemory(address, Value.bitWidth / 8) else { return nil }
    return bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: Int(address), as: type)) }
  }

  func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at address: UInt64) -> Bool {
    guard hasMemory(address, Value.bitWidth / 8) else { return false }
    bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: Int(address), as: Value.self) }
    return true
  }

  private func hasMemory(_ address: UInt64, _ count: Int) -> Bool {
    address <= UInt64(bytes.count) && UInt64(bytes.count) - address >= UInt64(count)
  }
}
