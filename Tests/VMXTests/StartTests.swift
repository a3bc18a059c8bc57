import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite("INIT and SIPI") struct StartTests {
  /// A vCPU that has been in 64-bit mode, with everything that INIT changes changed.
  private func usedVCPU(_ fixture: VCPUFixture) throws -> LoadedVCPU<ProcessorModel> {
    var vcpu = fixture.makeLoadedVCPU()
    for register in GuestRegister.plain { try vcpu.setRegister(register, to: 0x1234_5678_9ABC_D000) }
    try vcpu.setRegister(.efer, to: 0xD01)
    try vcpu.setRegister(.cr4, to: 0x4_0668)
    for segment in GuestSegment.allCases {
      vcpu.setDescriptor(
        segment, to: .init(base: 0x5000, limit: 0x1234, accessRights: SegmentAccessRights(rawValue: 0xA09B)))
    }
    fixture.set(.guestIA32DEBUGCTL, IA32DEBUGCTL(rawValue: 2))
    fixture.set(.guestActivityState, .hlt)
    fixture.set(.guestInterruptibilityState, GuestInterruptibilityState(rawValue: 9))
    fixture.set(.guestPendingDebugExceptions, PendingDebugExceptions(rawValue: 0x4000))
    vcpu.raise(.generalProtection)
    vcpu.requestNMI()
    vcpu.requestInterruptWindow()
    vcpu.inject(.invalidOpcode)
    return vcpu
  }

  @Test(
    "INIT gives the registers their values after power-up, but for CD and NW, which stay",
    arguments: [0x8000_0031, 0xC000_0031, 0xE000_0031] as [UInt64])
  func registers(cr0: UInt64) throws {
    let new = try VCPUFixture()
    var fresh = new.makeLoadedVCPU()
    let fixture = try VCPUFixture()
    var vcpu = try usedVCPU(fixture)
    try vcpu.setRegister(.cr0, to: cr0)
    vcpu.applyINIT()
    // The length of an instruction is a field of events, and has no value after power-up.
    for register in GuestRegister.plain where register != .cr0 && register != .entryInstructionLength {
      let (found, expected) = (vcpu.register(register), fresh.register(register))
      #expect(found == expected, "\(register)")
    }
    let (found, rdx) = (vcpu.register(.cr0), vcpu.register(.rdx))
    #expect(found == cr0 & 0x6000_0000 | 0x10)
    #expect(rdx == UInt64(fixture.processor.cpuid(1, 0).eax) && rdx != 0)
    for segment in GuestSegment.allCases {
      let (found, expected) = (vcpu.descriptor(segment), fresh.descriptor(segment))
      #expect(found == expected, "\(segment)")
    }
    #expect(fixture.contents(.guestActivityState) == .active)
    #expect(fixture.contents(.guestInterruptibilityState).rawValue == 0)
    #expect(fixture.contents(.guestPendingDebugExceptions).rawValue == 0)
    #expect(fixture.contents(.guestIA32DEBUGCTL).rawValue == 0)
    #expect(fixture.contents(.vmEntryInterruptionInformation).rawValue == 0)
    let (needed, watched) = (vcpu.needsEventPreparation, vcpu.watchedCR4)
    #expect(!needed && watched.rawValue == 0)
    #expect(fixture.entryFailures() == [])
  }

  @Test("INIT leaves XCR0, the time-stamp counter, and the MSRs of system calls alone")
  func kept() throws {
    let fixture = try VCPUFixture()
    var vcpu = try usedVCPU(fixture)
    fixture.set(.guestIA32SYSENTEREIP, 0x1234)
    fixture.set(.guestIA32PAT, IA32PAT(rawValue: 0x0606_0606_0606_0606))
    vcpu.timestampCounterAdjustment = 77
    vcpu.state.xcr0 = 7
    vcpu.applyINIT()
    #expect(fixture.contents(.guestIA32SYSENTEREIP) == 0x1234)
    #expect(fixture.contents(.guestIA32PAT).rawValue == 0x0606_0606_0606_0606)
    #expect(vcpu.timestampCounterAdjustment == 77 && vcpu.xcr0 == 7)
  }

  @Test("A SIPI begins at its vector's page in real-address mode", arguments: 0...255 as ClosedRange<UInt8>)
  func sipi(vector: UInt8) throws {
    let fixture = try VCPUFixture()
    var vcpu = try usedVCPU(fixture)
    vcpu.applyINIT()
    vcpu.applySIPI(vector: vector)
    let (rip, cs) = (vcpu.register(.rip), vcpu.register(.cs))
    #expect(rip == 0 && cs == UInt64(vector) << 8)
    #expect(vcpu.descriptor(.cs).base == UInt64(vector) << 12)
    fixture.processor.script = [.cpuid]
    let exit = vcpu.run(eptGeneration: 0)
    guard case .cpuid = exit else {
      Issue.record("\(exit)")
      return
    }
    #expect(fixture.processor.trace.entries.last?.outcome == .succeed)
  }
}
