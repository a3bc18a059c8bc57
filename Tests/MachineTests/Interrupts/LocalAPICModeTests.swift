import Machine
import Testing
import VMX

private let modes: [LocalAPICMode] = [.disabled, .xAPIC, .x2APIC]

@Suite struct LocalAPICModeTests {
  /// Whether WRMSR may go from one mode to another, by the figure of the SDM's "x2APIC State Transitions".
  private static let transitions: [(from: LocalAPICMode, to: UInt64, isLegal: Bool)] = [
    (.disabled, 0b00, true), (.disabled, 0b01, false), (.disabled, 0b10, true), (.disabled, 0b11, false),
    (.xAPIC, 0b00, true), (.xAPIC, 0b01, false), (.xAPIC, 0b10, true), (.xAPIC, 0b11, true),
    (.x2APIC, 0b00, true), (.x2APIC, 0b01, false), (.x2APIC, 0b10, false), (.x2APIC, 0b11, true),
  ]

  private func inMode(
    _ mode: LocalAPICMode, id: UInt32 = 0, _ body: (inout LocalAPIC, UnsafeMutableRawPointer) -> Void
  ) {
    withLocalAPIC(id: id) { apic, page in
      if mode != .xAPIC { #expect(apic.writeMSR(0x1B, apicBase(mode), at: 0) == .baseChanged) }
      #expect(apic.mode == mode)
      body(&apic, page)
    }
  }

  @Test(arguments: transitions)
  func `every transition of IA32_APIC_BASE`(from: LocalAPICMode, to: UInt64, isLegal: Bool) {
    inMode(from) { apic, _ in
      let old = apic.base
      let new = 0xFEE0_0100 | to << 10
      let effect = apic.writeMSR(0x1B, new, at: 0)
      #expect(effect == (isLegal ? (new == old ? .none : .baseChanged) : .generalProtection))
      #expect(apic.readMSR(0x1B, at: 0) == (isLegal ? new : old))
      #expect(apicBase(apic.mode) == apic.base)
    }
  }

  @Test(arguments: transitions)
  func `without x2APIC mode, EXTD is reserved`(from: LocalAPICMode, to: UInt64, isLegal: Bool) {
    if from == .x2APIC { return }
    withLocalAPIC(hasX2APICMode: false) { apic, _ in
      if from == .disabled { #expect(apic.writeMSR(0x1B, apicBase(from), at: 0) == .baseChanged) }
      let old = apic.base
      let new = 0xFEE0_0100 | to << 10
      let isLegal = isLegal && to & 1 == 0
      #expect(apic.writeMSR(0x1B, new, at: 0) == (isLegal ? (new == old ? .none : .baseChanged) : .generalProtection))
      #expect(apic.base == (isLegal ? new : old))
    }
  }

  @Test(arguments: modes)
  func `reserved bits of IA32_APIC_BASE`(mode: LocalAPICMode) {
    for bit in UInt64(0)..<64 where bit != 10 && bit != 11 {
      inMode(mode) { apic, _ in
        let isReserved = bit < 8 || bit == 9 || bit >= 39
        let effect = apic.writeMSR(0x1B, apic.base ^ 1 << bit, at: 0)
        #expect(effect == (isReserved ? .generalProtection : .baseChanged), "bit \(bit)")
        #expect(apic.base == apicBase(mode) ^ (isReserved ? 0 : 1 << bit))
      }
    }
  }

  @Test func `the registers move with the base, and leave memory in the other modes`() {
    inMode(.xAPIC) { apic, _ in
      #expect(apic.registersAddress == 0xFEE0_0000)
      #expect(apic.writeMSR(0x1B, 0x12_3456_7100, at: 0) == .baseChanged)
      #expect(apic.registersAddress == nil)
      #expect(apic.writeMSR(0x1B, 0x12_3456_7100 | 1 << 11, at: 0) == .baseChanged)
      #expect(apic.registersAddress == 0x12_3456_7000)
      #expect(apic.writeMSR(0x1B, 0x12_3456_7100 | 3 << 10, at: 0) == .baseChanged)
      #expect(apic.registersAddress == nil)
    }
  }

  /// SDM, "Local APIC State After Power-Up or Reset"; what is not named is 0.
  private static let afterReset: [Int: UInt32] = [
    0x030: 0x0105_0014, 0x0E0: 0xFFFF_FFFF, 0x0F0: 0xFF, 0x320: 0x10000, 0x330: 0x10000, 0x340: 0x10000,
    0x350: 0x10000, 0x360: 0x10000, 0x370: 0x10000,
  ]

  /// Leaves nothing as it was.
  private func disturb(_ apic: inout LocalAPIC) {
    apic.enable(in: apic.mode == .x2APIC ? .xAPIC : apic.mode)
    for vector in UInt8(16)...255 { apic.accept(vector: vector, isLevelTriggered: vector % 2 == 0) }
    for _ in 0..<8 { _ = apic.acknowledge() }
    apic.accept(vector: 3, isLevelTriggered: false)
    let offsets = [0x080, 0x0D0, 0x0E0, 0x280, 0x300, 0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x3E0]
    for offset in offsets { apic.writeRegister(offset, offset == 0x300 ? 0x8_4043 : offset == 0x380 ? 0x4321 : 0x21) }
    apic.accept(vector: 3, isLevelTriggered: false)
  }

  @Test func `disabling forgets all registers`() {
    inMode(.xAPIC, id: 5) { apic, _ in
      disturb(&apic)
      #expect(apic.writeMSR(0x1B, apicBase(.disabled), at: 0) == .baseChanged)
      #expect(apic.hasDeliverableInterrupt == false)
      #expect(apic.nextDeadline == .max)
      #expect(apic.acceptsExtINT == true)
      apic.accept(vector: 0x40, isLevelTriggered: false)
      #expect(apic.writeMSR(0x1B, apicBase(.xAPIC), at: 0) == .baseChanged)
      expectReset(&apic)
    }
  }

  @Test(arguments: [LocalAPICMode.xAPIC, .x2APIC])
  func `INIT resets all registers but the mode and the ID`(mode: LocalAPICMode) {
    inMode(mode, id: 5) { apic, page in
      disturb(&apic)
      let base = apic.base
      apic.initialize()
      #expect(apic.base == base)
      if mode == .xAPIC { return expectReset(&apic) }
      for index in 0..<64 where ![0x02, 0x0D].contains(index) {
        #expect(page.load(fromByteOffset: index * 16, as: UInt32.self) == Self.afterReset[index * 16] ?? 0)
      }
      #expect(apic.readMSR(0x802, at: 0) == 5)
      #expect(apic.readMSR(0x80D, at: 0) == 0x20)
      #expect(apic.readMSR(0x830, at: 0) == 0)
      #expect(apic.nextDeadline == .max)
    }
  }

  private func expectReset(_ apic: inout LocalAPIC) {
    #expect(apic.isSoftwareEnabled == false)
    #expect(apic.hasDeliverableInterrupt == false)
    #expect(apic.acceptsExtINT == false)
    #expect(apic.nextDeadline == .max)
    for offset in stride(from: 0, to: 0x400, by: 16) {
      let expected = offset == 0x020 ? 5 << 24 : Self.afterReset[offset] ?? 0
      #expect(apic.read(offset: offset, at: 1 << 40) == expected, "offset \(offset)")
    }
  }

  @Test(arguments: [0, 1, 7, 15, 16, 0x37, 0xFE, 0x1234_5678] as [UInt32])
  func `in x2APIC mode LDR follows from the ID`(id: UInt32) {
    inMode(.x2APIC, id: id) { apic, _ in
      #expect(apic.readMSR(0x802, at: 0) == UInt64(id))
      #expect(apic.readMSR(0x80D, at: 0) == UInt64((id / 16) << 16) | 1 << UInt64(id % 16))
      #expect(apic.identity.id == id)
      #expect(apic.identity.mode == .x2APIC)
    }
  }

  @Test func `going to x2APIC mode keeps what is pending`() {
    inMode(.xAPIC) { apic, _ in
      apic.enable()
      apic.accept(vector: 0x45, isLevelTriggered: false)
      apic.writeRegister(LocalAPICRegister.interruptCommandHigh, 0x3 << 24)
      #expect(apic.writeMSR(0x1B, apicBase(.x2APIC), at: 0) == .baseChanged)
      #expect(apic.readMSR(0x830, at: 0) == 0)
      #expect(apic.isSoftwareEnabled == true)
      #expect(apic.acknowledge() == 0x45)
    }
  }
}
