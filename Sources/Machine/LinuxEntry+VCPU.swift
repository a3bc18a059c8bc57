import VMCS
import VMX

extension LoadedVCPU {
  /// Puts the guest's processor into the state in which Linux's 64-bit entry point expects it ("64-bit Boot Protocol").
  public mutating func start(_ entry: LinuxEntry) {
    setInitial(.cr0, 0x8000_0031)  // PG, NE, ET, PE
    setInitial(.cr4, 0x20)  // PAE
    setInitial(.cr3, entry.cr3)
    setInitial(.efer, 0x500)  // LMA, LME
    setInitial(.rip, entry.rip)
    setInitial(.rsp, entry.rsp)
    setInitial(.rsi, entry.rsi)
    setInitial(.rflags, 0x2)
    setFlatSegments(
      code: LinuxBootProtocol.codeSelector, SegmentAccessRights(rawValue: 0xA09B), data: LinuxBootProtocol.dataSelector)
    setDescriptorTable(base: entry.gdtBase, limit: entry.gdtLimit)
  }
}
