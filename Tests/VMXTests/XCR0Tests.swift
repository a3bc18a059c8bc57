import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite("XSETBV") struct XCR0Tests {
  /// SDM, "XSETBV—Set Extended Control Register", and "XSAVE-Enabled Features and Bitmaps": each rule by itself.
  private func isLegal(_ value: UInt64, supported: UInt64) -> Bool {
    func has(_ bit: UInt64) -> Bool { value >> bit & 1 == 1 }
    if value & ~supported != 0 { return false }
    if !has(0) { return false }
    if has(2) && !has(1) { return false }
    if has(3) != has(4) { return false }
    if has(5) != has(6) || has(6) != has(7) { return false }
    if has(5) && !has(2) { return false }
    if has(17) != has(18) { return false }
    return true
  }

  @Test(
    "F9 every combination of state components, on processors that have more or fewer",
    arguments: [1, 3, 7, 0x1F, 0xE7, 0xFF, 0x6_00E7, 0x6_00FF] as [UInt64])
  func matrix(_ supported: UInt64) {
    let policy = XCR0Policy(supported: supported)
    for low in 0..<0x400 as Range<UInt64> {
      for high in 0..<16 as Range<UInt64> {
        let value = low | high << 16
        #expect(policy.allows(index: 0, value: value) == isLegal(value, supported: supported), "\(value)")
      }
    }
    for bit in 0..<64 as Range<UInt64> where supported >> bit & 1 == 0 {
      #expect(!policy.allows(index: 0, value: supported | 1 << bit), "bit \(bit)")
    }
    for index in [1, 2, 0x8000_0000, ~0] as [UInt32] { #expect(!policy.allows(index: index, value: 1)) }
  }

  @Test(
    "F9 a legal XSETBV reaches the processor; an illegal one is #GP(0) and changes nothing",
    arguments: [
      (0, 7, 0, true), (0, 3, 0, true), (0, 1, 0, true), (0, 5, 0, false), (0, 0, 0, false), (1, 7, 0, false),
      (0, 7, 1, false),
    ] as [(UInt64, UInt64, UInt64, Bool)])
  func emulation(index: UInt64, low: UInt64, high: UInt64, isLegal: Bool) throws {
    let fixture = try VCPUFixture()
    var exit = ScriptedExit(.xsetbv, instructionLength: 3)
    exit.guest = { registers, _ in
      // Only the lower halves count.
      registers.rcx = index | 0xFFFF_FFFF_0000_0000
      registers.rax = low | 0xAAAA_AAAA_0000_0000
      registers.rdx = high | 0x5555_5555_0000_0000
    }
    var vcpu = fixture.makeLoadedVCPU(after: exit)
    try vcpu.setRegister(.cr0, to: 0x31)
    vcpu.emulateXSETBV(XCR0Policy(supported: 7))
    let rip = vcpu.register(.rip)
    _ = vcpu.prepareEvents(externalInterruptRequested: false)
    let event = fixture.contents(.vmEntryInterruptionInformation).rawValue
    #expect(rip == (isLegal ? 0xFFF3 : 0xFFF0))
    #expect(event == (isLegal ? 0 : 0x8000_0B0D))
    #expect(fixture.processor.xcr0 == (isLegal ? low : 1))
    let xcr0 = vcpu.xcr0
    #expect(xcr0 == (isLegal ? low : 1))
  }
}
