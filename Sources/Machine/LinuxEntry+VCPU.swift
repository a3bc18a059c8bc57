import VMCS
import VMX

extension LoadedVCPU {
  /// Puts the guest's processor into the state in which Linux's 64-bit entry point expects it ("64-bit Boot Protocol").
  public mutating func start(_ entry: LinuxEntry) {
    set(.cr0, 0x8000_0031)  // PG, NE, ET, PE
    set(.cr4, 0x20)  // PAE
    set(.cr3, entry.cr3)
    set(.efer, 0x500)  // LMA, LME
    set(.rip, entry.rip)
    set(.rsp, entry.rsp)
    set(.rsi, entry.rsi)
    set(.rflags, 0x2)
    let data = GuestDescriptor(base: 0, limit: ~0, accessRights: SegmentAccessRights(rawValue: 0xC093))
    set(.ds, UInt64(LinuxBootProtocol.dataSelector), data, .ds)
    set(.es, UInt64(LinuxBootProtocol.dataSelector), data, .es)
    set(.ss, UInt64(LinuxBootProtocol.dataSelector), data, .ss)
    set(.fs, 0, data, .fs)
    set(.gs, 0, data, .gs)
    let code = GuestDescriptor(base: 0, limit: ~0, accessRights: SegmentAccessRights(rawValue: 0xA09B))
    set(.cs, UInt64(LinuxBootProtocol.codeSelector), code, .cs)
    setDescriptor(
      .gdtr,
      to: GuestDescriptor(
        base: entry.gdtBase, limit: entry.gdtLimit, accessRights: SegmentAccessRights(rawValue: 0)))
  }

  private mutating func set(
    _ selector: GuestRegister, _ value: UInt64, _ descriptor: GuestDescriptor, _ segment: GuestSegment
  ) {
    set(selector, value)
    setDescriptor(segment, to: descriptor)
  }

  /// None of these registers refuses a value.
  private mutating func set(_ register: GuestRegister, _ value: UInt64) { try? setRegister(register, to: value) }
}
