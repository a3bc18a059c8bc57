@testable import VMX

/// Guest-physical memory from 0 up.
final class FlatMemory: GuestPhysicalMemory {
  var bytes: [UInt8]
  /// What another processor does when an integer has been loaded from an address.
  var afterLoad: ((FlatMemory, UInt64) -> Void)?

  init(byteCount: Int) { bytes = Array(repeating: 0, count: byteCount) }

  func load<Value: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, as type: Value.Type) -> Value? {
    guard hasMemory(address, Value.bitWidth / 8) else { return nil }
    defer { afterLoad?(self, address) }
    return bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: Int(address), as: type)) }
  }

  func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at address: UInt64) -> Bool {
    guard hasMemory(address, Value.bitWidth / 8) else { return false }
    bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: Int(address), as: Value.self) }
    return true
  }

  func replace(_ old: UInt64, with new: UInt64, byteCount: Int, at address: UInt64) -> Bool {
    guard hasMemory(address, byteCount), address % UInt64(byteCount) == 0 else { return false }
    let range = Int(address)..<Int(address) + byteCount
    func part(_ value: UInt64) -> [UInt8] { (0..<byteCount).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    guard Array(bytes[range]) == part(old) else { return false }
    bytes.replaceSubrange(range, with: part(new))
    return true
  }

  private func hasMemory(_ address: UInt64, _ count: Int) -> Bool {
    address <= UInt64(bytes.count) && UInt64(bytes.count) - address >= UInt64(count)
  }
}
