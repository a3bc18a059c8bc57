import ProcessorModel
import Testing
import VMCS

@Suite("Checks of VM entries")
struct EntryCheckTests {
  @Test("A valid VMCS enters the guest on every processor", arguments: ProcessorModel.Configuration.presets)
  func valid(_ configuration: ProcessorModel.Configuration) {
    let model = ProcessorModel.withValidVMCS(configuration)
    #expect(model.enter(resume: false) == .succeed, "\(model.failedCheck?.id.description ?? "")")
    #expect(model.contents(of: .exitReason)?.rawValue == 12, "\(model.failedCheck?.id.description ?? "")")
    #expect(model.faults.isEmpty)
    #expect(model.failedCheck == nil)
  }

  struct Mutation: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var outcome = VMXOutcome.succeed
    /// The VM-instruction error, or the basic exit reason and the exit qualification.
    var error: UInt32 = 0
    var qualification: UInt64 = 0
    var mutate: @Sendable (ProcessorModel) -> Void
  }

  static let mutations: [Mutation] = [
    Mutation(testDescription: "NMI exiting off, virtual NMIs on", outcome: .failValid, error: 7) {
      $0.setContents(
        of: .pinBasedVMExecutionControls,
        to: ($0.contents(of: .pinBasedVMExecutionControls) ?? []).union(.virtualNMIs))
    },
    Mutation(testDescription: "CR3-target count", outcome: .failValid, error: 7) {
      $0.setContents(of: .cr3TargetCount, to: 5)
    },
    Mutation(testDescription: "host CR3 too wide", outcome: .failValid, error: 8) {
      $0.setContents(of: .hostCR3, to: 1 << 46)
    },
    Mutation(testDescription: "host TR null", outcome: .failValid, error: 8) {
      $0.setContents(of: .hostTRSelector, to: SegmentSelector(rawValue: 0))
    },
    Mutation(testDescription: "controls before host state", outcome: .failValid, error: 7) {
      $0.setContents(of: .hostTRSelector, to: SegmentSelector(rawValue: 0))
      $0.setContents(of: .cr3TargetCount, to: 5)
    },
    Mutation(testDescription: "RFLAGS bit 1", error: 33) {
      $0.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: 0))
    },
    Mutation(testDescription: "link pointer misaligned", error: 33, qualification: 4) {
      $0.setContents(of: .vmcsLinkPointer, to: PhysicalAddress(8))
    },
    Mutation(testDescription: "MSR load of IA32_FS_BASE", error: 34, qualification: 2) { model in
      let (pointer, address) = model.memory.allocatePages()
      pointer.storeBytes(of: 0x277, as: UInt64.self)
      pointer.storeBytes(of: 0x0606, toByteOffset: 8, as: UInt64.self)
      pointer.storeBytes(of: 0xC000_0100, toByteOffset: 16, as: UInt64.self)
      model.setContents(of: .vmEntryMSRLoadAddress, to: address)
      model.setContents(of: .vmEntryMSRLoadCount, to: 2)
    },
  ]

  @Test("A VMCS with one mistake fails as the SDM says", arguments: mutations)
  func mistake(_ mutation: Mutation) {
    let model = ProcessorModel.withValidVMCS(.skylakeX)
    mutation.mutate(model)
    #expect(model.enter(resume: false) == mutation.outcome)
    #expect(model.failedCheck != nil)
    #expect(model.faults.isEmpty)
    #expect(model.script.count == 1)
    if mutation.outcome == .failValid {
      #expect(model.instructionError == mutation.error)
    } else {
      #expect(model.contents(of: .exitReason)?.rawValue == 0x8000_0000 | mutation.error)
      #expect(model.contents(of: .exitQualification) == mutation.qualification)
    }
    #expect(model.currentVMCS.flatMap { model.isLaunched($0) } == false)
  }

  @Test("The mistake is not found where fields are not checked", arguments: mutations)
  func unchecked(_ mutation: Mutation) {
    let model = ProcessorModel.withValidVMCS(.skylakeX)
    mutation.mutate(model)
    model.checksFields = false
    #expect(model.enter(resume: false) == .succeed)
    #expect(model.script.isEmpty)
    #expect(model.failedCheck == nil)
  }
}
