import VMCS

/// The values of all fields of a VMCS, by their index in the specification, in memory of the caller's.
public struct ProbeState {
  /// `VMCSFieldDescription.count` quadwords.
  public let values: UnsafeMutablePointer<UInt64>

  /// Makes a state in `values`.
  public init(_ values: UnsafeMutablePointer<UInt64>) { self.values = values }

  /// The value of a field; what does not fit into its width is dropped.
  public subscript<Value>(field: VMCSField<Value, ReadWrite>) -> UInt64 {
    get { values[field.index] }
    nonmutating set { values[field.index] = newValue & ~0 >> UInt64(64 - field.encoding.width.bitWidth) }
  }
}

extension VMCSField {
  /// The field's index in the specification, in which every typed field is.
  var index: Int { VMCSFieldDescription.index(of: encoding).unsafelyUnwrapped }
}
