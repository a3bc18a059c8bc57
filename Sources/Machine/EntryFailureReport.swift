import VMCS
import VMEntryChecks

/// Why a VM entry failed, for people: every check of the SDM that the VMCS fails, which the processor does not tell.
public enum EntryFailureReport {
  /// Writes the checks that `state` fails, in the order in which the processor makes them: five lines each.
  ///
  /// The VMCS must still be as it was at the VM entry.
  public static func write<State: VMCSState, Output: ByteOutput>(
    _ state: State, capabilities: EntryCapabilities, facts: EntryFacts, to output: inout Output
  ) {
    output.write("the checks that failed, in the order in which the processor makes them:\n")
    let writer = EntryChecks.visit(
      state, capabilities: capabilities, facts: facts, with: EntryFailureWriter(to: output))
    output = writer.output
    output.write(decimal: UInt64(writer.failureCount))
    output.write(" failed; ")
    output.write(decimal: UInt64(writer.undecidableCount))
    output.write(" could not be decided, since they are about what this processor does not have\n")
  }
}
