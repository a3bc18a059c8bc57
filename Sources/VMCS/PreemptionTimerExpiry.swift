extension VMXProcessor {
  /// Makes "VMX-preemption timer value" of the current VMCS 0: the guest exits as soon as it is entered.
  ///
  /// For the handler of the host's NMIs, which come in the middle of the code that owns the `CurrentVMCS`. One VMWRITE;
  /// panics if it fails (SDM, "VMX-Preemption Timer").
  @inline(never)
  public func expirePreemptionTimer() {
    let field = VMCSField.vmxPreemptionTimerValue.encoding
    if vmwrite(field.rawValue, 0) { writeFailed(field, 0) }
  }

  @inline(never) @usableFromInline
  func writeFailed(_ encoding: VMCSFieldEncoding, _ value: UInt64) -> Never {
    let outcome = outcomeOfFailedVMWRITE(encoding.rawValue, value)
    stop(
      PanicReport(
        "a VMX instruction failed",
        VMXInstructionFailure(of: "VMWRITE", on: self, outcome: outcome, field: encoding, operand: value)))
  }
}
