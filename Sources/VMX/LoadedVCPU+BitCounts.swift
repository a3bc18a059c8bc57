import VMCS

// What some opcodes are depends on the processor, whatever the guest's CPUID shows: it executes them itself elsewhere.
extension LoadedVCPU {
  /// Whether F3H 0FH BCH is TZCNT (BMI1), and not BSF.
  @inline(never)
  public var hasTZCNT: Bool {
    state.processor.cpuid(0, 0).eax >= 7
      && CPUIDFeature.Leaf7EBX(rawValue: state.processor.cpuid(7, 0).ebx).contains(.bmi1)
  }

  /// Whether F3H 0FH BDH is LZCNT, and not BSR.
  @inline(never)
  public var hasLZCNT: Bool {
    let leaf: UInt32 = 0x8000_0001
    return state.processor.cpuid(0x8000_0000, 0).eax >= leaf
      && CPUIDFeature.Leaf80000001ECX(rawValue: state.processor.cpuid(leaf, 0).ecx).contains(.lzcnt)
  }
}
