/// Marks a field that software may only read: VM-exit information.
@frozen public enum ReadOnly: Sendable {}

/// Marks a field that software may read and write.
@frozen public enum ReadWrite: Sendable {}

/// A field of the VMCS: its encoding, and as types what it holds and whether it may be written.
///
/// The fields are static properties with the SDM's names, like `.guestRIP`. There is no other way to make one, so a
/// field always has its own type.
@frozen
public struct VMCSField<Value: VMCSFieldValue, Access: Sendable>: Sendable {
  /// The encoding, as VMREAD and VMWRITE take it.
  public let encoding: VMCSFieldEncoding

  @inlinable
  init(_ encoding: UInt32) { self.encoding = VMCSFieldEncoding(rawValue: encoding) }
}
