import VMCS

extension DumpRows {
  /// What is printed when a VMX instruction other than VM entry fails: by KVM of all ages, by illumos' bhyve, by Skep.
  static var failures: [DumpRow] {
    let text: [(StaticString, [DumpTarget])] = [
      ("vmread failed: field=%1", [.failure(.vmread)]),
      ("vmread error: field=%1", [.failure(.vmread)]),
      ("vmread error: reg %1", [.failure(.vmread)]),
      ("vmwrite failed: field=%1 val=%1 err=#", [.failure(.vmwrite), .other(.failureValue), .other(.failureError)]),
      ("vmwrite error: reg %1 value %1 (err #)", [.failure(.vmwrite), .other(.failureValue), .other(.failureError)]),
      ("vmwrite error: reg %1 value %1 (err -#)", [.failure(.vmwrite), .other(.failureValue), .ignored]),
      ("vmclear fail: @/%1", [.failure(.vmclear)]),
      ("vmclear failed: @/%1 err=#", [.failure(.vmclear), .other(.failureError)]),
      ("vmptrld @/%1 failed", [.failure(.vmptrld)]),
      ("vmptrld failed: @/%1 err=#", [.failure(.vmptrld), .other(.failureError)]),
      ("invvpid failed: ext=0x%1 vpid=# gva=0x%1", [.failure(.invvpid), .ignored, .ignored]),
      ("invept failed: ext=0x%1 eptp=%1 gpa=0x%1", [.failure(.invept), .ignored, .ignored]),
      ("vmread(%1) error #", [.failure(.vmread), .other(.failureOutcome)]),
      ("vmwrite(%1, %1) error #", [.failure(.vmwrite), .other(.failureValue), .other(.failureOutcome)]),
    ]
    let instructions: [(StaticString, DumpInstructionFailure.Instruction)] = [
      ("instruction VMREAD: &", .vmread), ("instruction VMWRITE: &", .vmwrite), ("instruction VMCLEAR: &", .vmclear),
      ("instruction VMPTRLD: &", .vmptrld),
    ]
    return text.map { DumpRow(.message, .any, $0.0, $0.1, [.opens, .begins]) }
      + instructions.map { DumpRow(.message, .any, $0.0, [.failure($0.1)], [.opens, .begins], constant: ~0) }
      + [
        DumpRow(.message, .any, "field 0x%4 &", [.other(.failureOperand)]),
        DumpRow(.message, .any, "value 0x%1", [.other(.failureValue)]),
        DumpRow(.message, .any, "physical address 0x%1", [.other(.failureOperand)]),
        DumpRow(.message, .any, "VM-instruction error #: &", [.other(.failureError)]),
        DumpRow(.message, .any, "current VMCS 0x%1", [.ignored]),
      ]
  }
}
