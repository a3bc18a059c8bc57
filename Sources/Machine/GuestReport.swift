import VMCS
import VMX

/// The state of a guest that was stopped, for people: registers, segments, control registers, in aligned lines.
public enum GuestReport {
  /// Writes the report of `vcpu` to `output`, one line after the other.
  public static func write<P: VMXProcessor, Output: ByteOutput & ~Copyable>(
    _ vcpu: inout LoadedVCPU<P>, to output: inout Output
  ) {
    writeRegisters(&vcpu, generalPurpose, to: &output)
    writeRegisters(&vcpu, system, to: &output)
    output.write("      selector  base                limit       access rights\n")
    for index in 0..<segments.count {
      let (name, segment, selector) = segments[index]
      let descriptor = vcpu.descriptor(segment)
      output.write(name)
      output.write("  ")
      if let selector {
        output.write(hexadecimal: vcpu.register(selector), digits: 4)
        output.write("    ")
      } else {
        output.write("          ")
      }
      output.write(hexadecimal: descriptor.base)
      output.write("  ")
      output.write(hexadecimal: UInt64(descriptor.limit), digits: 8)
      if selector != nil {
        output.write("  ")
        output.write(hexadecimal: UInt64(descriptor.accessRights.rawValue), digits: 5)
      }
      output.write("\n")
    }
  }

  /// Writes a line with what a processor does, and what keeps events out.
  public static func writeActivity<P: VMXProcessor, Output: ByteOutput & ~Copyable>(
    of processor: inout VirtualProcessor, _ vcpu: inout LoadedVCPU<P>, to output: inout Output
  ) {
    output.write("on processor ")
    output.write(decimal: UInt64(processor.index))
    switch processor.activity {
    case .active: output.write(", which executes instructions")
    case .halted: output.write(", which is halted")
    case .waitForSIPI: output.write(", which waits for a SIPI")
    }
    if vcpu.isBlockingNMIs { output.write("; NMIs are blocked") }
    if vcpu.hasPendingNMI { output.write("; an NMI waits") }
    output.write("\n")
  }

  private static func writeRegisters<P: VMXProcessor, Output: ByteOutput & ~Copyable, let count: Int>(
    _ vcpu: inout LoadedVCPU<P>, _ registers: InlineArray<count, (StaticString, GuestRegister)>, to output: inout Output
  ) {
    for index in 0..<count {
      let (name, register) = registers[index]
      output.write(name)
      output.write(" ")
      output.write(hexadecimal: vcpu.register(register))
      output.write(index % 4 == 3 || index == count - 1 ? "\n" : "  ")
    }
  }

  private static var generalPurpose: InlineArray<16, (StaticString, GuestRegister)> {
    [
      ("RAX", .rax), ("RBX", .rbx), ("RCX", .rcx), ("RDX", .rdx), ("RSI", .rsi), ("RDI", .rdi), ("RBP", .rbp),
      ("RSP", .rsp), ("R8 ", .r8), ("R9 ", .r9), ("R10", .r10), ("R11", .r11), ("R12", .r12), ("R13", .r13),
      ("R14", .r14), ("R15", .r15),
    ]
  }

  private static var system: InlineArray<8, (StaticString, GuestRegister)> {
    [
      ("RIP", .rip), ("RFL", .rflags), ("CR0", .cr0), ("CR2", .cr2), ("CR3", .cr3), ("CR4", .cr4), ("DR7", .dr7),
      ("EFR", .efer),
    ]
  }

  private static var segments: InlineArray<10, (StaticString, GuestSegment, GuestRegister?)> {
    [
      ("ES  ", .es, .es), ("CS  ", .cs, .cs), ("SS  ", .ss, .ss), ("DS  ", .ds, .ds), ("FS  ", .fs, .fs),
      ("GS  ", .gs, .gs), ("LDTR", .ldtr, .ldtr), ("TR  ", .tr, .tr), ("GDTR", .gdtr, nil), ("IDTR", .idtr, nil),
    ]
  }
}
