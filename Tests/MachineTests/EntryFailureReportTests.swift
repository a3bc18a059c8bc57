import Machine
import ProcessorModel
import Testing
import VMCS
import VMEntryChecks

/// The text that says why a VM entry failed.
@Suite("Report of a failed entry") struct EntryFailureReportTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var text: String
    var change: @Sendable (ProcessorModel) -> Void

    init(_ testDescription: String, _ text: String, _ change: @escaping @Sendable (ProcessorModel) -> Void) {
      (self.testDescription, self.text, self.change) = (testDescription, text, change)
    }
  }

  static let rows: [Row] = [
    Row(
      "nothing",
      """
      the checks that failed, in the order in which the processor makes them:
      0 failed; 0 could not be decided, since they are about what this processor does not have

      """
    ) { _ in },
    Row(
      "one field of the guest",
      """
      the checks that failed, in the order in which the processor makes them:
      guest.rflags.reserved
        Bits 63:22, 15, 5 and 3 of RFLAGS are 0 and bit 1 is 1.
        Guest RFLAGS is 0x0000000000008000; the smallest change makes it 0x0000000000000002
        SDM, "Checks on Guest RIP, RFLAGS, and SSP"
        exit reason 33, VM-entry failure due to invalid guest state, exit qualification 0
      1 failed; 0 could not be decided, since they are about what this processor does not have

      """
    ) { $0.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: 0x8000)) },
    Row(
      "control, host and guest",
      """
      the checks that failed, in the order in which the processor makes them:
      control.cr3-target-count
        The CR3-target count is not greater than the number of CR3-target values that IA32_VMX_MISC reports.
        CR3-target count is 0x00000005; the smallest change makes it 0x00000004
        SDM, "VM-Execution Control Fields"
        VMfailValid, VM-instruction error 7
      host.tr.base.canonical
        The TR base contains a canonical address.
        Host TR base is 0x0000800000000000; the smallest change makes it 0xffff800000000000
        SDM, "Checks on Host Segment and Descriptor-Table Registers"
        VMfailValid, VM-instruction error 8
      guest.tr.access-rights.unusable
        Bit 16 (unusable) of the TR access rights is 0.
        Guest TR access rights is 0x0001008b; the smallest change makes it 0x0000008b
        SDM, "Checks on Guest Segment Registers"
        exit reason 33, VM-entry failure due to invalid guest state, exit qualification 0
      3 failed; 0 could not be decided, since they are about what this processor does not have

      """
    ) {
      $0.setContents(of: .guestTRAccessRights, to: SegmentAccessRights(rawValue: 0x1008B))
      $0.setContents(of: .hostTRBase, to: 0x8000_0000_0000)
      $0.setContents(of: .cr3TargetCount, to: 5)
    },
    Row(
      "MSR-load area",
      """
      the checks that failed, in the order in which the processor makes them:
      msr-load.fs-gs-base
        No entry loads IA32_FS_BASE or IA32_GS_BASE.
        bits 63:0 of VM-entry MSR-load entry 2 is 0x00000000c0000100; the smallest change makes it 0x0000000000000174
        SDM, "Loading MSRs"
        exit reason 34, VM-entry failure due to MSR loading, exit qualification: the entry
      msr-load.value
        No entry has a value that WRMSR would refuse with #GP, for the MSRs of which the SDM says what they hold: IA32_EFER, IA32_PAT and those that hold linear addresses.
        bits 127:64 of VM-entry MSR-load entry 1 is 0x0000000000000002; the smallest change makes it 0x0000000000000000
        SDM, "Loading MSRs"
        exit reason 34, VM-entry failure due to MSR loading, exit qualification: the entry
      2 failed; 0 could not be decided, since they are about what this processor does not have

      """
    ) { processor in
      let (pointer, address) = processor.memory.allocatePages()
      for (offset, value) in [(0, 0x277), (8, 2), (16, 0xC000_0100)] as [(Int, UInt64)] {
        pointer.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
      }
      processor.setContents(of: .vmEntryMSRLoadAddress, to: address)
      processor.setContents(of: .vmEntryMSRLoadCount, to: 2)
    },
  ]

  @Test("The report has the checks that failed in their order, with what was found and required", arguments: rows)
  func text(_ row: Row) throws {
    let guest = try GuestOnModel()
    let processor = guest.processor
    row.change(processor)
    var output = GuestText()
    EntryFailureReport.write(
      StateOnModel(processor: processor), capabilities: EntryCapabilities(of: processor),
      facts: .hypervisor(isVMRESUME: false, currentVMCSPointer: processor.currentVMCS), to: &output)
    #expect(String(decoding: output.bytes, as: UTF8.self) == row.text)
  }
}
