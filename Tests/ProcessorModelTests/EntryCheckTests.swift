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
    Mutation(testDescription: "MSR load of IA32_FS_BASE", error: 34, qualification: 2) {
      $0.setMSRLoadArea([(0x277, 0x0606), (0xC000_0100, 0)])
    },
    Mutation(
      testDescription: "the first MSR that cannot be loaded, whatever the order of the checks", error: 34,
      qualification: 2
    ) {
      // IA32_FS_BASE, which is checked first, is the last of those that cannot be loaded.
      $0.setMSRLoadArea([(0x174, 0), (0x1_0000_0174, 0), (0x808, 0), (0xC000_0100, 0)])
    },
    Mutation(testDescription: "a forbidden MSR before a bad value", error: 34, qualification: 1) {
      $0.setMSRLoadArea([(0xC000_0101, 0), (0x277, 2)])
    },
    Mutation(testDescription: "a bad value before a forbidden MSR", error: 34, qualification: 1) {
      $0.setMSRLoadArea([(0x277, 2), (0xC000_0101, 0)])
    },
    Mutation(
      testDescription: "an MSR that a processor may load, before one that none does", error: 34, qualification: 2
    ) {
      $0.setMSRLoadArea([(0x79, 0), (0x277, 2)])
    },
    Mutation(testDescription: "link pointer after an NMI with blocking by STI", error: 33, qualification: 4) {
      // A processor may answer the NMI with qualification 3.
      $0.setContents(of: .vmEntryInterruptionInformation, to: .init(rawValue: 0x8000_0202))
      $0.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: 0x202))
      $0.setContents(of: .guestInterruptibilityState, to: .init(rawValue: 1))
      $0.setContents(of: .vmcsLinkPointer, to: PhysicalAddress(8))
    },
  ]

  @Test(
    "A check that a processor need not make is not made",
    arguments: [
      Mutation(testDescription: "NMI with blocking by STI") {
        $0.setContents(of: .vmEntryInterruptionInformation, to: .init(rawValue: 0x8000_0202))
        $0.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: 0x202))
        $0.setContents(of: .guestInterruptibilityState, to: .init(rawValue: 1))
      },
      Mutation(testDescription: "MSR load of IA32_BIOS_UPDT_TRIG") { $0.setMSRLoadArea([(0x79, 0)]) },
    ])
  func optional(_ mutation: Mutation) {
    let model = ProcessorModel.withValidVMCS(.skylakeX)
    mutation.mutate(model)
    #expect(model.enter(resume: false) == .succeed)
    #expect(model.failedCheck == nil, "\(model.failedCheck?.id.description ?? "")")
    #expect(model.contents(of: .exitReason)?.rawValue == 12)
    #expect(model.faults.isEmpty)
  }

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

extension ProcessorModel {
  /// Gives the current VMCS a VM-entry MSR-load area.
  fileprivate func setMSRLoadArea(_ entries: [(index: UInt64, value: UInt64)]) {
    let (pointer, address) = memory.allocatePages()
    for (number, entry) in entries.enumerated() {
      pointer.storeBytes(of: entry.index, toByteOffset: 16 * number, as: UInt64.self)
      pointer.storeBytes(of: entry.value, toByteOffset: 16 * number + 8, as: UInt64.self)
    }
    setContents(of: .vmEntryMSRLoadAddress, to: address)
    setContents(of: .vmEntryMSRLoadCount, to: UInt32(entries.count))
  }
}
