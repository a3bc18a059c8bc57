/// The VMCS that is loaded on this logical processor.
///
/// It cannot be copied: it comes from `VMCSRegion.load()` and goes by `clear()`, so a VMCS that is not loaded has nothing
/// to read. Reading gives the processor's bits and writing stores the caller's; neither changes nor checks them.
/// Neither can fail: a VMREAD or VMWRITE that does is Skep's own bug, and panics with a full report.
public struct CurrentVMCS<P: VMXProcessor>: ~Copyable {
  @usableFromInline let page: UnsafeMutableRawPointer
  @usableFromInline let processor: P

  /// The region's physical address.
  public let address: PhysicalAddress

  @inlinable
  init(loaded page: UnsafeMutableRawPointer, at address: PhysicalAddress, on processor: P) {
    self.page = page
    self.address = address
    self.processor = processor
  }

  /// Reads a read-only field: one VMREAD.
  @inlinable
  public subscript<Value>(field: VMCSField<Value, ReadOnly>) -> Value {
    @inline(__always) get { read(field.encoding) }
  }

  /// Reads or writes a field: one VMREAD or one VMWRITE.
  @inlinable
  public subscript<Value>(field: VMCSField<Value, ReadWrite>) -> Value {
    @inline(__always) get { read(field.encoding) }
    @inline(__always) nonmutating set {
      let value = UInt64(truncatingIfNeeded: newValue.bits)
      if processor.vmwrite(field.encoding.rawValue, value) { processor.writeFailed(field.encoding, value) }
    }
  }

  /// Takes the VMCS off this logical processor: executes VMCLEAR, which makes its launch state "clear", then leaves the
  /// critical section.
  ///
  /// Panics if VMCLEAR fails.
  @inlinable
  public consuming func clear() -> VMCSRegion<P> {
    processor.requireSuccess(processor.vmclear(address), of: "VMCLEAR", address)
    processor.exitCritical()
    return VMCSRegion(cleared: page, at: address, on: processor)
  }

  @inlinable @inline(__always)
  func read<Value: VMCSFieldValue>(_ encoding: VMCSFieldEncoding) -> Value {
    let result = processor.vmread(encoding.rawValue)
    if result.failed { readFailed(encoding) }
    return Value(bits: Value.Bits(truncatingIfNeeded: result.value))
  }

  @inline(never) @usableFromInline
  func readFailed(_ encoding: VMCSFieldEncoding) -> Never {
    let outcome = processor.outcomeOfFailedVMREAD(encoding.rawValue)
    processor.stop(
      PanicReport(
        "a VMX instruction failed",
        VMXInstructionFailure(of: "VMREAD", on: processor, outcome: outcome, field: encoding)))
  }
}
