import Boot
import CVMX
import VMCS

/// What the vectors' common code has pushed, lowest address first.
struct InterruptFrame {
  var registers: GuestRegisters
  var vector, errorCode: UInt64
  var rip, cs, rflags, rsp, ss: UInt64
}

/// An entry of the 64-bit IDT (SDM, "64-Bit Mode IDT").
private struct InterruptGate {
  var low, high: UInt64

  init(handler: UInt64, interruptStack: UInt64) {
    low =
      (handler & 0xFFFF) | 0x08 << 16 | interruptStack << 32 | 0x8E << 40 | (handler >> 16 & 0xFFFF) << 48
    high = handler >> 32
  }
}

/// Host vectors that are not exceptions.
package enum HostVector {
  package static var timer: UInt8 { 0x40 }
  package static var com1: UInt8 { 0x41 }
  /// From another processor, to make this one leave HLT or its guest.
  package static var kick: UInt8 { 0x42 }
  package static var intervalTimer: UInt8 { 0x43 }
  /// The posted-interrupt notification vector: from another processor, to make this one take what was posted for the
  /// guest that it runs, or leave HLT.
  package static var postedInterrupts: UInt8 { 0x44 }
  package static var spurious: UInt8 { 0xFF }
}

/// Fills the IDT at `table`, a page, and loads it.
package func loadInterruptDescriptorTable(_ table: UnsafeMutableRawPointer) {
  for vector in 0..<256 {
    let handler = address_of_vectors() + UInt64(16 * vector)
    table.storeBytes(
      of: InterruptGate(handler: handler, interruptStack: interruptStack(of: vector)), toByteOffset: 16 * vector,
      as: InterruptGate.self)
  }
  cvmx_lidt(table, 4095)
}

/// Double fault and machine check get a stack of their own, since they come when the usual one may be unusable; and NMI
/// another, since it may come in the handlers of these.
private func interruptStack(of vector: Int) -> UInt64 {
  switch vector {
  case 8, 18: 1
  case 2: 2
  default: 0
  }
}

/// Called by the vectors.
///
/// An interrupt only ends what the processor waits for; an exception in the host is Skep's own bug.
@c(hypervisor_interrupt)
func handleInterrupt(_ pushed: UnsafeMutableRawPointer) {
  let frame = pushed.assumingMemoryBound(to: InterruptFrame.self)
  let vector = UInt8(truncatingIfNeeded: frame.pointee.vector)
  if vector >= 32 { return acknowledgeHostInterrupt(vector) }
  if vector == 2 { return handleNMI(frame) }
  EndOfRun.begin()
  var output = ReportPort(lineStart: "skep: panic ")
  write(frame.pointee, to: &output)
  endRun("panic")
}

/// An NMI is how a processor that ends the run stops the others, and how a processor is made to leave its guest.
private func handleNMI(_ frame: UnsafeMutablePointer<InterruptFrame>) {
  EndOfRun.standStillIfOver()
  HostProcessor.current.noteNMI()
  if (address_of_halt_start()..<address_of_halt_end()).contains(frame.pointee.rip) {
    frame.pointee.rip = address_of_halt_end()
  }
}

private func write(_ frame: InterruptFrame, to output: inout ReportPort) {
  output.write("exception in the host: vector ")
  output.write(decimal: frame.vector)
  output.write(", error code ")
  output.write(hexadecimal: frame.errorCode, digits: 8)
  output.write(", processor ")
  output.write(decimal: UInt64(HostProcessor.current.index))
  output.write("\n")
  line("RIP   ", frame.rip, "  RSP   ", frame.rsp, to: &output)
  line("CS    ", frame.cs, "  SS    ", frame.ss, to: &output)
  line("RFLAGS", frame.rflags, "  CR2   ", cvmx_read_cr2(), to: &output)
  line("CR0   ", cvmx_read_cr0(), "  CR3   ", cvmx_read_cr3(), to: &output)
  line("CR4   ", cvmx_read_cr4(), "  RAX   ", frame.registers.rax, to: &output)
  line("RCX   ", frame.registers.rcx, "  RDX   ", frame.registers.rdx, to: &output)
  line("RBX   ", frame.registers.rbx, "  RBP   ", frame.registers.rbp, to: &output)
  line("RSI   ", frame.registers.rsi, "  RDI   ", frame.registers.rdi, to: &output)
  line("R8    ", frame.registers.r8, "  R9    ", frame.registers.r9, to: &output)
  line("R10   ", frame.registers.r10, "  R11   ", frame.registers.r11, to: &output)
  line("R12   ", frame.registers.r12, "  R13   ", frame.registers.r13, to: &output)
  line("R14   ", frame.registers.r14, "  R15   ", frame.registers.r15, to: &output)
}

private func line(
  _ name: StaticString, _ value: UInt64, _ secondName: StaticString, _ secondValue: UInt64,
  to output: inout ReportPort
) {
  output.write(name)
  output.write(" ")
  output.write(hexadecimal: value)
  output.write(secondName)
  output.write(" ")
  output.write(hexadecimal: secondValue)
  output.write("\n")
}
