import VMCS

/// Why processors could not be started.
package enum HostProcessorProblem: Error {
  /// The machine has fewer processors than the guest.
  case tooFew(found: Int, wanted: Int)
  /// The firmware has left no ACPI table that names the processors.
  case noTable
  /// No page below 640 KiB is free for the code with which a processor begins.
  case noLowMemory
  /// The processor with this APIC ID does not answer.
  case silent(apicID: UInt8)
  /// The processor with this APIC ID has a time-stamp counter that differs from the first one's.
  case timestampCounter(apicID: UInt8)

  /// Writes one line that says what is wrong and what to do about it.
  package func write<Output: ByteOutput & ~Copyable>(to output: inout Output) {
    switch self {
    case .tooFew(let found, let wanted):
      output.write("the machine has ")
      output.write(decimal: UInt64(found))
      output.write(found == 1 ? " processor, the guest wants " : " processors, the guest wants ")
      output.write(decimal: UInt64(wanted))
      output.write("; ask for fewer with --cpus\n")
    case .noTable:
      output.write(
        "the firmware's ACPI tables do not name the machine's processors; give the guest one, with --cpus 1\n")
    case .noLowMemory:
      output.write("there is no free memory below 640 KiB, where processors start; give the guest one, with --cpus 1\n")
    case .silent(let apicID):
      output.write("the processor with APIC ID ")
      output.write(decimal: UInt64(apicID))
      output.write(" does not start; ask for fewer with --cpus\n")
    case .timestampCounter(let apicID):
      output.write("the time-stamp counter of the processor with APIC ID ")
      output.write(decimal: UInt64(apicID))
      output.write(" differs from the first processor's; give the guest one processor, with --cpus 1\n")
    }
  }
}
