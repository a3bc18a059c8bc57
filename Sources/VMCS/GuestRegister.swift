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
  public var field: RegisterField? {
    switch self {
    case .cr0: .bits64(VMCSField.guestCR0.untyped)
    case .cr3: .bits64(.guestCR3)
    case .cr4: .bits64(VMCSField.guestCR4.untyped)
    case .dr7: .bits64(VMCSField.guestDR7.untyped)
    case .rsp: .bits64(.guestRSP)
    case .rip: .bits64(.guestRIP)
    case .rflags: .bits64(VMCSField.guestRFLAGS.untyped)
    case .es: .bits16(VMCSField.guestESSelector.untyped)
    case .cs: .bits16(VMCSField.guestCSSelector.untyped)
    case .ss: .bits16(VMCSField.guestSSSelector.untyped)
    case .ds: .bits16(VMCSField.guestDSSelector.untyped)
    case .fs: .bits16(VMCSField.guestFSSelector.untyped)
    case .gs: .bits16(VMCSField.guestGSSelector.untyped)
    case .ldtr: .bits16(VMCSField.guestLDTRSelector.untyped)
    case .tr: .bits16(VMCSField.guestTRSelector.untyped)
    case .efer: .bits64(VMCSField.guestIA32EFER.untyped)
    case .pdpte0: .bits64(.guestPDPTE0)
    case .pdpte1: .bits64(.guestPDPTE1)
    case .pdpte2: .bits64(.guestPDPTE2)
    case .pdpte3: .bits64(.guestPDPTE3)
    case .entryInstructionLength: .bits32(.vmEntryInstructionLength)
    case .rax, .rcx, .rdx, .rbx, .rbp, .rsi, .rdi, .r8, .r9, .r10, .r11, .r12, .r13, .r14, .r15: nil
    case .cr2, .dr0, .dr1, .dr2, .dr3, .dr6, .interruptShadow: nil
    }
  }
}

/// A field that holds a register, by its width, for code that moves registers without looking at them.
@frozen
public enum RegisterField: Sendable {
  /// A selector.
  case bits16(VMCSField<UInt16, ReadWrite>)
  /// The VM-entry instruction length.
  case bits32(VMCSField<UInt32, ReadWrite>)
  /// A 64-bit or natural-width field.
  case bits64(VMCSField<UInt64, ReadWrite>)

  /// The field's encoding.
  public var encoding: VMCSFieldEncoding {
    switch self {
    case .bits16(let field): field.encoding
    case .bits32(let field): field.encoding
    case .bits64(let field): field.encoding
    }
  }
}

extension VMCSField where Value.Bits: VMCSFieldValue {
  /// The same field with a value that does not name its bits.
  @inlinable
  public var untyped: VMCSField<Value.Bits, Access> { VMCSField<Value.Bits, Access>(encoding.rawValue) }
}
