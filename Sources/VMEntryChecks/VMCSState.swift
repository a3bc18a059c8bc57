import VMCS

/// A VMCS of which every field may be known or not: a live one, a model's, one parsed from another hypervisor's dump.
public protocol VMCSState {
  /// The value of a field, zero-extended to 64 bits; nil if the field is not known or does not exist.
  func value(of field: VMCSFieldEncoding) -> UInt64?

  /// The quadword in memory at `address`, which is a multiple of 8; nil if the memory cannot be read.
  func quadword(at address: PhysicalAddress) -> UInt64?
}

extension VMCSState {
  /// Knows no memory.
  @inlinable public func quadword(at address: PhysicalAddress) -> UInt64? { nil }
}

/// The VMCS that is current on a processor, read field by field with VMREAD.
///
/// A VMREAD of a field that the processor does not have fails and overwrites the VM-instruction error, which has to be
/// read before.
@frozen
public struct CurrentVMCSState<P: VMXProcessor>: VMCSState {
  @usableFromInline let processor: P

  /// Makes the state of the VMCS that is current on `processor`.
  @inlinable public init(on processor: P) { self.processor = processor }

  /// Executes VMREAD; nil if it fails.
  @inlinable
  public func value(of field: VMCSFieldEncoding) -> UInt64? {
    let result = processor.vmread(field.rawValue)
    return result.failed ? nil : result.value
  }
}

/// The values of any subset of a VMCS's fields, in a table.
public struct VMCSFieldValues: VMCSState, Sendable {
  private var values: [UInt64?]

  /// Makes a state that knows no field.
  public init() { values = Array(repeating: nil, count: VMCSFieldDescription.count) }

  /// The value of a field of the specification; nil while it is not known.
  ///
  /// A value for an encoding that the SDM does not
  /// define is dropped.
  public subscript(encoding: VMCSFieldEncoding) -> UInt64? {
    get {
      guard let index = VMCSFieldDescription.index(of: encoding) else { return nil }
      return values[index]
    }
    set {
      guard let index = VMCSFieldDescription.index(of: encoding) else { return }
      values[index] = newValue
    }
  }

  /// The value of a field; nil while it is not known.
  public subscript<Value, Access>(field: VMCSField<Value, Access>) -> Value? {
    get { self[field.encoding].map { Value(bits: Value.Bits(truncatingIfNeeded: $0)) } }
    set { self[field.encoding] = newValue.map { UInt64(truncatingIfNeeded: $0.bits) } }
  }

  /// The value of a field, zero-extended to 64 bits; nil while it is not known.
  public func value(of field: VMCSFieldEncoding) -> UInt64? { self[field] }
}
