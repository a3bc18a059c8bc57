import Host
import Machine
import VMCS
import VMEntryChecks

/// The VMCS that is current, and the host's memory that it refers to.
private struct HostVMCSState: VMCSState {
  private let vmcs = CurrentVMCSState(on: BareMetalProcessor())

  @inline(never)
  func value(of field: VMCSFieldEncoding) -> UInt64? { vmcs.value(of: field) }

  func quadword(at address: PhysicalAddress) -> UInt64? {
    address.rawValue < HostMemory.limit ? pointer(to: address.rawValue).load(as: UInt64.self) : nil
  }
}

/// Says which checks the current VMCS fails.
@inline(never)
func writeFailedChecks(to output: inout ReportPort) {
  let processor = BareMetalProcessor()
  let facts = EntryFacts.hypervisor(isVMRESUME: false, currentVMCSPointer: processor.vmptrst())
  EntryFailureReport.write(
    HostVMCSState(), capabilities: EntryCapabilities(of: processor), facts: facts, to: &output)
}

/// Makes the check `id` fail at the next VM entry, or ends the run with why that cannot be.
@inline(never)
func prepareDrill(_ id: UnsafeRawBufferPointer) {
  let processor = BareMetalProcessor()
  let facts = EntryFacts.hypervisor(isVMRESUME: false, currentVMCSPointer: processor.vmptrst())
  switch EntryDrill.prepare(
    id, HostVMCSState(), capabilities: EntryCapabilities(of: processor), facts: facts, on: processor)
  {
  case .ready: return
  case .unknownCheck: fail("the check of --drill is not known; list them with: skep checks")
  case .impossible: fail("the check of --drill cannot be made to fail by a change of one field on this processor")
  }
}
