import VMCS

/// Why a register cannot have a value.
@frozen
public enum RegisterError: Error, Equatable, Sendable {
  /// The interrupt shadow can be ended, but not begun.
  case interruptShadowCannotBegin
}

/// A segment register's or descriptor table's hidden part, as the VMCS holds it.
@frozen
public struct GuestDescriptor: Equatable, Sendable {
  /// The base address.
  public var base: UInt64
  /// The limit in bytes.
  public var limit: UInt32
  /// The access rights; 0 for GDTR and IDTR, which have none.
  public var accessRights: SegmentAccessRights

  /// Makes a descriptor.
  public init(base: UInt64, limit: UInt32, accessRights: SegmentAccessRights) {
    self.base = base
    self.limit = limit
    self.accessRights = accessRights
  }
}

extension LoadedVCPU {
  /// The value of `register` as the guest sees it.
  public mutating func register(_ register: GuestRegister) -> UInt64 {
    if register.isInProcessor { state.saveProcessorRegisters() }
    switch register {
    case .cr0: return state.settings.cr0.visible(live: vmcs[.guestCR0].rawValue, shadow: vmcs[.cr0ReadShadow].rawValue)
    case .cr4: return state.settings.cr4.visible(live: vmcs[.guestCR4].rawValue, shadow: vmcs[.cr4ReadShadow].rawValue)
    case .interruptShadow: return vmcs[.guestInterruptibilityState].rawValue & 3 == 0 ? 0 : 1
    default:
      // Every register that is not outside the VMCS, and not one of those above, has a field.
      return state.registerOutsideVMCS(register) ?? vmcs[register.field.unsafelyUnwrapped]
    }
  }

  /// Gives `register` a value, with what belongs to it: CR0 and CR4 have a read shadow, IA32_EFER.LMA and the VM-entry
  /// control "IA-32e mode guest" are the same, and whatever decides about paging makes linear translations stale.
  public mutating func setRegister(_ register: GuestRegister, to value: UInt64) throws(RegisterError) {
    switch register {
    case .cr0, .cr3, .cr4, .efer: state.needsVPIDFlush = true
    default: break
    }
    switch register {
    case .cr0: setCR0(value)
    case .cr4: setCR4(value)
    case .efer: setEFER(IA32EFER(rawValue: value))
    case .interruptShadow:
      guard value == 0 else { throw .interruptShadowCannotBegin }
      let interruptibility = vmcs[.guestInterruptibilityState].rawValue
      vmcs[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: interruptibility & ~3)
    default:
      // The other registers in the processor are loaded again too, so what the guest has made of them is taken first.
      if register.isInProcessor { state.saveProcessorRegisters() }
      if !state.setRegisterOutsideVMCS(register, to: value) {
        vmcs[register.field.unsafelyUnwrapped] = value
      } else if register.isInProcessor {
        state.loadProcessorRegisters()
      }
    }
  }

  /// The descriptor in `segment`.
  public func descriptor(_ segment: GuestSegment) -> GuestDescriptor {
    let fields = segment.fields
    return GuestDescriptor(
      base: vmcs[fields.base], limit: vmcs[fields.limit],
      accessRights: fields.accessRights.map { vmcs[$0] } ?? SegmentAccessRights(rawValue: 0))
  }

  /// Gives `segment` a descriptor; GDTR and IDTR take base and limit.
  public mutating func setDescriptor(_ segment: GuestSegment, to descriptor: GuestDescriptor) {
    let fields = segment.fields
    vmcs[fields.base] = descriptor.base
    vmcs[fields.limit] = descriptor.limit
    if let accessRights = fields.accessRights { vmcs[accessRights] = descriptor.accessRights }
  }

  func setCR0(_ value: UInt64) {
    vmcs[.cr0ReadShadow] = CR0(rawValue: value)
    vmcs[.guestCR0] = CR0(rawValue: state.settings.cr0.live(value))
  }

  mutating func setCR4(_ value: UInt64) {
    state.cr4 = CR4(rawValue: value)
    vmcs[.cr4ReadShadow] = CR4(rawValue: value)
    vmcs[.guestCR4] = CR4(rawValue: state.settings.cr4.live(value))
  }

  mutating func setEFER(_ value: IA32EFER) {
    // VM exits keep this control equal to LMA by themselves, so the field, not the shadow, is what is changed.
    var controls = vmcs[.vmEntryControls]
    if value.lma { controls.insert(.ia32eModeGuest) } else { controls.remove(.ia32eModeGuest) }
    vmcs[.vmEntryControls] = controls
    vmcs[.guestIA32EFER] = value
  }
}

extension GuestRegister {
  /// Whether the register is in the processor while the vCPU is loaded.
  fileprivate var isInProcessor: Bool {
    switch self {
    case .cr2, .dr0, .dr1, .dr2, .dr3, .dr6: true
    default: false
    }
  }
}

extension CurrentVMCS {
  /// A field that holds a register, zero-extended to 64 bits and truncated to the field's width.
  fileprivate subscript(field: RegisterField) -> UInt64 {
    get {
      switch field {
      case .bits16(let field): UInt64(self[field])
      case .bits32(let field): UInt64(self[field])
      case .bits64(let field): self[field]
      }
    }
    nonmutating set {
      switch field {
      case .bits16(let field): self[field] = UInt16(truncatingIfNeeded: newValue)
      case .bits32(let field): self[field] = UInt32(truncatingIfNeeded: newValue)
      case .bits64(let field): self[field] = newValue
      }
    }
  }
}
