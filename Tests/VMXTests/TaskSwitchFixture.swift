import ProcessorModel
import Testing
import VMCS

@testable import VMX

/// A guest in protected mode with two tasks of 32 bits and two of 16, and a vCPU that exits for a task switch.
///
/// The GDT is at 1000H, the LDT at 2000H, the page tables from 8000H.
struct TaskSwitchFixture {
  enum Kind: CaseIterable { case bits32, bits16 }

  static let gdt: UInt64 = 0x1000
  static let ldt: UInt64 = 0x2000
  static let code: UInt16 = 0x08, data: UInt16 = 0x10, oldTask: UInt16 = 0x18, newTask: UInt16 = 0x20
  static let ldtSelector: UInt16 = 0x30, userCode: UInt16 = 0x3B, userData: UInt16 = 0x43
  /// Entries for what a test needs.
  static let spare: UInt16 = 0x48, gate: UInt16 = 0x50

  let fixture: VCPUFixture
  let memory = FlatMemory(byteCount: 0x1_0000)
  let oldKind: Kind, newKind: Kind
  var oldBase: UInt64 { 0x4000 }
  var newBase: UInt64 { 0x5000 }
  var exit: ScriptedExit

  init(from oldKind: Kind = .bits32, to newKind: Kind = .bits32, source: TaskSwitchSource) throws {
    fixture = try VCPUFixture()
    (self.oldKind, self.newKind) = (oldKind, newKind)
    let isReturn = source == .iretInstruction
    exit = ScriptedExit(
      .taskSwitch, qualification: UInt64(Self.newTask) | UInt64(source.rawValue) << 30, instructionLength: 7)
    exit[.guestCR0] = CR0(rawValue: 0x31)
    exit[.guestRIP] = 0x1_2345
    exit[.guestRSP] = 0x7654_3210
    exit[.guestRFLAGS] = RFLAGS(rawValue: isReturn ? 0x4246 : 0x246)
    exit[.guestDR7] = DR7(rawValue: 0x7FF)
    exit[.guestGDTRBase] = Self.gdt
    exit[.guestGDTRLimit] = 0x7F
    exit[.guestTRBase] = 0x4000
    exit[.guestTRLimit] = 0x67
    exit[.guestTRAccessRights] = SegmentAccessRights(rawValue: oldKind == .bits32 ? 0x8B : 0x83)
    exit[.guestTRSelector] = SegmentSelector(rawValue: Self.oldTask)
    exit[.guestCSSelector] = SegmentSelector(rawValue: Self.code)
    exit[.guestSSSelector] = SegmentSelector(rawValue: Self.data)
    for (segment, field) in [
      (VMCSField.guestESSelector, 0xE0), (.guestDSSelector, 0xD0), (.guestFSSelector, 0xF0), (.guestGSSelector, 0xA0),
    ] as [(VMCSField<SegmentSelector, ReadWrite>, UInt16)] {
      exit[segment] = SegmentSelector(rawValue: field)
    }
    exit.guest = { registers, _ in
      registers.rax = 0xA000_0000
      registers.rcx = 0xA000_0001
      registers.rdx = 0xA000_0002
      registers.rbx = 0xA000_0003
      registers.rbp = 0xA000_0005
      registers.rsi = 0xA000_0006
      registers.rdi = 0xA000_0007
    }
    describe(Self.code, base: 0, limit: 0xF_FFFF, rights: 0xC09A)
    describe(Self.data, base: 0, limit: 0xF_FFFF, rights: 0xC092)
    describe(Self.oldTask, base: 0x4000, limit: 0x67, rights: oldKind == .bits32 ? 0x8B : 0x83)
    let busy: UInt64 = isReturn ? 2 : 0
    describe(Self.newTask, base: 0x5000, limit: 0x67, rights: (newKind == .bits32 ? 0x89 : 0x81) | busy)
    describe(Self.ldtSelector, base: Self.ldt, limit: 0x1F, rights: 0x82)
    describe(Self.userCode, base: 0, limit: 0xF_FFFF, rights: 0xC0FA)
    describe(Self.userData, base: 0, limit: 0xF_FFFF, rights: 0xC0F2)
    setNewState()
  }

  /// Makes the entry of `selector` in its table.
  func describe(_ selector: UInt16, base: UInt64, limit: UInt64, rights: UInt64) {
    let table = selector & 4 == 0 ? Self.gdt : Self.ldt
    var entry: UInt64 = limit & 0xFFFF
    entry |= (base & 0xFF_FFFF) << 16
    entry |= (rights & 0xF0FF) << 40
    entry |= (limit >> 16 & 0xF) << 48
    entry |= (base >> 24) << 56
    _ = memory.store(entry, at: table + UInt64(selector & ~7))
  }

  /// The access rights of the entry of `selector`.
  func rights(_ selector: UInt16) -> UInt64 {
    (memory.load(Self.gdt + UInt64(selector & ~7), as: UInt64.self) ?? 0) >> 40 & 0xF0FF
  }

  /// A field of a TSS, by its place in the list IP, flags, eight registers, six selectors, LDT.
  func offset(_ field: Int, _ kind: Kind) -> UInt64 {
    switch kind {
    case .bits32: field == 16 ? 0x60 : 0x20 + 4 * UInt64(field)
    case .bits16: field == 14 ? 0x2A : 0x0E + 2 * UInt64(field)
    }
  }

  func set(_ field: Int, _ value: UInt32) {
    let address = newBase + offset(field, newKind)
    if newKind == .bits32 {
      _ = memory.store(value, at: address)
    } else {
      _ = memory.store(UInt16(truncatingIfNeeded: value), at: address)
    }
  }

  func old(_ field: Int) -> UInt32? {
    let address = oldBase + offset(field, oldKind)
    return oldKind == .bits32
      ? memory.load(address, as: UInt32.self) : memory.load(address, as: UInt16.self).map(UInt32.init)
  }

  /// Selectors of the new task: ES 10, CS 12, and so on by number.
  func setSelector(_ index: Int, _ selector: UInt16) { set(10 + index, UInt32(selector)) }
  func setLDT(_ selector: UInt16) { set(newKind == .bits32 ? 16 : 14, UInt32(selector)) }

  private func setNewState() {
    set(0, 0x9ABC)
    set(1, 0x0402)
    for index in 0..<8 { set(2 + index, 0xB000_5550 + UInt32(index)) }
    for (index, selector) in [Self.data, Self.code, Self.data, Self.data].enumerated() { setSelector(index, selector) }
    if newKind == .bits32 {
      setSelector(4, 0)
      setSelector(5, Self.data)
    }
    setLDT(Self.ldtSelector)
  }

  /// Switches tasks.
  func run() throws -> LoadedVCPU<ProcessorModel> {
    var vcpu = fixture.makeVCPU().load()
    _ = try switchTasks(&vcpu)
    return vcpu
  }

  /// Switches tasks; what the next entry needs.
  func preparation() throws -> EntryPreparation {
    var vcpu = fixture.makeVCPU().load()
    return try switchTasks(&vcpu)
  }

  private func switchTasks(_ vcpu: inout LoadedVCPU<ProcessorModel>) throws -> EntryPreparation {
    fixture.processor.script = [exit]
    guard case .taskSwitch(let access) = vcpu.run(eptGeneration: 0) else { throw NoTaskSwitch() }
    try vcpu.emulateTaskSwitch(access, memory: memory, physicalAddressWidth: 46)
    return vcpu.prepareEvents(externalInterruptRequested: false)
  }

  private struct NoTaskSwitch: Error {}

  /// The event that goes in, as VM-entry interruption information and error code.
  var event: (information: UInt32, errorCode: UInt32) {
    let information = fixture.contents(.vmEntryInterruptionInformation)
    return (information.rawValue, information.deliverErrorCode ? fixture.contents(.vmEntryExceptionErrorCode) : 0)
  }
}
