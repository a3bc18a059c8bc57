import VMCS

/// The guest's registers after power-up and after INIT (SDM, "Processor State After Power-up, Reset, or INIT").
enum GuestResetState {
  /// CR0 after power-up: CD, NW and ET.
  static var cr0: UInt64 { 0x6000_0010 }
  /// CD and NW of CR0, which INIT leaves alone.
  static var kept: UInt64 { 0x6000_0000 }

  /// Writes the guest-state area as after power-up.
  static func write<P: VMXProcessor>(to vmcs: borrowing CurrentVMCS<P>, settings: VCPUSettings) {
    writeRegisters(to: vmcs, settings: settings, cr0: cr0)
    vmcs[.guestIA32SYSENTERCS] = 0
    vmcs[.guestIA32SYSENTERESP] = 0
    vmcs[.guestIA32SYSENTEREIP] = 0
    vmcs[.guestIA32EFER] = IA32EFER(rawValue: 0)
    if settings.controls.entry.contains(.loadIA32PAT) { vmcs[.guestIA32PAT] = IA32PAT(rawValue: 0x0007_0406_0007_0406) }
    vmcs[.vmcsLinkPointer] = PhysicalAddress(~0)
    writeNonRegisterState(to: vmcs)
  }

  /// Writes the control registers, the debug registers, RSP, RIP, RFLAGS and the segments, with `cr0` for what the guest
  /// sees of CR0.
  static func writeRegisters<P: VMXProcessor>(
    to vmcs: borrowing CurrentVMCS<P>, settings: VCPUSettings, cr0: UInt64
  ) {
    vmcs[.guestCR0] = CR0(rawValue: settings.cr0.live(cr0))
    vmcs[.cr0ReadShadow] = CR0(rawValue: cr0)
    vmcs[.guestCR3] = 0
    vmcs[.guestCR4] = CR4(rawValue: settings.cr4.live(0))
    vmcs[.cr4ReadShadow] = CR4(rawValue: 0)
    vmcs[.guestDR7] = DR7(rawValue: 0x400)
    vmcs[.guestRSP] = 0
    vmcs[.guestRIP] = 0xFFF0
    vmcs[.guestRFLAGS] = RFLAGS(rawValue: 2)
    writeSegments(to: vmcs)
    vmcs[.guestIA32DEBUGCTL] = IA32DEBUGCTL(rawValue: 0)
  }

  /// Makes the processor active, with nothing blocked and nothing pending.
  static func writeNonRegisterState<P: VMXProcessor>(to vmcs: borrowing CurrentVMCS<P>) {
    vmcs[.guestActivityState] = .active
    vmcs[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: 0)
    vmcs[.guestPendingDebugExceptions] = PendingDebugExceptions(rawValue: 0)
    vmcs[.guestPDPTE0] = 0
    vmcs[.guestPDPTE1] = 0
    vmcs[.guestPDPTE2] = 0
    vmcs[.guestPDPTE3] = 0
  }

  private static func writeSegments<P: VMXProcessor>(to vmcs: borrowing CurrentVMCS<P>) {
    let data: UInt32 = 0x93
    write(.es, base: 0, limit: 0xFFFF, accessRights: data, to: vmcs)
    write(.ss, base: 0, limit: 0xFFFF, accessRights: data, to: vmcs)
    write(.ds, base: 0, limit: 0xFFFF, accessRights: data, to: vmcs)
    write(.fs, base: 0, limit: 0xFFFF, accessRights: data, to: vmcs)
    write(.gs, base: 0, limit: 0xFFFF, accessRights: data, to: vmcs)
    write(.cs, base: 0xFFFF_0000, limit: 0xFFFF, accessRights: 0x9B, to: vmcs)
    write(.ldtr, base: 0, limit: 0xFFFF, accessRights: 0x82, to: vmcs)
    write(.tr, base: 0, limit: 0xFFFF, accessRights: 0x8B, to: vmcs)
    write(.gdtr, base: 0, limit: 0xFFFF, accessRights: nil, to: vmcs)
    write(.idtr, base: 0, limit: 0xFFFF, accessRights: nil, to: vmcs)
    let null = SegmentSelector(rawValue: 0)
    vmcs[.guestESSelector] = null
    vmcs[.guestCSSelector] = SegmentSelector(rawValue: 0xF000)
    vmcs[.guestSSSelector] = null
    vmcs[.guestDSSelector] = null
    vmcs[.guestFSSelector] = null
    vmcs[.guestGSSelector] = null
    vmcs[.guestLDTRSelector] = null
    vmcs[.guestTRSelector] = null
  }

  private static func write<P: VMXProcessor>(
    _ segment: GuestSegment, base: UInt64, limit: UInt32, accessRights: UInt32?, to vmcs: borrowing CurrentVMCS<P>
  ) {
    let fields = segment.fields
    vmcs[fields.base] = base
    vmcs[fields.limit] = limit
    if let field = fields.accessRights, let accessRights { vmcs[field] = SegmentAccessRights(rawValue: accessRights) }
  }
}
