import VMCS
import VMX

/// The state in which the guest's first processor starts, by the kind of its kernel.
public enum GuestEntry: Equatable, Sendable {
  /// At Linux's 64-bit entry point.
  case linux(LinuxEntry)
  /// At a Multiboot kernel's entry point.
  case multiboot(MultibootEntry)
}

extension LoadedVCPU {
  /// Puts the guest's processor into the state in which its kernel expects it.
  public mutating func start(_ entry: GuestEntry) {
    switch entry {
    case .linux(let entry): start(entry)
    case .multiboot(let entry): start(entry)
    }
  }

  /// Puts the guest's processor into the state in which a Multiboot kernel expects it ("Machine state").
  public mutating func start(_ entry: MultibootEntry) {
    setInitial(.cr0, 0x11)  // ET, PE
    setInitial(.cr4, 0)
    setInitial(.cr3, 0)
    setInitial(.efer, 0)
    setInitial(.rip, entry.rip)
    setInitial(.rax, UInt64(entry.magic))
    setInitial(.rbx, entry.information)
    setInitial(.rflags, 0x2)
    setFlatSegments(
      code: MultibootInformation.codeSelector, SegmentAccessRights(rawValue: 0xC09B),
      data: MultibootInformation.dataSelector)
    setInitial(.fs, UInt64(MultibootInformation.dataSelector))
    setInitial(.gs, UInt64(MultibootInformation.dataSelector))
    setDescriptorTable(base: entry.gdtBase, limit: entry.gdtLimit)
  }

  /// Gives CS a flat code segment, and DS, ES, SS, FS and GS the flat data segment; FS and GS get selector 0.
  mutating func setFlatSegments(code: UInt16, _ codeRights: SegmentAccessRights, data: UInt16) {
    setDescriptor(.cs, to: GuestDescriptor(base: 0, limit: ~0, accessRights: codeRights))
    setInitial(.cs, UInt64(code))
    let descriptor = GuestDescriptor(base: 0, limit: ~0, accessRights: SegmentAccessRights(rawValue: 0xC093))
    setInitial(.ds, UInt64(data), descriptor, .ds)
    setInitial(.es, UInt64(data), descriptor, .es)
    setInitial(.ss, UInt64(data), descriptor, .ss)
    setInitial(.fs, 0, descriptor, .fs)
    setInitial(.gs, 0, descriptor, .gs)
  }

  /// Gives the GDTR a base and a limit.
  mutating func setDescriptorTable(base: UInt64, limit: UInt32) {
    setDescriptor(
      .gdtr, to: GuestDescriptor(base: base, limit: limit, accessRights: SegmentAccessRights(rawValue: 0)))
  }

  private mutating func setInitial(
    _ selector: GuestRegister, _ value: UInt64, _ descriptor: GuestDescriptor, _ segment: GuestSegment
  ) {
    setInitial(selector, value)
    setDescriptor(segment, to: descriptor)
  }

  /// Sets one of the registers that refuse no value.
  mutating func setInitial(_ register: GuestRegister, _ value: UInt64) { try? setRegister(register, to: value) }
}
