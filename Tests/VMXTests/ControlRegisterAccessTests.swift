import ProcessorModel
import Testing
import VMCS

@testable import VMX

/// A MOV to CR0 that exits, from which state, and what it does.
struct CR0Case: Sendable, CustomTestStringConvertible {
  /// What is left of the guest: nil is #GP(0).
  struct Result: Sendable {
    var cr0: UInt64
    var efer: UInt64
    /// Whether linear translations are dropped.
    var flushes = false
    /// Whether the PDPTEs are loaded.
    var loadsPDPTEs = false
  }

  var testDescription: String
  var old: UInt64
  var written: UInt64
  var efer: UInt64 = 0
  var cr4: UInt64 = 0
  var csAccessRights: UInt32 = 0xC09B
  var trAccessRights: UInt32 = 0x8B
  var result: Result?

  init(
    _ name: String, old: UInt64, written: UInt64, efer: UInt64 = 0, cr4: UInt64 = 0, cs: UInt32 = 0xC09B,
    tr: UInt32 = 0x8B, _ result: Result?
  ) {
    testDescription = name
    (self.old, self.written, self.efer, self.cr4, self.result) = (old, written, efer, cr4, result)
    (csAccessRights, trAccessRights) = (cs, tr)
  }

  private static let pae: UInt64 = 0x20
  private static let pcide: UInt64 = 1 << 17
  private static let cet: UInt64 = 1 << 23
  private static let code64: UInt32 = 0xA09B

  static let all: [Self] = [
    .init("NE on", old: 0x10, written: 0x31, .init(cr0: 0x31, efer: 0, flushes: true)),
    .init("NE off", old: 0x31, written: 0x11, .init(cr0: 0x11, efer: 0)),
    .init("nothing changes", old: 0x31, written: 0x31, .init(cr0: 0x31, efer: 0)),
    .init("ET is always 1", old: 0x31, written: 0x01, .init(cr0: 0x11, efer: 0)),
    .init("reserved bits of the lower half", old: 0x31, written: 0x1FFA_FFF1, .init(cr0: 0x31, efer: 0)),
    .init("CD and NW on", old: 0x31, written: 0x6000_0031, .init(cr0: 0x6000_0031, efer: 0)),
    .init("CD on", old: 0x31, written: 0x4000_0031, .init(cr0: 0x4000_0031, efer: 0)),
    .init("NW without CD", old: 0x31, written: 0x2000_0031, nil),
    .init("PG without PE", old: 0x10, written: 0x8000_0030, nil),
    .init("PG and PE, 32-bit paging", old: 0x10, written: 0x8000_0031, .init(cr0: 0x8000_0031, efer: 0, flushes: true)),
    .init(
      "PG, PAE paging", old: 0x11, written: 0x8000_0031, cr4: pae,
      .init(cr0: 0x8000_0031, efer: 0, flushes: true, loadsPDPTEs: true)),
    .init(
      "CD with PAE paging", old: 0x8000_0031, written: 0xC000_0031, cr4: pae,
      .init(cr0: 0xC000_0031, efer: 0, loadsPDPTEs: true)),
    .init(
      "CD and NW off with PAE paging", old: 0xE000_0031, written: 0x8000_0031, cr4: pae,
      .init(cr0: 0x8000_0031, efer: 0, loadsPDPTEs: true)),
    .init(
      "WP with PAE paging", old: 0x8000_0011, written: 0x8001_0031, cr4: pae,
      .init(cr0: 0x8001_0031, efer: 0, flushes: true)),
    .init(
      "PG with LME: IA-32e mode", old: 0x11, written: 0x8000_0031, efer: 0x100, cr4: pae,
      .init(cr0: 0x8000_0031, efer: 0x500, flushes: true)),
    .init("PG with LME but without PAE", old: 0x11, written: 0x8000_0031, efer: 0x100, nil),
    .init("PG with LME and CS.L", old: 0x11, written: 0x8000_0031, efer: 0x100, cr4: pae, cs: code64, nil),
    .init("PG with LME and a 16-bit TSS", old: 0x11, written: 0x8000_0031, efer: 0x100, cr4: pae, tr: 0x83, nil),
    .init(
      "PG off in compatibility mode: LMA off", old: 0x8000_0031, written: 0x11, efer: 0xD00, cr4: pae,
      .init(cr0: 0x11, efer: 0x900, flushes: true)),
    .init("PG off in 64-bit mode", old: 0x8000_0031, written: 0x11, efer: 0xD00, cr4: pae, cs: code64, nil),
    .init("PG off with PCIDs", old: 0x8000_0031, written: 0x11, efer: 0xD00, cr4: pae | pcide, nil),
    .init(
      "CD in 64-bit mode", old: 0x8005_0033, written: 0xC005_0033, efer: 0xD00, cr4: pae, cs: code64,
      .init(cr0: 0xC005_0033, efer: 0xD00)),
    .init(
      "CD off in 64-bit mode", old: 0xC005_0033, written: 0x8005_0033, efer: 0xD01, cr4: pae | pcide, cs: code64,
      .init(cr0: 0x8005_0033, efer: 0xD01)),
    .init(
      "an upper half in 64-bit mode", old: 0x8005_0033, written: 0x1_8005_0033, efer: 0xD00, cr4: pae, cs: code64, nil),
    .init(
      "an upper half outside 64-bit mode is not there", old: 0x31, written: 0xFFFF_FFFF_0000_0031,
      .init(cr0: 0x31, efer: 0)),
    .init("WP off with CET", old: 0x8001_0033, written: 0xC000_0033, efer: 0xD00, cr4: pae | cet, cs: code64, nil),
  ]
}

/// A guest that has just exited, and where it is.
private struct LoadedGuest: ~Copyable {
  let fixture: VCPUFixture
  var vcpu: LoadedVCPU<ProcessorModel>

  /// Whether #GP(0) has been raised, with RFLAGS.RF for the handler, and nothing else has happened.
  mutating func isGeneralProtection() -> Bool {
    let writes = fixture.processor.trace.vmwrites
    guard writes.map(\.field) == [VMCSField.guestRFLAGS.encoding], fixture.contents(.guestRFLAGS).rf,
      vcpu.needsEventPreparation
    else { return false }
    _ = vcpu.prepareEvents(externalInterruptRequested: false)
    let isProtected = fixture.contents(.guestCR0).pe
    return fixture.contents(.vmEntryInterruptionInformation).rawValue == (isProtected ? 0x8000_0B0D : 0x8000_030D)
  }
}

@Suite("Control-register accesses") struct ControlRegisterAccessTests {
  private static let cr3: UInt64 = 0x12_3460
  private static let pdptes: [UInt64] = [0x5001, 0, 0x7000_0001, 0x0000_0003_FFFF_F019]
  private static let memory = Quadwords(
    values: Dictionary(uniqueKeysWithValues: pdptes.enumerated().map { (cr3 + UInt64(8 * $0.offset), $0.element) }))

  /// A MOV to or from control register `number`, by general-purpose register `register`.
  private func access(_ number: UInt64, register: UInt64 = 0, isRead: Bool = false)
    -> ControlRegisterAccessQualification
  {
    ControlRegisterAccessQualification(rawValue: number | (isRead ? 1 << 4 : 0) | register << 8)
  }

  /// A guest that has just executed a MOV to a control register, three bytes long.
  private func guest(_ row: CR0Case) throws -> LoadedGuest {
    let fixture = try VCPUFixture(.everything)
    var vcpu = fixture.makeLoadedVCPU(after: ScriptedExit(.controlRegisterAccess, instructionLength: 3))
    try vcpu.setRegister(.cr4, to: row.cr4)
    try vcpu.setRegister(.cr0, to: row.old)
    try vcpu.setRegister(.efer, to: row.efer)
    try vcpu.setRegister(.cr3, to: Self.cr3 | 0x1F)
    // CET too, which Skep's CPUID does not show yet.
    fixture.set(.guestCR4, CR4(rawValue: row.cr4 | 0x2000))
    fixture.set(.guestCSAccessRights, SegmentAccessRights(rawValue: row.csAccessRights))
    fixture.set(.guestTRAccessRights, SegmentAccessRights(rawValue: row.trAccessRights))
    fixture.processor.script = [.cpuid]
    _ = vcpu.run(eptGeneration: 1)
    fixture.processor.clearTrace()
    return LoadedGuest(fixture: fixture, vcpu: vcpu)
  }

  @Test("F3 MOV to CR0 does what the SDM says", arguments: CR0Case.all)
  func cr0(_ row: CR0Case) throws {
    var guest = try self.guest(row)
    try guest.vcpu.setRegister(.rbx, to: row.written)
    let rip = guest.vcpu.register(.rip)
    guest.vcpu.emulate(access(0, register: 3), memory: Self.memory, physicalAddressWidth: 46)
    guard let result = row.result else {
      let isRaised = guest.isGeneralProtection()
      let newRIP = guest.vcpu.register(.rip)
      #expect(isRaised && newRIP == rip)
      return
    }
    let (cr0, efer, newRIP) = (guest.vcpu.register(.cr0), guest.vcpu.register(.efer), guest.vcpu.register(.rip))
    #expect(cr0 == result.cr0 && efer == result.efer && newRIP == rip + 2)
    #expect(guest.fixture.contents(.vmEntryControls).contains(.ia32eModeGuest) == (result.efer & 0x400 != 0))
    #expect(
      guest.fixture.contents(.guestCR0).ne && !guest.fixture.contents(.guestCR0).cd
        && !guest.fixture.contents(.guestCR0).nw)
    let flushes = guest.vcpu.state.needsVPIDFlush
    #expect(flushes == result.flushes)
    let loaded = [
      guest.fixture.contents(.guestPDPTE0), guest.fixture.contents(.guestPDPTE1), guest.fixture.contents(.guestPDPTE2),
      guest.fixture.contents(.guestPDPTE3),
    ]
    #expect(loaded == (result.loadsPDPTEs ? Self.pdptes : [0, 0, 0, 0]))
  }

  @Test(
    "F3 a PDPTE with a reserved bit, or without memory, makes MOV to CR0 #GP(0)", arguments: 0..<4,
    0..<64 as Range<UInt64>)
  func reservedInPDPTE(index: Int, bit: UInt64) throws {
    var guest = try self.guest(CR0Case("", old: 0x8000_0031, written: 0, cr4: 0x20, nil))
    try guest.vcpu.setRegister(.rax, to: 0xC000_0031)
    var memory = Self.memory
    let address = Self.cr3 + UInt64(8 * index)
    let isReserved = bit == 1 || bit == 2 || (5...8).contains(bit) || bit >= 46
    memory.values[address] = 1 | 1 << bit
    guest.fixture.processor.clearTrace()
    guest.vcpu.emulate(access(0), memory: memory, physicalAddressWidth: 46)
    let isRaised = guest.isGeneralProtection()
    #expect(isRaised == isReserved)
    if !isReserved { #expect(guest.fixture.entryFailures() == []) }
    // An entry that is not present is not looked at.
    if bit != 0 {
      guest = try self.guest(CR0Case("", old: 0x8000_0031, written: 0, cr4: 0x20, nil))
      try guest.vcpu.setRegister(.rax, to: 0xC000_0031)
      memory.values[address] = 1 << bit
      guest.vcpu.emulate(access(0), memory: memory, physicalAddressWidth: 46)
      let cr0 = guest.vcpu.register(.cr0)
      #expect(cr0 == 0xC000_0031)
    }
  }

  @Test("F3 PDPTEs that are not in memory make MOV to CR0 #GP(0)", arguments: 0..<4)
  func missingPDPTE(index: Int) throws {
    var guest = try self.guest(CR0Case("", old: 0x8000_0031, written: 0, cr4: 0x20, nil))
    try guest.vcpu.setRegister(.rax, to: 0xC000_0031)
    guest.fixture.processor.clearTrace()
    var memory = Self.memory
    memory.values[Self.cr3 + UInt64(8 * index)] = nil
    guest.vcpu.emulate(access(0), memory: memory, physicalAddressWidth: 46)
    let isRaised = guest.isGeneralProtection()
    #expect(isRaised)
  }

  @Test(
    "F3 MOV to CR4 of a bit that the guest's processor does not have is #GP(0)", arguments: 0..<64 as Range<UInt64>)
  func cr4(bit: UInt64) throws {
    var guest = try self.guest(CR0Case("", old: 0x8000_0031, written: 0, efer: 0x500, cr4: 0x20, cs: 0xA09B, nil))
    try guest.vcpu.setRegister(.rax, to: 0x20 | 1 << bit)
    guest.fixture.processor.clearTrace()
    guest.vcpu.emulate(access(4), memory: Self.memory, physicalAddressWidth: 46)
    // LA57 cannot change in IA-32e mode, CR3's low bits are not 0 for PCIDE, and CR0.WP is 0 for CET.
    let isIllegal = guest.fixture.settings.cr4.fixed >> bit & 1 == 1 || [12, 17, 23].contains(bit)
    let isRaised = guest.isGeneralProtection()
    let cr4 = guest.vcpu.register(.cr4)
    #expect(isRaised == isIllegal)
    #expect(cr4 == (isIllegal ? 0x20 : 0x20 | 1 << bit))
    if bit == 13 || bit == 14 { #expect(isIllegal, "VMXE and SMXE are not for guests") }
  }

  /// MOV to CR4 that changes OSXSAVE, which exits, together with other bits; nil where it is #GP(0).
  static let cr4Rows: [(efer: UInt64, cr0: UInt64, old: UInt64, new: UInt64, loadsPDPTEs: Bool?)] = [
    (0x500, 0x8001_0033, 0x20, 0x4_0020, false),
    (0x500, 0x8001_0033, 0x4_0020, 0x20, false),
    (0x500, 0x8001_0033, 0x20, 0x4_0000, nil),
    (0x500, 0x8001_0033, 0x20, 0x4_1020, nil),
    (0x500, 0x8001_0033, 0x20, 0x6_0020, nil),
    (0, 0x8001_0033, 0x20, 0x6_0020, nil),
    (0, 0x8001_0033, 0x20, 0x4_0020, false),
    (0, 0x8001_0033, 0x20, 0x4_00A0, true),
    (0, 0x8001_0033, 0, 0x4_0020, true),
    (0, 0x8001_0033, 0, 0x4_0010, false),
    (0, 0x33, 0, 0x4_0020, false),
  ]

  @Test("F3 MOV to CR4 of a watched bit does what the SDM says, and CPUID knows", arguments: cr4Rows.indices)
  func watched(_ index: Int) throws {
    let row = Self.cr4Rows[index]
    let code: UInt32 = row.efer == 0 ? 0xC09B : 0xA09B
    var guest = try self.guest(
      CR0Case("", old: row.cr0, written: 0, efer: row.efer, cr4: row.old, cs: code, nil))
    try guest.vcpu.setRegister(.rax, to: row.new)
    guest.fixture.processor.script = [.cpuid]
    _ = guest.vcpu.run(eptGeneration: 1)
    guest.fixture.processor.clearTrace()
    let rip = guest.vcpu.register(.rip)
    guest.vcpu.emulate(access(4), memory: Self.memory, physicalAddressWidth: 46)
    let isRaised = guest.isGeneralProtection()
    #expect(isRaised == (row.loadsPDPTEs == nil))
    let (cr4, osxsave, newRIP) = (
      guest.vcpu.register(.cr4), guest.vcpu.watchedCR4.osxsave, guest.vcpu.register(.rip)
    )
    let expected = row.loadsPDPTEs == nil ? row.old : row.new
    #expect(cr4 == expected && osxsave == (expected >> 18 & 1 == 1))
    #expect(newRIP == (row.loadsPDPTEs == nil ? rip : rip + 2))
    let flushes = guest.vcpu.state.needsVPIDFlush
    #expect(flushes == (row.loadsPDPTEs != nil && (row.new ^ row.old) & ~0x4_0000 != 0))
    #expect(guest.fixture.contents(.guestPDPTE0) == (row.loadsPDPTEs == true ? Self.pdptes[0] : 0))
  }

  @Test("F3 MOV to and from CR8 by every register", arguments: 0..<16 as Range<UInt64>)
  func cr8(register: UInt64) throws {
    for value in [0, 1, 15, 16, 0x100, 1 << 63] as [UInt64] {
      var guest = try self.guest(
        CR0Case("", old: 0x8000_0031, written: 0, efer: 0x500, cr4: 0x20, cs: 0xA09B, nil))
      let name = try #require(GuestRegister(rawValue: Int32(register)))
      try guest.vcpu.setRegister(name, to: value)
      guest.fixture.processor.clearTrace()
      guest.vcpu.emulate(access(8, register: register), memory: Self.memory, physicalAddressWidth: 46)
      if value > 15 {
        let isRaised = guest.isGeneralProtection()
        #expect(isRaised)
        continue
      }
      try guest.vcpu.setRegister(name, to: ~0)
      guest.vcpu.emulate(access(8, register: register, isRead: true), memory: Self.memory, physicalAddressWidth: 46)
      let read = guest.vcpu.register(name)
      #expect(read == value)
    }
  }

  @Test("F3 CLTS clears TS; LMSW sets bits 3:0, and does not clear PE", arguments: 0..<16 as Range<UInt64>)
  func machineStatusWord(_ bits: UInt64) throws {
    for source in 0..<16 as Range<UInt64> {
      let old = 0x30 | bits
      var guest = try self.guest(CR0Case("", old: old, written: 0, efer: 0, cr4: 0, cs: 0x9B, nil))
      guest.vcpu.emulate(.init(rawValue: 0x30 | source << 16), memory: Self.memory, physicalAddressWidth: 46)
      var cr0 = guest.vcpu.register(.cr0)
      #expect(cr0 == (old & ~0xE | source | old & 1))
      guest.vcpu.emulate(.init(rawValue: 0x20), memory: Self.memory, physicalAddressWidth: 46)
      cr0 = guest.vcpu.register(.cr0)
      #expect(cr0 & 8 == 0)
    }
  }

  @Test("F3 an access that the masks cannot make exit is #GP(0), not a stop")
  func everyQualification() throws {
    let fixture = try VCPUFixture()
    let known: Set<UInt64> = [0x00, 0x04, 0x08, 0x18, 0x20, 0x30]
    for qualification in 0..<0x80 as Range<UInt64> where !known.contains(qualification & 0x3F) {
      var guest = LoadedGuest(fixture: fixture, vcpu: fixture.makeLoadedVCPU())
      guest.vcpu.emulate(
        ControlRegisterAccessQualification(rawValue: qualification), memory: Self.memory, physicalAddressWidth: 46)
      let isRaised = guest.isGeneralProtection()
      #expect(isRaised, "\(qualification)")
      fixture.set(.vmEntryInterruptionInformation, VMEntryInterruptionInformation(rawValue: 0))
    }
  }
}

@Suite("CR0 and CR4 masks") struct ControlRegisterMaskTests {
  @Test("D2 what the guest has written is what it reads, and what VMX operation fixes is in the processor")
  func properties() {
    var numbers = SeededNumbers(state: 2)
    for _ in 0..<2000 {
      let (fixed0, supported, value) = (numbers.word(), numbers.word(), numbers.word())
      let fixed1 = numbers.word() | fixed0
      let allowed = AllowedSettings(allowed0: fixed0, allowed1: fixed1)
      for masks in [ControlRegisterMasks.cr4(allowed, supported: supported), .cr0(allowed)] {
        let live = masks.live(value)
        #expect(masks.visible(live: live, shadow: value) == value)
        #expect(live & ~masks.owned == value & ~masks.owned)
        #expect(live & ~fixed1 == 0)
      }
      let cr4 = ControlRegisterMasks.cr4(allowed, supported: supported)
      #expect(cr4.live(value) & fixed0 == fixed0)
      #expect(~cr4.owned & ~supported == 0)
      let unfixed: UInt64 = 0x8000_0001
      #expect(ControlRegisterMasks.cr0(allowed).live(value) & fixed0 & 0x1_003E & ~unfixed == fixed0 & 0x1_003E)
    }
  }
}
