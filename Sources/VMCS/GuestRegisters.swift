/// The guest's registers that neither the VMCS nor a VM transition saves, in the order of their encoding in instructions.
///
/// RSP's slot is unused, since the VMCS holds RSP; it keeps the index equal to the register number that exit
/// qualifications give. The VM-entry stub depends on this layout: sixteen quadwords.
@frozen
public struct GuestRegisters: Sendable {
  /// The general-purpose registers, 64 bits each; `rsp` is a place holder.
  public var rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi: UInt64
  /// The general-purpose registers that 64-bit mode adds.
  public var r8, r9, r10, r11, r12, r13, r14, r15: UInt64

  /// All zero, as after INIT but for RDX.
  @inlinable
  public init() {
    (rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi) = (0, 0, 0, 0, 0, 0, 0, 0)
    (r8, r9, r10, r11, r12, r13, r14, r15) = (0, 0, 0, 0, 0, 0, 0, 0)
  }
}
