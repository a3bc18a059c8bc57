import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite("Debugging of emulated instructions") struct DebugTests {
  private let enabledBreakpoint: UInt64 = 1 << 12

  @Test(
    "A single step is pending after an emulated instruction if TF is 1 and BTF is 0, with what was pending before",
    arguments: 0..<64 as Range<UInt64>)
  func singleStep(bits: UInt64) throws {
    let (tf, btf, pending) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0 ? enabledBreakpoint | 1 : 0)
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    fixture.set(.guestRFLAGS, RFLAGS(rawValue: 0x202 | (tf ? 0x100 : 0)))
    fixture.set(.guestIA32DEBUGCTL, IA32DEBUGCTL(rawValue: btf ? 2 : 0))
    fixture.set(.guestPendingDebugExceptions, PendingDebugExceptions(rawValue: pending))
    fixture.set(.guestInterruptibilityState, GuestInterruptibilityState(rawValue: UInt32(bits >> 3 & 3)))
    vcpu.advance()
    let expected = pending | (tf && !btf ? 1 << 14 : 0)
    #expect(fixture.contents(.guestPendingDebugExceptions).rawValue == expected)
    #expect(fixture.contents(.guestInterruptibilityState).rawValue == 0)
    let (isPending, isStepping, endsHLT) = (vcpu.hasPendingDebugException, vcpu.isSingleStepping, vcpu.endsHLT)
    #expect(isPending == (expected != 0) && isStepping == (tf && !btf) && endsHLT == (expected != 0))
    #expect(fixture.entryFailures() == [])
  }

  @Test("The end of an instruction costs four VMREADs and one VMWRITE if nobody debugs")
  func cost() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    vcpu.advance()
    #expect(fixture.processor.trace.vmreads.count == 4 && fixture.processor.trace.vmwrites.count == 1)
  }

  @Test("A pending debug exception comes before an interrupt and an NMI, which wait for their windows")
  func priority() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    fixture.set(.guestRFLAGS, RFLAGS(rawValue: 0x302))
    vcpu.advance()
    vcpu.requestNMI()
    let preparation = vcpu.prepareEvents(externalInterruptRequested: true)
    #expect(preparation == .ready && !fixture.contents(.vmEntryInterruptionInformation).valid)
    let windows = fixture.contents(.primaryProcessorBasedVMExecutionControls)
    #expect(windows.isSuperset(of: [.interruptWindowExiting, .nmiWindowExiting]))
    fixture.set(.guestPendingDebugExceptions, PendingDebugExceptions(rawValue: 0))
    _ = vcpu.prepareEvents(externalInterruptRequested: true)
    #expect(fixture.contents(.vmEntryInterruptionInformation) == Event.nmi.information)
  }

  /// An I/O breakpoint in register `number`, and whether an access meets it.
  struct Row: Sendable {
    var dr7: UInt64, address: UInt64, port: UInt16, byteCount: Int, isMet: Bool
    var de = true
    init(_ dr7: UInt64, _ address: UInt64, _ port: UInt16, _ byteCount: Int, _ isMet: Bool, de: Bool = true) {
      (self.dr7, self.address, self.port) = (dr7, address, port)
      (self.byteCount, self.isMet, self.de) = (byteCount, isMet, de)
    }
  }

  /// By enable bits (L0 1, G0 2) and LEN and R/W (bits 19:16) of the first breakpoint.
  static let rows: [Row] = [
    Row(0x2_0001, 0x80, 0x80, 1, true), Row(0x2_0002, 0x80, 0x80, 1, true), Row(0x2_0003, 0x80, 0x80, 4, true),
    Row(0x2_0000, 0x80, 0x80, 1, false), Row(0x2_0001, 0x80, 0x80, 1, false, de: false),
    Row(0x0_0001, 0x80, 0x80, 1, false), Row(0x1_0001, 0x80, 0x80, 1, false), Row(0x3_0001, 0x80, 0x80, 1, false),
    Row(0x2_0001, 0x81, 0x80, 1, false), Row(0x2_0001, 0x81, 0x80, 2, true), Row(0x2_0001, 0x7F, 0x80, 4, false),
    Row(0x6_0001, 0x80, 0x81, 1, true), Row(0x6_0001, 0x81, 0x80, 1, true), Row(0x6_0001, 0x82, 0x81, 1, false),
    Row(0xE_0001, 0x80, 0x83, 1, true), Row(0xE_0001, 0x83, 0x80, 1, true), Row(0xE_0001, 0x84, 0x83, 1, false),
    Row(0xE_0001, 0x84, 0x83, 2, true), Row(0xA_0001, 0x80, 0x87, 1, true), Row(0xA_0001, 0x80, 0x88, 1, false),
    Row(0x2_0001, 0x1_0080, 0x80, 1, false), Row(0x2_0001, 0xFFFF, 0xFFFF, 4, true),
    Row(0x2_0001, ~0, 0xFFFF, 4, false),
  ]

  @Test("An I/O breakpoint is pending after an emulated access that meets it", arguments: rows, 0..<4 as Range<Int>)
  func ioBreakpoints(_ row: Row, number: Int) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    let dr7 = (row.dr7 & 3) << UInt64(2 * number) | (row.dr7 >> 16) << UInt64(16 + 4 * number)
    fixture.set(.guestDR7, DR7(rawValue: dr7 | 0x400))
    fixture.set(.guestCR4, CR4(rawValue: row.de ? 0x2008 : 0x2000))
    fixture.set(.guestRFLAGS, RFLAGS(rawValue: 2))
    for other in 0..<4 { fixture.processor.setDebugRegister(other, to: other == number ? row.address : 0) }
    let expected = row.isMet ? enabledBreakpoint | 1 << UInt64(number) : 0
    let rip = fixture.contents(.guestRIP)
    let stops = vcpu.endIteration(accessing: row.port, byteCount: row.byteCount)
    #expect(stops == row.isMet && fixture.contents(.guestRIP) == rip)
    #expect(fixture.contents(.guestPendingDebugExceptions).rawValue == expected)
    fixture.set(.guestPendingDebugExceptions, PendingDebugExceptions(rawValue: 0))
    vcpu.advance(pastAccessTo: row.port, byteCount: row.byteCount)
    #expect(fixture.contents(.guestPendingDebugExceptions).rawValue == expected)
    #expect(fixture.contents(.guestRIP) == rip + 2 && fixture.entryFailures() == [])
  }

  /// A data breakpoint, by the first one's bits in DR7, and whether an access in memory meets it.
  struct DataRow: Sendable {
    var dr7: UInt64, address: UInt64, linear: UInt64, byteCount: Int, isWrite: Bool, isMet: Bool
    init(_ dr7: UInt64, _ address: UInt64, _ linear: UInt64, _ byteCount: Int, _ isWrite: Bool, _ isMet: Bool) {
      (self.dr7, self.address, self.linear) = (dr7, address, linear)
      (self.byteCount, self.isWrite, self.isMet) = (byteCount, isWrite, isMet)
    }
  }

  static let dataRows: [DataRow] = [
    // R/W: 0 instructions, 1 writes, 2 I/O, 3 reads and writes.
    DataRow(0x0_0001, 0x1000, 0x1000, 1, true, false), DataRow(0x1_0001, 0x1000, 0x1000, 1, true, true),
    DataRow(0x1_0001, 0x1000, 0x1000, 1, false, false), DataRow(0x2_0001, 0x1000, 0x1000, 1, true, false),
    DataRow(0x3_0001, 0x1000, 0x1000, 1, true, true), DataRow(0x3_0001, 0x1000, 0x1000, 1, false, true),
    DataRow(0x3_0002, 0x1000, 0x1000, 1, false, true), DataRow(0x3_0000, 0x1000, 0x1000, 1, false, false),
    // Sizes: LEN 0 to 3 are 1, 2, 8 and 4 bytes.
    DataRow(0x3_0001, 0x1003, 0x1000, 4, false, true), DataRow(0x3_0001, 0x1004, 0x1000, 4, false, false),
    DataRow(0x3_0001, 0x100F, 0x1000, 16, false, true), DataRow(0x3_0001, 0x0FFF, 0x1000, 16, false, false),
    DataRow(0x7_0001, 0x1001, 0x1000, 1, false, true), DataRow(0x7_0001, 0x1001, 0x1002, 1, false, false),
    DataRow(0xF_0001, 0x1001, 0x1003, 8, false, true), DataRow(0xF_0001, 0x1000, 0x1004, 8, false, false),
    DataRow(0xB_0001, 0x1000, 0x1007, 1, false, true), DataRow(0xB_0001, 0x1000, 0x1008, 1, false, false),
    DataRow(0xB_0001, 0x1000, 0x0FFF, 2, false, true),
    DataRow(0xF_0001, 0xFFFF_8000_0000_1000, 0xFFFF_8000_0000_1002, 2, false, true),
    DataRow(0xF_0001, 0xFFFF_8000_0000_1000, 0x1002, 2, false, false), DataRow(0xB_0001, ~0, ~0, 1, false, true),
  ]

  @Test("An access in memory meets the data breakpoints that it should", arguments: dataRows, 0..<4 as Range<Int>)
  func dataBreakpoints(_ row: DataRow, number: Int) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    let dr7 = (row.dr7 & 3) << UInt64(2 * number) | (row.dr7 >> 16) << UInt64(16 + 4 * number)
    fixture.set(.guestDR7, DR7(rawValue: dr7 | 0x400))
    fixture.set(.guestCR4, CR4(rawValue: 0x2008))
    for other in 0..<4 { fixture.processor.setDebugRegister(other, to: other == number ? row.address : 0) }
    let met = vcpu.dataBreakpoints(metAt: row.linear, byteCount: row.byteCount, isWrite: row.isWrite)
    #expect(met == (row.isMet ? 1 << UInt64(number) : 0))
    vcpu.addBreakpoints(met)
    let expected = row.isMet ? enabledBreakpoint | 1 << UInt64(number) : 0
    #expect(fixture.contents(.guestPendingDebugExceptions).rawValue == expected && fixture.entryFailures() == [])
  }

  @Test(
    "RFLAGS.RF ends with an instruction, and is 1 while a repeated one goes on where breakpoints are",
    arguments: [false, true], [false, true])
  func resumeFlag(isDebugged: Bool, rf: Bool) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    let resume: UInt64 = 1 << 16
    fixture.set(.guestDR7, DR7(rawValue: isDebugged ? 0x401 : 0x400))
    func set() { fixture.set(.guestRFLAGS, RFLAGS(rawValue: rf ? resume | 2 : 2)) }
    func flag() -> Bool { fixture.contents(.guestRFLAGS).rawValue & resume != 0 }
    set()
    vcpu.advance(by: 3)
    #expect(!flag())
    set()
    vcpu.advance(pastAccessTo: 0x80, byteCount: 1)
    #expect(!flag())
    set()
    vcpu.advance()
    #expect(!flag())
    set()
    vcpu.advanceAfterCPUID()
    #expect(!flag() && fixture.entryFailures() == [])
    set()
    vcpu.pauseRepetition()
    #expect(flag() == (rf || isDebugged))
  }

  @Test("An iteration of a string instruction is a step of its own", arguments: [false, true], [false, true])
  func iterations(tf: Bool, btf: Bool) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    fixture.set(.guestRFLAGS, RFLAGS(rawValue: tf ? 0x102 : 2))
    fixture.set(.guestIA32DEBUGCTL, IA32DEBUGCTL(rawValue: btf ? 2 : 0))
    let stops = vcpu.endIteration(accessing: 0x60, byteCount: 1)
    #expect(stops == (tf && !btf))
    #expect(fixture.contents(.guestPendingDebugExceptions).rawValue == (stops ? 1 << 14 : 0))
  }
}

@Suite("NMIs") struct NMITests {
  @Test("An NMI ends HLT unless it is blocked; so does an exception", arguments: Blocking.allCases)
  func halted(_ blocking: Blocking) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    fixture.set(.guestInterruptibilityState, blocking.state)
    var endsHLT = vcpu.endsHLT
    #expect(!endsHLT)
    vcpu.requestNMI()
    endsHLT = vcpu.endsHLT
    #expect(endsHLT == !blocking.byNMI)
    vcpu.raise(.generalProtection)
    endsHLT = vcpu.endsHLT
    #expect(endsHLT)
  }

  @Test("Two NMIs that wait while one is handled are one, which goes in after IRET")
  func latch() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    vcpu.requestNMI()
    _ = vcpu.prepareEvents(externalInterruptRequested: false)
    #expect(fixture.contents(.vmEntryInterruptionInformation) == Event.nmi.information)
    fixture.processor.script = [.cpuid]
    _ = vcpu.run(eptGeneration: 0)
    #expect(fixture.contents(.guestInterruptibilityState).blockingByNMI)
    var needed = vcpu.needsEventPreparation
    #expect(!needed)
    vcpu.requestNMI()
    vcpu.requestNMI()
    _ = vcpu.prepareEvents(externalInterruptRequested: false)
    needed = vcpu.needsEventPreparation
    #expect(needed && !fixture.contents(.vmEntryInterruptionInformation).valid)
    #expect(fixture.contents(.primaryProcessorBasedVMExecutionControls).contains(.nmiWindowExiting))
    fixture.set(.guestInterruptibilityState, GuestInterruptibilityState(rawValue: 0))
    _ = vcpu.prepareEvents(externalInterruptRequested: false)
    #expect(fixture.contents(.vmEntryInterruptionInformation) == Event.nmi.information)
    needed = vcpu.needsEventPreparation
    #expect(!needed)
  }

  @Test(
    "F5 an NMI whose delivery an exit interrupted is not blocked, any other event leaves blocking as it is",
    arguments: EventClass.allCases, [false, true])
  func interruptedDelivery(_ kind: EventClass, _ isBlocking: Bool) throws {
    for event in kind.events {
      for reason in [BasicExitReason.eptViolation, .exceptionOrNMI, .apicAccess] {
        let fixture = try VCPUFixture(.haswell, wanting: .all)
        var vcpu = fixture.makeVCPU().load()
        var exit = ScriptedExit(reason, instructionLength: event.instructionLength)
        exit.idtVectoringInformation = IDTVectoringInformation(rawValue: event.information.rawValue)
        exit.idtVectoringErrorCode = event.errorCode
        exit.interruptionInformation = VMExitInterruptionInformation(rawValue: 0x8000_0306)
        let state: UInt32 = kind == .nmi || isBlocking ? 8 : 0
        exit[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: state)
        fixture.processor.script = [exit]
        _ = vcpu.run(eptGeneration: 0)
        vcpu.keepInterruptedEvent()
        let blocks = fixture.contents(.guestInterruptibilityState).blockingByNMI
        #expect(blocks == (kind != .nmi && isBlocking))
        let kept = vcpu.state.events.interrupted
        #expect(kept?.information == event.information)
      }
    }
  }
}
