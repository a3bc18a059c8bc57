import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite("The end of an emulated instruction") struct AdvanceTests {
  /// RIP, the instruction's length, whether the guest is in 64-bit mode, and RIP afterwards.
  struct Row: Sendable {
    var rip: UInt64
    var length: UInt32
    var is64Bit: Bool
    var expected: UInt64
  }

  @Test(
    "RIP moves past the instruction, and wraps at 4 GiB outside 64-bit mode only",
    arguments: [
      Row(rip: 0x1000, length: 2, is64Bit: true, expected: 0x1002),
      Row(rip: 0x1000, length: 15, is64Bit: false, expected: 0x100F),
      Row(rip: 0xFFFF_FFFE, length: 2, is64Bit: false, expected: 0),
      Row(rip: 0xFFFF_FFFF, length: 2, is64Bit: false, expected: 1),
      Row(rip: 0xFFFF_FFFE, length: 2, is64Bit: true, expected: 0x1_0000_0000),
      Row(rip: 0xFFFF_FFFF_FFFF_FFFE, length: 2, is64Bit: true, expected: 0),
      Row(rip: 0xFFFF_8000_FFFF_FFFF, length: 1, is64Bit: true, expected: 0xFFFF_8001_0000_0000),
      Row(rip: 0xFFFE, length: 2, is64Bit: false, expected: 0x1_0000),
    ])
  func rip(_ row: Row) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    var exit = ScriptedExit(.cpuid, instructionLength: row.length)
    if row.is64Bit {
      exit[.guestIA32EFER] = IA32EFER(rawValue: 0x500)
      exit[.guestCSAccessRights] = SegmentAccessRights(rawValue: 0xA09B)
    }
    exit[.guestRIP] = row.rip
    fixture.processor.script = [exit]
    _ = vcpu.run(eptGeneration: 0)
    vcpu.advance()
    let rip = vcpu.register(.rip)
    #expect(rip == row.expected)
  }

  @Test("Compatibility mode wraps at 4 GiB too")
  func compatibilityMode() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    var exit = ScriptedExit(.cpuid, instructionLength: 2)
    exit[.guestIA32EFER] = IA32EFER(rawValue: 0x500)
    exit[.guestCSAccessRights] = SegmentAccessRights(rawValue: 0xC09B)
    exit[.guestRIP] = 0xFFFF_FFFE
    fixture.processor.script = [exit]
    _ = vcpu.run(eptGeneration: 0)
    vcpu.advance()
    #expect(fixture.contents(.guestRIP) == 0)
  }

  @Test(
    "D6 the shadow of STI and of MOV SS ends with the instruction, and nothing else does",
    arguments: 0..<32 as Range<UInt32>)
  func shadow(_ state: UInt32) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    fixture.set(.guestInterruptibilityState, GuestInterruptibilityState(rawValue: state))
    vcpu.advance()
    #expect(fixture.contents(.guestInterruptibilityState).rawValue == state & ~3)
  }
}
