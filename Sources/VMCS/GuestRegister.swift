/// A register of the guest, as the users of a vCPU name it.
///
/// The raw values are Skep's own and stable. No raw value names a VMCS field by its encoding: there is no way from here
/// to a field that is not in this list.
@frozen
public enum GuestRegister: Int32, CaseIterable, Sendable {
  /// General-purpose registers, in the order of their encoding in instructions.
  case rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
  /// The instruction pointer and the flags.
  case rip, rflags
  /// Control registers.
  case cr0, cr2, cr3, cr4
  /// Debug registers.
  case dr0, dr1, dr2, dr3, dr6, dr7
  /// Segment selectors.
  case es, cs, ss, ds, fs, gs, ldtr, tr
  /// IA32_EFER.
  case efer
  /// Page-directory-pointer-table entries, used with PAE paging.
  case pdpte0, pdpte1, pdpte2, pdpte3
  /// The VM-entry instruction length.
  case entryInstructionLength
  /// Blocking by STI or by MOV SS: 1 or 0. Only 0 can be written.
  case interruptShadow

  /// The VMCS field that holds the register, or nil if no field does, or none by itself.
  public var fieldEncoding: VMCSFieldEncoding? {
    switch self {
    case .cr0: VMCSField.guestCR0.encoding
    case .cr3: VMCSField.guestCR3.encoding
    case .cr4: VMCSField.guestCR4.encoding
    case .dr7: VMCSField.guestDR7.encoding
    case .rsp: VMCSField.guestRSP.encoding
    case .rip: VMCSField.guestRIP.encoding
    case .rflags: VMCSField.guestRFLAGS.encoding
    case .es: VMCSField.guestESSelector.encoding
    case .cs: VMCSField.guestCSSelector.encoding
    case .ss: VMCSField.guestSSSelector.encoding
    case .ds: VMCSField.guestDSSelector.encoding
    case .fs: VMCSField.guestFSSelector.encoding
    case .gs: VMCSField.guestGSSelector.encoding
    case .ldtr: VMCSField.guestLDTRSelector.encoding
    case .tr: VMCSField.guestTRSelector.encoding
    case .efer: VMCSField.guestIA32EFER.encoding
    case .pdpte0: VMCSField.guestPDPTE0.encoding
    case .pdpte1: VMCSField.guestPDPTE1.encoding
    case .pdpte2: VMCSField.guestPDPTE2.encoding
    case .pdpte3: VMCSField.guestPDPTE3.encoding
    case .entryInstructionLength: VMCSField.vmEntryInstructionLength.encoding
    case .rax, .rcx, .rdx, .rbx, .rbp, .rsi, .rdi, .r8, .r9, .r10, .r11, .r12, .r13, .r14, .r15: nil
    case .cr2, .dr0, .dr1, .dr2, .dr3, .dr6, .interruptShadow: nil
    }
  }
}
