import Foundation
import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite("Every exit reason") struct ExitTreatmentTests {
  static let named = (0...UInt16(0xFF)).filter { BasicExitReason(rawValue: $0).title != nil }

  @Test("F3 the table has a row for each reason of the SDM, and no other")
  func rows() {
    #expect(Self.named.count > 70)
    for number in UInt16.min...UInt16.max {
      let hasRow = ExitReasonTreatment(of: BasicExitReason(rawValue: number)) != nil
      #expect(hasRow == (BasicExitReason(rawValue: number).title != nil), "\(number)")
    }
  }

  /// What the exits of a treatment can become.
  private func isExpected(_ exit: VMExit, _ treatment: ExitTreatment) -> Bool {
    switch (exit, treatment) {
    case (.exception, .reflected), (.externalInterrupt, .hostEvent), (.preemptionTimerExpired, .hostEvent),
      (.tripleFault, .guestStops), (.initSignal, .guestStops), (.eptMisconfiguration, .guestStops),
      (.interruptWindow, .resumed), (.nmiWindow, .resumed), (.monitorTrapFlag, .resumed), (.eptViolation, .resumed),
      (.taskSwitch, .emulated), (.cpuid, .emulated), (.hlt, .emulated), (.controlRegisterAccess, .emulated),
      (.io, .emulated), (.rdmsr, .emulated), (.wrmsr, .emulated), (.xsetbv, .emulated),
      (.invalidateCaches, .ignored), (.undefinedInstruction, .invalidOpcode),
      (.forbiddenInstruction, .generalProtection), (.unknown, .impossible),
      (.tprBelowThreshold, .localAPIC), (.apicAccess, .localAPIC), (.virtualizedEOI, .localAPIC),
      (.apicWrite, .localAPIC):
      true
    default: false
    }
  }

  @Test("F3 each reason becomes what its row says", arguments: named)
  func everyRow(_ number: UInt16) throws {
    let row = try #require(ExitReasonTreatment(of: BasicExitReason(rawValue: number)))
    let fixture = try VCPUFixture(.everything, wanting: .all)
    fixture.processor.onFault = { _ in }
    var vcpu = fixture.makeVCPU().load()
    var exit = ScriptedExit(BasicExitReason(rawValue: number), instructionLength: 3)
    exit.interruptionInformation = VMExitInterruptionInformation(rawValue: 0x8000_0306)
    exit.guestPhysicalAddress = 0x1000
    let isEntryFailure = [33, 34, 41].contains(number)
    if isEntryFailure { exit.reason = ExitReason(rawValue: UInt32(number) | 1 << 31) }
    fixture.processor.script = [exit]
    let result = vcpu.run(eptGeneration: 0)
    if isEntryFailure {
      guard case .entryFailure = result, row.treatment == .guestStops else {
        Issue.record("\(result)")
        return
      }
    } else {
      #expect(isExpected(result, row.treatment), "\(result), \(row.treatment)")
    }
  }

  @Test("F3 what is impossible needs a control that is 0, or a state that Skep never enters with")
  func impossible() throws {
    let fixture = try VCPUFixture(.everything, wanting: .all)
    // SIPI needs wait-for-SIPI, I/O SMI and other SMI the dual-monitor treatment.
    for number in Self.named where ![4, 5, 6].contains(number) {
      let reason = BasicExitReason(rawValue: number)
      guard ExitReasonTreatment(of: reason)?.treatment == .impossible else { continue }
      let fixture = try VCPUFixture(.everything, wanting: .all)
      fixture.processor.onFault = { _ in }
      var vcpu = fixture.makeVCPU().load()
      fixture.processor.script = [ScriptedExit(reason)]
      _ = vcpu.run(eptGeneration: 0)
      _ = vcpu.unload()
      let hasModel = ![66, 74, 75].contains(number)
      #expect(!hasModel || !fixture.processor.faults.isEmpty, "the model makes this exit: \(number)")
    }
    let secondary = fixture.support.controls.secondary
    #expect(secondary.isDisjoint(with: [.subPageWritePermissionsForEPT, .vmmBusLockDetection, .instructionTimeout]))
  }

  @Test("The documentation has the table")
  func documentation() throws {
    var output = TextOutput()
    ExitReasonTreatment.writeTable(to: &output)
    let path = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Sources/VMX/VMX.docc/ExitReasons.md")
    let text = (try? String(contentsOf: path, encoding: .utf8)) ?? ""
    let isThere = text.hasSuffix("\n" + output.text)
    if !isThere, ProcessInfo.processInfo.environment["SKEP_WRITE_TABLES"] != nil {
      let head = "# Exit reasons\n\nWhat Skep does about each of the SDM's basic exit reasons.\n\n"
      try (head + output.text).write(to: path, atomically: true, encoding: .utf8)
    }
    #expect(isThere, "SKEP_WRITE_TABLES=1 swift test --filter ExitTreatment writes it")
  }
}

@Suite("Exceptions that are reflected") struct ReflectionTests {
  /// A vCPU that has exited for an exception.
  private func reflect(
    _ information: UInt32, qualification: UInt64 = 0, errorCode: UInt32? = nil, vectoring: UInt32? = nil,
    _ fixture: VCPUFixture, change: (inout ScriptedExit) -> Void = { _ in }
  ) -> LoadedVCPU<ProcessorModel> {
    var exit = ScriptedExit(.exceptionOrNMI, qualification: qualification, instructionLength: 2)
    exit.interruptionInformation = VMExitInterruptionInformation(rawValue: information)
    exit.interruptionErrorCode = errorCode
    exit.idtVectoringInformation = vectoring.map { IDTVectoringInformation(rawValue: $0) }
    exit[.guestCR0] = CR0(rawValue: 0x31)
    change(&exit)
    var vcpu = fixture.makeVCPU().load()
    fixture.processor.script = [exit]
    guard case .exception(let information) = vcpu.run(eptGeneration: 0) else {
      Issue.record("it is not an exception of the guest's")
      return vcpu
    }
    vcpu.reflect(information)
    _ = vcpu.prepareEvents(externalInterruptRequested: false)
    return vcpu
  }

  @Test(
    "F3 each exception goes in as it came, with error code, CR2 or instruction length",
    arguments: 0..<32 as Range<UInt32>)
  func everyVector(_ vector: UInt32) throws {
    guard vector != 2, vector != 18 else { return }
    let fixture = try VCPUFixture()
    let hasErrorCode = [8, 10, 11, 12, 13, 14, 17].contains(vector)
    let type: UInt32 = vector == 3 || vector == 4 ? 6 : 3
    let information = 1 << 31 | (hasErrorCode ? 1 << 11 : 0) | type << 8 | vector
    let code: UInt32? = hasErrorCode ? (vector == 8 || vector == 17 ? 0 : 0x18) : nil
    _ = reflect(information, qualification: vector == 14 ? 0x1234_5678 : 0, errorCode: code, fixture)
    #expect(fixture.contents(.vmEntryInterruptionInformation).rawValue == information)
    if let code { #expect(fixture.contents(.vmEntryExceptionErrorCode) == code) }
    if type == 6 { #expect(fixture.contents(.vmEntryInstructionLength) == 2) }
    if vector == 14 { #expect(fixture.processor.cr2 == 0x1234_5678) }
  }

  @Test(
    "F5 blocking by NMI that IRET ended begins again, but not for a double fault or during delivery",
    arguments: [(14, true, false, true), (14, false, false, false), (14, true, true, false), (8, true, false, false)]
      as [(UInt32, Bool, Bool, Bool)])
  func nmiUnblocking(vector: UInt32, isUnblocked: Bool, isVectoring: Bool, expected: Bool) throws {
    let fixture = try VCPUFixture()
    _ = reflect(
      1 << 31 | 1 << 11 | 3 << 8 | vector | (isUnblocked ? 1 << 12 : 0), errorCode: 0,
      vectoring: isVectoring ? 0x8000_0021 : nil, fixture)
    #expect(fixture.contents(.guestInterruptibilityState).blockingByNMI == expected)
  }

  @Test("F7 an exception during the delivery of another is a double fault")
  func doubleFault() throws {
    let fixture = try VCPUFixture()
    _ = reflect(0x8000_0B0D, errorCode: 0x18, vectoring: 0x8000_0B0B, fixture) { $0.idtVectoringErrorCode = 0x20 }
    #expect(fixture.contents(.vmEntryInterruptionInformation).rawValue == 0x8000_0B08)
  }

  @Test(
    "F14 an NMI and a machine check are the host's, whatever the guest was doing",
    arguments: [nil, 0x8000_0021] as [UInt32?])
  func host(vectoring: UInt32?) throws {
    for (information, isNMI) in [(0x8000_0202, true), (0x8000_0312, false)] as [(UInt32, Bool)] {
      let fixture = try VCPUFixture()
      var vcpu = fixture.makeVCPU().load()
      var exit = ScriptedExit(.exceptionOrNMI)
      exit.interruptionInformation = VMExitInterruptionInformation(rawValue: information)
      exit.idtVectoringInformation = vectoring.map { IDTVectoringInformation(rawValue: $0) }
      fixture.processor.script = [exit]
      switch vcpu.run(eptGeneration: 0) {
      case .hostNMI: #expect(isNMI)
      case .hostMachineCheck: #expect(!isNMI)
      case let other: Issue.record("\(other)")
      }
    }
  }

  /// The exit qualification, DR6 before, and DR6 after.
  static let debugExceptions: [(UInt64, UInt64, UInt64)] = [
    (0x4000, 0xFFFF_0FF0, 0xFFFF_4FF0), (0x1, 0xFFFF_0FF2, 0xFFFF_0FF1), (0x2000, 0xFFFF_0FF0, 0xFFFF_2FF0),
    (0x400F, 0xFFFF_8FF0, 0xFFFF_CFFF), (0x1_0001, 0xFFFF_0FF0, 0xFFFE_0FF1), (0x800, 0xFFFF_0FF0, 0xFFFF_07F0),
    (0, 0xFFFF_0FF5, 0xFFFF_0FF0),
  ]

  @Test(
    "A debug exception has its conditions in DR6, and clears DR7.GD and IA32_DEBUGCTL's LBR and BTF",
    arguments: debugExceptions)
  func debugException(qualification: UInt64, before: UInt64, after: UInt64) throws {
    let fixture = try VCPUFixture()
    var vcpu = reflect(0x8000_0301, qualification: qualification, fixture) { exit in
      exit[.guestDR7] = DR7(rawValue: 0x2401)
      exit[.guestIA32DEBUGCTL] = IA32DEBUGCTL(rawValue: 3)
      exit.guest = { _, processor in processor.setDebugRegister(6, to: before) }
    }
    let dr6 = vcpu.register(.dr6)
    #expect(dr6 == after)
    #expect(fixture.contents(.guestDR7).rawValue == 0x401 && fixture.contents(.guestIA32DEBUGCTL).rawValue == 0)
  }

  @Test(
    "A debug exception under blocking by MOV SS goes in without a failing entry", arguments: 0..<16 as Range<UInt64>)
  func blockedDebugException(bits: UInt64) throws {
    let fixture = try VCPUFixture()
    _ = reflect(0x8000_0301, qualification: 0x2000, fixture) { exit in
      exit[.guestRFLAGS] = RFLAGS(rawValue: 0x202 | (bits & 1) << 8)
      exit[.guestIA32DEBUGCTL] = IA32DEBUGCTL(rawValue: bits & 2)
      exit[.guestInterruptibilityState] = GuestInterruptibilityState(
        rawValue: bits & 4 != 0 ? 2 : bits & 8 != 0 ? 1 : 0)
    }
    #expect(fixture.entryFailures() == [])
  }
}
