import ProcessorModel
import Testing
import VMCS

@testable import VMX

/// What an exit has to become, and which fields tell it.
struct ExpectedExit {
  var exit: VMExit
  var fields: [VMCSFieldEncoding]

  static let qualification: UInt64 = 0x1234_5678_9ABC_DEF8
  static let address: UInt64 = 0x000F_EDCB_A987_6543
  static let interruption: UInt32 = 0x8000_00EC

  init(_ exit: VMExit, _ fields: [VMCSFieldEncoding] = []) {
    self.exit = exit
    self.fields = [VMCSField.exitReason.encoding] + fields
  }

  /// By basic exit reason, in the SDM's order.
  init(_ number: UInt16) {
    let qualification = VMCSField.exitQualification.encoding
    let address = VMCSField.guestPhysicalAddress.encoding
    let interruption = VMCSField.vmExitInterruptionInformation.encoding
    switch number {
    case 0: self.init(.exception(.init(rawValue: Self.interruption)), [interruption])
    case 1: self.init(.externalInterrupt(vector: 0xEC), [interruption])
    case 2: self.init(.tripleFault)
    case 3: self.init(.initSignal)
    case 7: self.init(.interruptWindow)
    case 8: self.init(.nmiWindow)
    case 37: self.init(.monitorTrapFlag)
    case 9: self.init(.taskSwitch(.init(rawValue: Self.qualification)), [qualification])
    case 10: self.init(.cpuid)
    case 11: self.init(.undefinedInstruction)  // GETSEC
    case 12: self.init(.hlt)
    case 13, 54: self.init(.invalidateCaches)  // INVD; WBINVD or WBNOINVD
    case 15: self.init(.forbiddenInstruction)  // RDPMC
    case 17: self.init(.undefinedInstruction)  // RSM
    case 18...27: self.init(.undefinedInstruction)  // VMCALL to VMXON
    case 28: self.init(.controlRegisterAccess(.init(rawValue: Self.qualification)), [qualification])
    case 30: self.init(.io(.init(rawValue: Self.qualification)), [qualification])
    case 31: self.init(.rdmsr)
    case 32: self.init(.wrmsr)
    case 36, 39: self.init(.undefinedInstruction)  // MWAIT, MONITOR
    case 43: self.init(.tprBelowThreshold)
    case 44: self.init(.apicAccess(.init(rawValue: Self.qualification)), [qualification])
    case 45: self.init(.virtualizedEOI(vector: 0xF8), [qualification])
    case 52: self.init(.preemptionTimerExpired)
    case 56: self.init(.apicWrite(offset: 0xEF8), [qualification])
    case 48:
      self.init(
        .eptViolation(guestPhysicalAddress: Self.address, .init(rawValue: Self.qualification)),
        [address, qualification])
    case 49: self.init(.eptMisconfiguration(guestPhysicalAddress: Self.address), [address])
    case 50, 53, 59: self.init(.undefinedInstruction)  // INVEPT, INVVPID, VMFUNC
    case 55: self.init(.xsetbv)
    case 60, 65, 69, 70, 76, 77: self.init(.undefinedInstruction)  // ENCLS, PCONFIG, LOADIWKEY, ENCLV, SEAMCALL, TDCALL
    // UMWAIT, TPAUSE, ENQCMD and ENQCMDS, RDMSRLIST and WRMSRLIST
    case 67, 68, 72, 73, 78, 79: self.init(.undefinedInstruction)
    case 80, 81, 84, 85: self.init(.undefinedInstruction)  // URDMSR, UWRMSR, RDMSR and WRMSRNS with an immediate
    default: self.init(.unknown(ExitReason(rawValue: UInt32(number))))
    }
  }
}

@Suite("VM exits as values") struct VMExitTests {
  /// A processor that makes any exit it is told to, and a vCPU that has just had it.
  private func exit(_ reason: UInt32, _ body: (VMExit, VCPUFixture) -> Void) throws {
    let fixture = try VCPUFixture()
    fixture.processor.onFault = { _ in }
    var exit = ScriptedExit(BasicExitReason(rawValue: 0), qualification: ExpectedExit.qualification)
    exit.reason = ExitReason(rawValue: reason)
    exit.guestPhysicalAddress = ExpectedExit.address
    exit.interruptionInformation = VMExitInterruptionInformation(rawValue: ExpectedExit.interruption)
    fixture.processor.script = [exit]
    var vcpu = fixture.makeVCPU().load()
    fixture.processor.clearTrace()
    let result = vcpu.run(eptGeneration: 0)
    body(result, fixture)
  }

  @Test(
    "F3 every basic exit reason becomes the stated value, by the fields it needs and no other",
    arguments: 0..<96 as Range<UInt16>)
  func everyReason(_ number: UInt16) throws {
    try exit(UInt32(number)) { result, fixture in
      let expected = ExpectedExit(number)
      #expect("\(result)" == "\(expected.exit)")
      #expect(fixture.processor.trace.vmreads == expected.fields)
      #expect(fixture.processor.trace.vmwrites.isEmpty)
    }
  }

  @Test(
    "F3 a reason with bit 31 is an entry failure with all its bits, whatever the rest is",
    arguments: 0..<96 as Range<UInt32>)
  func entryFailure(_ number: UInt32) throws {
    try exit(number | 1 << 31) { result, fixture in
      guard case .entryFailure(let reason, let qualification) = result else {
        Issue.record("\(result)")
        return
      }
      #expect(reason.rawValue == number | 1 << 31 && qualification == ExpectedExit.qualification)
      #expect(
        fixture.processor.trace.vmreads == [VMCSField.exitReason.encoding, VMCSField.exitQualification.encoding])
    }
  }

  @Test("F3 a reason with any other bit above the basic reason is unknown", arguments: 16..<31 as Range<UInt32>)
  func otherBits(_ bit: UInt32) throws {
    try exit(10 | 1 << bit) { result, _ in
      guard case .unknown(let reason) = result else {
        Issue.record("\(result)")
        return
      }
      #expect(reason.rawValue == 10 | 1 << bit)
    }
  }

  @Test(
    "F3 reasons that nothing enables, or that the SDM does not have yet, are unknown",
    arguments: [82, 83, 86, 255, 0x7FFF, 0xFFFF] as [UInt32])
  func later(_ number: UInt32) throws {
    try exit(number) { result, _ in
      guard case .unknown = result else {
        Issue.record("\(result)")
        return
      }
    }
  }

  @Test(
    "F17 VMX instructions of the guest are undefined ones",
    arguments: [11] + Array(18...27) + [50, 53, 59] as [UInt32])
  func vmxInstructions(_ number: UInt32) throws {
    try exit(number) { result, _ in
      guard case .undefinedInstruction = result else {
        Issue.record("\(result)")
        return
      }
    }
  }
}

@Suite("Launching and resuming") struct LaunchTests {
  private func entries(_ fixture: VCPUFixture) -> [ProcessorAccess] {
    fixture.processor.trace.accesses.filter { $0 == .vmlaunch || $0 == .vmresume }
  }

  @Test("C5 the first entry after a load is a VMLAUNCH, the others are VMRESUMEs")
  func launchAndResume() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    fixture.processor.clearTrace()
    for _ in 0..<2 {
      var loaded = vcpu.load()
      fixture.processor.script = [.cpuid, .cpuid, .cpuid]
      for _ in 0..<3 { _ = loaded.run(eptGeneration: 0) }
      #expect(fixture.processor.isLaunched(VCPUFixture.vmcs) == true)
      vcpu = loaded.unload()
      #expect(fixture.processor.isLaunched(VCPUFixture.vmcs) == false)
    }
    #expect(entries(fixture) == [.vmlaunch, .vmresume, .vmresume, .vmlaunch, .vmresume, .vmresume])
    _ = vcpu
  }

  @Test(
    "C5 an entry that fails with an exit reason launches nothing: the next one is as it was", arguments: [false, true])
  func failureWithExit(afterLaunch: Bool) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    fixture.processor.script = [.cpuid, .cpuid]
    if afterLaunch { _ = vcpu.run(eptGeneration: 0) }
    fixture.processor.inject(
      .entryFailure(.vmEntryFailureInvalidGuestState, qualification: 2), into: afterLaunch ? .vmresume : .vmlaunch)
    let failure = vcpu.run(eptGeneration: 0)
    guard case .entryFailure(let reason, let qualification) = failure, qualification == 2 else {
      Issue.record("\(failure)")
      return
    }
    #expect(reason.rawValue == 0x8000_0021)
    fixture.processor.clearTrace()
    _ = vcpu.run(eptGeneration: 0)
    #expect(entries(fixture) == [afterLaunch ? .vmresume : .vmlaunch])
    #expect(fixture.processor.trace.entries.allSatisfy { $0.outcome == .succeed })
  }

  @Test(
    "B5 an entry instruction that fails is a value with its error, and no exit field is read",
    arguments: [7, 8, 12, 26] as [UInt32])
  func instructionFailure(_ error: UInt32) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    fixture.processor.clearTrace()
    fixture.processor.inject(.failValid(VMInstructionError(rawValue: error)), into: .vmlaunch)
    let exit = vcpu.run(eptGeneration: 0)
    guard case .entryInstructionFailed(let found?) = exit else {
      Issue.record("\(exit)")
      return
    }
    #expect(found.rawValue == error)
    #expect(fixture.processor.trace.vmreads == [VMCSField.vmInstructionError.encoding])
    fixture.processor.script = [.cpuid]
    fixture.processor.clearTrace()
    _ = vcpu.run(eptGeneration: 0)
    #expect(entries(fixture) == [.vmlaunch], "it has not been launched")
  }

  @Test("B5 VMfailInvalid is a value without an error")
  func failInvalid() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    fixture.processor.clearTrace()
    fixture.processor.inject(.failInvalid, into: .vmlaunch)
    let exit = vcpu.run(eptGeneration: 0)
    guard case .entryInstructionFailed(nil) = exit else {
      Issue.record("\(exit)")
      return
    }
    #expect(fixture.processor.trace.vmreads.isEmpty)
  }
}

@Suite("Stale translations") struct InvalidationTests {
  private func flushes(_ fixture: VCPUFixture) -> [ProcessorAccess] {
    fixture.processor.trace.accesses.filter {
      switch $0 {
      case .invept, .invvpid, .vmlaunch, .vmresume: true
      default: false
      }
    }
  }

  @Test(
    "F11 after a change of the tables INVEPT comes before the next entry, once",
    arguments: [0, 1, 5, 1 << 40] as [UInt64])
  func generations(_ first: UInt64) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    fixture.processor.clearTrace()
    fixture.processor.script = Array(repeating: .cpuid, count: 4)
    for generation in [first, first, first + 1, first + 1] { _ = vcpu.run(eptGeneration: generation) }
    let invept = ProcessorAccess.invept(type: 1, eptPointer: fixture.settings.eptPointer.rawValue)
    let invvpid = ProcessorAccess.invvpid(type: 1, vpid: VCPUFixture.vpid, linearAddress: 0)
    #expect(flushes(fixture).filter { $0 != invvpid } == [invept, .vmlaunch, .vmresume, invept, .vmresume, .vmresume])
  }

  @Test("F11 after every load both kinds of translations are dropped before the first entry")
  func loads() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    let invept = ProcessorAccess.invept(type: 1, eptPointer: fixture.settings.eptPointer.rawValue)
    let invvpid = ProcessorAccess.invvpid(type: 1, vpid: VCPUFixture.vpid, linearAddress: 0)
    for _ in 0..<2 {
      fixture.processor.clearTrace()
      var loaded = vcpu.load()
      fixture.processor.script = [.cpuid]
      _ = loaded.run(eptGeneration: 3)
      vcpu = loaded.unload()
      #expect(flushes(fixture) == [invept, invvpid, .vmlaunch])
    }
  }

  @Test("F11 an INVEPT or INVVPID that fails stops the processor with a report", arguments: [true, false])
  func failure(isINVEPT: Bool) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [isINVEPT] in
      let fixture = try VCPUFixture()
      fixture.processor.script = [.cpuid]
      var vcpu = fixture.makeVCPU().load()
      fixture.processor.inject(
        .failValid(.invalidOperandToINVEPTOrINVVPID), into: isINVEPT ? .invept : .invvpid)
      _ = vcpu.run(eptGeneration: 0)
      fixture.processor.stop(PanicReport("the guest was entered"))
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("\(isINVEPT ? "INVEPT" : "INVVPID"): VMfailValid (ZF = 1)"), "\(text)")
    #expect(!text.contains("the guest was entered"))
  }

  @Test(
    "F13 the guest's time-stamp counter is the host's plus the offset",
    arguments: [0, 1, 0x1234_5678_9ABC_DEF0, ~0] as [UInt64])
  func timestampCounter(_ value: UInt64) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    let before = fixture.processor.timestampCounter
    vcpu.setTimestampCounter(to: value)
    let after = fixture.processor.timestampCounter
    let guest = fixture.contents(.tscOffset) &+ before
    #expect(value &- guest <= after &- before, "it was exactly the value at some time in between")
    let adjustment = vcpu.timestampCounterAdjustment
    #expect(adjustment == fixture.contents(.tscOffset) &- VCPUFixture.tscOffset)
  }

  @Test(
    "F13 IA32_TSC_ADJUST moves the guest's time-stamp counter",
    arguments: [0, 1, 0x1234_5678_9ABC_DEF0, ~0] as [UInt64])
  func adjustment(_ value: UInt64) throws {
    let fixture = try VCPUFixture()
    let vcpu = fixture.makeLoadedVCPU()
    #expect(vcpu.timestampCounterAdjustment == 0)
    vcpu.timestampCounterAdjustment = value
    #expect(fixture.contents(.tscOffset) == VCPUFixture.tscOffset &+ value)
    #expect(vcpu.timestampCounterAdjustment == value && vcpu.timestampCounterOffset == fixture.contents(.tscOffset))
  }
}
