import VMCS

/// What the guest does when it is entered next, up to and with its VM exit.
///
/// SDM, "Recording VM-Exit Information and Updating VM-entry Control Fields". What is nil here is what the SDM calls
/// undefined for the exit: the field then holds something arbitrary.
public struct ScriptedExit {
  /// The exit reason, all 32 bits.
  public var reason: ExitReason
  /// The exit qualification; cleared for exits that have none.
  public var qualification: UInt64 = 0
  /// The VM-exit instruction length, in bytes.
  public var instructionLength: UInt32?
  /// The VM-exit instruction information.
  public var instructionInformation: UInt32?
  /// The VM-exit interruption information; nil makes the field not valid.
  public var interruptionInformation: VMExitInterruptionInformation?
  /// The VM-exit interruption error code.
  public var interruptionErrorCode: UInt32?
  /// The IDT-vectoring information; nil makes the field not valid.
  public var idtVectoringInformation: IDTVectoringInformation?
  /// The IDT-vectoring error code.
  public var idtVectoringErrorCode: UInt32?
  /// The guest-physical address.
  public var guestPhysicalAddress: UInt64?
  /// The guest-linear address.
  public var guestLinearAddress: UInt64?
  /// What the guest changes in its own registers that the guest-state area holds, by field.
  public var guestState: [VMCSFieldEncoding: UInt64] = [:]
  /// The rest of what the guest does; it sees its general-purpose registers, and the processor for all else.
  public var guest: ((inout GuestRegisters, ProcessorModel) -> Void)?

  /// Makes an exit for the basic reason `reason`.
  public init(_ reason: BasicExitReason, qualification: UInt64 = 0, instructionLength: UInt32? = nil) {
    self.reason = ExitReason(rawValue: UInt32(reason.rawValue))
    self.qualification = qualification
    self.instructionLength = instructionLength
  }

  /// The value that the guest leaves in `field`, a field of the guest-state area; nil if it leaves it alone.
  public subscript<Value>(field: VMCSField<Value, ReadWrite>) -> Value? {
    get { guestState[field.encoding].map { Value(bits: Value.Bits(truncatingIfNeeded: $0)) } }
    set { guestState[field.encoding] = newValue.map { UInt64(truncatingIfNeeded: $0.bits) } }
  }
}
