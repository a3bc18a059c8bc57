import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite("Task switches") struct TaskSwitchTests {
  typealias Fixture = TaskSwitchFixture
  static let sources: [TaskSwitchSource] = [.callInstruction, .iretInstruction, .jmpInstruction, .taskGateInIDT]

  /// What goes in with the next entry.
  private func expectEvent(
    _ task: Fixture, _ information: UInt32, _ errorCode: UInt32 = 0, at place: SourceLocation = #_sourceLocation
  ) {
    let event = task.event
    #expect(event.information == information, sourceLocation: place)
    #expect(event.errorCode == errorCode, sourceLocation: place)
  }

  static let kinds: [(Fixture.Kind, Fixture.Kind)] = [
    (.bits32, .bits32), (.bits32, .bits16), (.bits16, .bits32), (.bits16, .bits16),
  ]

  @Test(
    "F3 the old task is saved, the new one loaded, with busy bits, NT and the back link by the source",
    arguments: sources, kinds)
  func switches(_ source: TaskSwitchSource, _ kinds: (Fixture.Kind, Fixture.Kind)) throws {
    let task = try Fixture(from: kinds.0, to: kinds.1, source: source)
    var vcpu = try task.run()
    let isNested = source == .callInstruction || source == .taskGateInIDT
    let mask: UInt32 = kinds.0 == .bits32 ? ~0 : 0xFFFF
    expectEvent(task, 0)
    #expect(task.fixture.entryFailures() == [])

    // Without an event, a task gate is left before the instruction.
    let ip: UInt32 = source == .taskGateInIDT ? 0x1_2345 : 0x1_234C
    #expect(task.old(0) == ip & mask)
    #expect(task.old(1) == 0x246)
    for index in 0..<8 {
      let value: UInt32 = index == 4 ? 0x7654_3210 : 0xA000_0000 + UInt32(index)
      #expect(task.old(2 + index) == value & mask)
    }
    let selectors: [UInt32] = [0xE0, 0x08, 0x10, 0xD0, 0xF0, 0xA0]
    for index in 0..<(kinds.0 == .bits32 ? 6 : 4) { #expect(task.old(10 + index) == selectors[index]) }

    let link = task.memory.load(task.newBase, as: UInt16.self)
    #expect(link == (isNested ? Fixture.oldTask : 0))
    let (oldRights, newRights) = (task.rights(Fixture.oldTask), task.rights(Fixture.newTask))
    #expect(oldRights & 2 == (isNested ? 2 : 0) && newRights & 2 == 2)

    let upper: UInt64 = kinds.1 == .bits32 ? 0xB000_0000 : 0xFFFF_0000
    let registers: [GuestRegister] = [.rax, .rcx, .rdx, .rbx, .rsp, .rbp, .rsi, .rdi]
    for (number, register) in registers.enumerated() {
      let value = vcpu.register(register)
      #expect(value == upper + 0x5550 + UInt64(number))
    }
    let (rip, rflags, dr7, cr0) = (
      vcpu.register(.rip), vcpu.register(.rflags), vcpu.register(.dr7), vcpu.register(.cr0)
    )
    let flags: UInt64 = isNested ? 0x4402 : 0x402
    #expect(rip == 0x9ABC && rflags == flags)
    #expect(dr7 == 0x6AA && cr0 & 8 != 0)
    let (tr, ldtr, cs, ss) = (vcpu.descriptor(.tr), vcpu.descriptor(.ldtr), vcpu.descriptor(.cs), vcpu.descriptor(.ss))
    let trRights: UInt32 = kinds.1 == .bits32 ? 0x8B : 0x83
    #expect(tr == GuestDescriptor(base: 0x5000, limit: 0x67, accessRights: .init(rawValue: trRights)))
    #expect(ldtr == GuestDescriptor(base: 0x2000, limit: 0x1F, accessRights: .init(rawValue: 0x82)))
    #expect(cs == GuestDescriptor(base: 0, limit: 0xFFFF_FFFF, accessRights: .init(rawValue: 0xC09B)))
    #expect(ss == GuestDescriptor(base: 0, limit: 0xFFFF_FFFF, accessRights: .init(rawValue: 0xC093)))
    #expect(task.rights(Fixture.code) == 0xC09B && task.rights(Fixture.data) == 0xC093, "they are marked accessed")
    let (fs, gs) = (vcpu.descriptor(.fs).accessRights.unusable, vcpu.descriptor(.gs).accessRights.unusable)
    #expect(fs && gs == (kinds.1 == .bits16))
  }

  /// A change of the new task, and the exception that it causes.
  struct Fault: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var vector: UInt32, errorCode: UInt32
    var change: @Sendable (Fixture) -> Void
    init(_ name: String, _ vector: UInt32, _ errorCode: UInt32, _ change: @escaping @Sendable (Fixture) -> Void) {
      (testDescription, self.vector, self.errorCode, self.change) = (name, vector, errorCode, change)
    }
  }

  /// SDM, "Exception Conditions Checked During a Task Switch", by segment register; those of the new task.
  static let faults: [Fault] =
    [
      Fault("LDT in the LDT", 10, 0x34) { $0.setLDT(0x34) },
      Fault("LDT beyond the GDT", 10, 0x88) { $0.setLDT(0x88) },
      Fault("LDT is a data segment", 10, 0x10) { $0.setLDT(Fixture.data) },
      Fault("LDT is a TSS", 10, 0x18) { $0.setLDT(Fixture.oldTask) },
      Fault("LDT is not present", 10, 0x30) { $0.describe(0x30, base: 0, limit: 0x1F, rights: 0x02) },
      Fault("SS is null", 10, 0) { $0.setSelector(2, 3) },
      Fault("SS beyond the GDT", 10, 0xF8) { $0.setSelector(2, 0xF8) },
      Fault("SS beyond the LDT", 10, 0x24) { $0.setSelector(2, 0x24) },
      Fault("SS without an LDT", 10, 0x04) { task in
        task.setLDT(0)
        task.setSelector(2, 0x04)
      },
      Fault("SS is code", 10, 0x08) { $0.setSelector(2, Fixture.code) },
      Fault("SS cannot be written", 10, 0x48) { task in
        task.describe(0x48, base: 0, limit: 0xFFFF, rights: 0x90)
        task.setSelector(2, 0x48)
      },
      Fault("SS is a system segment", 10, 0x30) { $0.setSelector(2, 0x30) },
      Fault("SS is not present", 12, 0x48) { task in
        task.describe(0x48, base: 0, limit: 0xFFFF, rights: 0x12)
        task.setSelector(2, 0x48)
      },
      Fault("SS.DPL is not CPL", 10, 0x40) { $0.setSelector(2, Fixture.userData) },
      Fault("SS.RPL is not CPL", 10, 0x10) { $0.setSelector(2, 0x13) },
      Fault("CS is null", 10, 0) { $0.setSelector(1, 0) },
      Fault("CS beyond the GDT", 10, 0xF8) { $0.setSelector(1, 0xF8) },
      Fault("CS is data", 10, 0x10) { $0.setSelector(1, Fixture.data) },
      Fault("CS is a system segment", 10, 0x18) { $0.setSelector(1, Fixture.oldTask) },
      Fault("CS is not present", 11, 0x48) { task in
        task.describe(0x48, base: 0, limit: 0xFFFF, rights: 0x1A)
        task.setSelector(1, 0x48)
      },
      Fault("CS.DPL is not CPL", 10, 0x38) { $0.setSelector(1, 0x38) },
      Fault("conforming CS.DPL is above CPL", 10, 0x48) { task in
        task.describe(0x48, base: 0, limit: 0xFFFF, rights: 0xFE)
        task.setSelector(1, 0x48)
      },
      Fault("EIP is beyond CS", 13, 0) { task in
        task.describe(0x48, base: 0, limit: 0x9ABB, rights: 0x9A)
        task.setSelector(1, 0x48)
      },
    ]

  private static func dataSegmentFaults(_ index: Int, _ name: String) -> [Fault] {
    [
      Fault(name + " beyond the GDT", 10, 0x100) { $0.setSelector(index, 0x103) },
      Fault(name + " is a system segment", 10, 0x30) { $0.setSelector(index, 0x30) },
      Fault(name + " is code that cannot be read", 10, 0x48) { task in
        task.describe(0x48, base: 0, limit: 0xFFFF, rights: 0x98)
        task.setSelector(index, 0x48)
      },
      Fault(name + ".DPL is below RPL", 10, 0x10) { $0.setSelector(index, 0x11) },
      Fault(name + " is not present", 11, 0x48) { task in
        task.describe(0x48, base: 0, limit: 0xFFFF, rights: 0x12)
        task.setSelector(index, 0x48)
      },
    ]
  }

  @Test("F3 a fault of the new task's segments is raised in the new task, with the selector", arguments: faults)
  func newTaskFaults(_ fault: Fault) throws {
    for source in Self.sources {
      let task = try Fixture(source: source)
      fault.change(task)
      var vcpu = try task.run()
      expectEvent(task, 0x8000_0B00 | fault.vector, fault.errorCode)
      let (rip, tr) = (vcpu.register(.rip), vcpu.register(.tr))
      #expect(rip == 0x9ABC && tr == UInt64(Fixture.newTask) && task.old(1) == 0x246)
      #expect(task.fixture.entryFailures() == [])
      // Bochs compares them at a VM entry, which the SDM does not ask for.
      let (selector, rights) = (vcpu.register(.cs), vcpu.descriptor(.cs).accessRights)
      #expect(selector & 3 == UInt64(rights.dpl))
    }
  }

  /// A change of the tables, and the exception that it causes in the old task.
  static let oldTaskFaults: [Fault] = [
    Fault("TSS is not present", 11, 0x20) { $0.describe(0x20, base: 0x5000, limit: 0x67, rights: 0x09) },
    Fault("TSS is too short", 10, 0x20) { $0.describe(0x20, base: 0x5000, limit: 0x66, rights: 0x89) },
    Fault("TSS of 16 bits is too short", 10, 0x20) { $0.describe(0x20, base: 0x5000, limit: 0x2A, rights: 0x81) },
    Fault("TSS is busy", 13, 0x20) { $0.describe(0x20, base: 0x5000, limit: 0x67, rights: 0x8B) },
    Fault("TSS is data", 13, 0x20) { $0.describe(0x20, base: 0x5000, limit: 0x67, rights: 0x99) },
    Fault("TSS is an LDT", 13, 0x20) { $0.describe(0x20, base: 0x5000, limit: 0x67, rights: 0x82) },
  ]

  @Test("F3 a fault before the switch is raised in the old task, which is as it was", arguments: oldTaskFaults)
  func oldTask(_ fault: Fault) throws {
    let task = try Fixture(source: .jmpInstruction)
    fault.change(task)
    let bytes = task.memory.bytes
    var vcpu = try task.run()
    expectEvent(task, 0x8000_0B00 | fault.vector, fault.errorCode)
    let (rip, tr, cr0) = (vcpu.register(.rip), vcpu.register(.tr), vcpu.register(.cr0))
    #expect(rip == 0x1_2345 && tr == UInt64(Fixture.oldTask) && cr0 & 8 == 0 && task.memory.bytes == bytes)
    #expect(task.fixture.entryFailures() == [])
  }

  @Test("F3 an old TSS that is too short, and an IRET to a task that is not busy, are #TS", arguments: [0, 1, 2])
  func returns(row: Int) throws {
    var task = try Fixture(from: row == 1 ? .bits16 : .bits32, source: row == 2 ? .iretInstruction : .jmpInstruction)
    if row == 2 {
      task.describe(0x20, base: 0x5000, limit: 0x67, rights: 0x89)
    } else {
      task.exit[.guestTRLimit] = row == 0 ? 0x5E : 0x28
    }
    let bytes = task.memory.bytes
    _ = try task.run()
    expectEvent(task, 0x8000_0B0A, row == 2 ? 0x20 : 0x18)
    #expect(task.memory.bytes == bytes)
  }

  /// The event that a task gate is for: IDT-vectoring information and error code, whether IP is behind the instruction,
  /// and the EXT bit of faults.
  static let events: [(information: UInt32, errorCode: UInt32?, isAfter: Bool, ext: UInt32)] = [
    (0x8000_0020, nil, false, 1), (0x8000_0202, nil, false, 1), (0x8000_0300, nil, false, 1),
    (0x8000_0B08, 0, false, 1), (0x8000_0B0D, 0x18, false, 1), (0x8000_0B0E, 2, false, 1),
    (0x8000_0480, nil, true, 0), (0x8000_0603, nil, true, 0), (0x8000_0501, nil, true, 0),
  ]

  @Test(
    "F5 a task gate's event is delivered by the switch, with its error code on the new stack", arguments: events,
    [Fixture.Kind.bits32, .bits16])
  func gates(_ row: (information: UInt32, errorCode: UInt32?, isAfter: Bool, ext: UInt32), _ kind: Fixture.Kind) throws
  {
    var task = try Fixture(to: kind, source: .taskGateInIDT)
    task.set(6, 0x7FF0)
    task.describe(Fixture.spare, base: 0, limit: 0xFFFF, rights: 0x92)
    task.setSelector(2, Fixture.spare)
    task.exit.idtVectoringInformation = IDTVectoringInformation(rawValue: row.information)
    task.exit.idtVectoringErrorCode = row.errorCode
    var vcpu = try task.run()
    // It is not delivered again.
    expectEvent(task, 0)
    #expect(task.fixture.entryFailures() == [])
    #expect(task.old(0) == (row.isAfter ? 0x1_234C : 0x1_2345))
    let size: UInt64 = kind == .bits32 ? 4 : 2
    let rsp = vcpu.register(.rsp) & 0xFFFF
    #expect(rsp == 0x7FF0 - (row.errorCode == nil ? 0 : size))
    if let code = row.errorCode { #expect(task.memory.load(rsp, as: UInt16.self) == UInt16(code)) }
    let isNMI = row.information == 0x8000_0202
    #expect(task.fixture.contents(.guestInterruptibilityState).blockingByNMI == isNMI)
  }

  @Test(
    "F7 a fault of the task that handles an exception makes a double fault with it; EXT is of events from outside",
    arguments: events)
  func nestedFaults(_ row: (information: UInt32, errorCode: UInt32?, isAfter: Bool, ext: UInt32)) throws {
    var task = try Fixture(source: .taskGateInIDT)
    task.setSelector(3, 0xF8)
    task.exit.idtVectoringInformation = IDTVectoringInformation(rawValue: row.information)
    task.exit.idtVectoringErrorCode = row.errorCode
    let preparation = try task.preparation()
    switch row.information & 0x7FF {
    case 0x308: #expect(preparation == .tripleFault)
    case 0x300, 0x30D, 0x30E: expectEvent(task, 0x8000_0B08)
    default: expectEvent(task, 0x8000_0B0A, 0xF8 | row.ext)
    }
  }

  @Test("F5 IRET to a task ends blocking by NMI; the others do not", arguments: sources)
  func nmiBlocking(_ source: TaskSwitchSource) throws {
    var task = try Fixture(source: source)
    task.exit[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: 8)
    _ = try task.run()
    #expect(task.fixture.contents(.guestInterruptibilityState).blockingByNMI == (source != .iretInstruction))
  }

  @Test("F3 the T flag is a debug exception before the task's first instruction, with BT in DR6")
  func debugTrap() throws {
    let task = try Fixture(source: .callInstruction)
    _ = task.memory.store(UInt16(1), at: task.newBase + 0x64)
    var vcpu = try task.run()
    let (dr6, rip) = (vcpu.register(.dr6), vcpu.register(.rip))
    expectEvent(task, 0x8000_0301)
    #expect(dr6 == 0xFFFF_8FF0 && rip == 0x9ABC)
  }

  @Test("F3 a task in user mode and one in virtual-8086 mode can be entered", arguments: [false, true], sources)
  func privilegeLevel3(isVirtual8086: Bool, _ source: TaskSwitchSource) throws {
    let task = try Fixture(source: source)
    for index in 0..<6 {
      task.setSelector(
        index, isVirtual8086 ? 0x100 + UInt16(index) : index == 1 ? Fixture.userCode : Fixture.userData)
    }
    if isVirtual8086 { task.set(1, 0x2_0202) }
    let vcpu = try task.run()
    expectEvent(task, 0)
    #expect(task.fixture.entryFailures() == [])
    let (cs, level) = (vcpu.descriptor(.cs), vcpu.privilegeLevel)
    #expect(
      level == 3 && cs.base == (isVirtual8086 ? 0x1010 : 0)
        && cs.accessRights.rawValue == (isVirtual8086 ? 0xF3 : 0xC0FB))
  }

  @Test(
    "F11 CR3 comes from a 32-bit TSS if paging is on, with the PDPTEs, and drops translations",
    arguments: [(false, true), (true, true), (true, false)], [false, true])
  func cr3(tables: (isPAE: Bool, isLegal: Bool), isVirtual8086: Bool) throws {
    let (isPAE, isLegal) = tables
    var task = try Fixture(source: .jmpInstruction)
    if isVirtual8086 {
      for index in 0..<6 { task.setSelector(index, 0x100 + UInt16(index)) }
      task.set(1, 0x2_0202)
    }
    task.exit[.guestCR0] = CR0(rawValue: 0x8000_0031)
    task.exit[.guestCR4] = CR4(rawValue: isPAE ? 0x2030 : 0x2010)
    task.exit[.guestCR3] = 0x8000
    // One page of 4 or 2 MBytes, from 8000H and from 9000H.
    for table in [0x8000, 0x9000] as [UInt64] where !isPAE { _ = task.memory.store(UInt32(0x83), at: table) }
    if isPAE {
      _ = task.memory.store(UInt64(0xA001), at: 0x8000)
      _ = task.memory.store(UInt64(isLegal ? 0xA001 : 0xA003), at: 0x9000)
      _ = task.memory.store(UInt64(0x83), at: 0xA000)
      task.exit[.guestPDPTE0] = 0xA001
    }
    _ = task.memory.store(UInt32(0x9000), at: task.newBase + 0x1C)
    let vcpu = try task.run()
    let isFault = isPAE && !isLegal
    let isFlushed = vcpu.state.needsVPIDFlush
    #expect(task.fixture.contents(.guestCR3) == 0x9000 && isFlushed)
    expectEvent(task, isFault ? 0x8000_0B0A : 0)
    #expect(task.fixture.entryFailures() == [])
    if isPAE { #expect(task.fixture.contents(.guestPDPTE0) == (isLegal ? 0xA001 : 0)) }
  }

  @Test(
    "F3 a page fault on a TSS or the GDT is raised before anything changes", arguments: [0x1, 0x4, 0x5] as [UInt64],
    [false, true])
  func pageFaults(page: UInt64, isReadOnly: Bool) throws {
    var task = try Fixture(source: .jmpInstruction)
    task.exit[.guestCR0] = CR0(rawValue: 0x8001_0031)
    task.exit[.guestCR4] = CR4(rawValue: 0x2000)
    task.exit[.guestCR3] = 0x8000
    _ = task.memory.store(UInt32(0x9003), at: 0x8000)
    for number in 0..<16 as Range<UInt64> {
      let rights: UInt64 = number == page ? (isReadOnly ? 0x61 : 0) : 0x63
      _ = task.memory.store(UInt32(number << 12 | rights), at: 0x9000 + 4 * number)
    }
    _ = task.memory.store(UInt32(0x8063), at: task.newBase + 0x1C)
    let bytes = task.memory.bytes
    var vcpu = try task.run()
    // A new TSS is written by CALL and task gates only.
    let isFault = !(isReadOnly && page == 5)
    let rip = vcpu.register(.rip)
    let code: UInt32 = isReadOnly ? 3 : page == 4 ? 2 : 0
    expectEvent(task, isFault ? 0x8000_0B0E : 0, isFault ? code : 0)
    #expect((rip == 0x1_2345) == isFault)
    if isFault {
      #expect(task.fixture.processor.cr2 >> 12 == page)
      #expect(task.memory.bytes[0x1000..<0x8000] == bytes[0x1000..<0x8000])
    }
  }

  @Test(
    "A TSS that another processor has made busy meanwhile is not entered, and nothing has changed: the guest executes the instruction again",
    arguments: [.jmpInstruction, .callInstruction] as [TaskSwitchSource])
  func busyMeanwhile(_ source: TaskSwitchSource) throws {
    let task = try Fixture(source: source)
    task.memory.afterLoad = { memory, address in
      if address == Fixture.gdt + UInt64(Fixture.newTask) { memory.bytes[0x1025] |= 2 }
    }
    let bytes = task.memory.bytes
    var vcpu = try task.run()
    expectEvent(task, 0)
    let (rip, tr, isFlushed) = (vcpu.register(.rip), vcpu.register(.tr), vcpu.state.needsVPIDFlush)
    #expect(rip == 0x1_2345 && tr == UInt64(Fixture.oldTask) && isFlushed)
    task.memory.bytes[0x1025] &= ~2
    #expect(task.memory.bytes[0x1000..<0x8000] == bytes[0x1000..<0x8000])
  }

  @Test("A task whose own TSS cannot be left, as its descriptor changes without end, does not keep the new one busy")
  func restlessOldTask() throws {
    let task = try Fixture(source: .jmpInstruction)
    task.memory.afterLoad = { memory, address in
      if address == Fixture.gdt + UInt64(Fixture.oldTask) + 5 { memory.bytes[0x101D] ^= 0x60 }
    }
    var vcpu = try task.run()
    expectEvent(task, 0)
    let (rip, tr) = (vcpu.register(.rip), vcpu.register(.tr))
    #expect(rip == 0x1_2345 && tr == UInt64(Fixture.oldTask))
    #expect(task.rights(Fixture.newTask) & 2 == 0 && task.rights(Fixture.oldTask) & 2 == 2)
  }

  @Test("JMP to the task that runs, whose descriptor the guest has made available, leaves it busy")
  func jumpToOwnTask() throws {
    var task = try Fixture(source: .jmpInstruction)
    task.exit[.guestTRSelector] = SegmentSelector(rawValue: Fixture.newTask)
    _ = try task.run()
    expectEvent(task, 0)
    #expect(task.rights(Fixture.newTask) & 2 == 2)
  }

  /// A descriptor that another processor changes, after which of its bytes is loaded, what is changed; the event, and the
  /// descriptor's access rights at the end.
  static let changes: [(selector: UInt16, byte: UInt64, change: UInt8, event: UInt32, rights: UInt64)] = [
    (Fixture.oldTask, 5, 0x60, 0, 0xE9), (Fixture.code, 0, 0x01, 0, 0x9B), (Fixture.data, 0, 0x80, 0x8000_0B0C, 0x12),
  ]

  @Test("Flags are set in what other processors have made of a descriptor, which is looked at again", arguments: 0..<3)
  func changedDescriptors(row: Int) throws {
    let (selector, byte, change, event, rights) = Self.changes[row]
    let task = try Fixture(source: .jmpInstruction)
    let entry = Fixture.gdt + UInt64(selector)
    task.memory.afterLoad = { memory, address in
      guard address == entry + byte else { return }
      memory.afterLoad = nil
      memory.bytes[Int(entry) + 5] ^= change
    }
    _ = try task.run()
    expectEvent(task, event, event == 0 ? 0 : UInt32(selector))
    #expect(task.memory.afterLoad == nil && task.rights(selector) & 0xFF == rights)
  }

  @Test("A descriptor that another processor changes without end is #TS in the new task")
  func restlessDescriptor() throws {
    let task = try Fixture(source: .jmpInstruction)
    let entry = Fixture.gdt + UInt64(Fixture.data)
    var changes = 0
    task.memory.afterLoad = { memory, address in
      guard address == entry else { return }
      changes += 1
      // Whether it expands down.
      memory.bytes[Int(entry) + 5] ^= 0x04
    }
    var vcpu = try task.run()
    expectEvent(task, 0x8000_0B0A, UInt32(Fixture.newTask))
    let (rip, tr) = (vcpu.register(.rip), vcpu.register(.tr))
    #expect(changes == 64 && rip == 0x9ABC && tr == UInt64(Fixture.newTask) && task.fixture.entryFailures() == [])
  }

  @Test("F3 where there is no memory, the virtual machine stops")
  func missingMemory() throws {
    let task = try Fixture(source: .jmpInstruction)
    task.describe(0x20, base: 0x2_0000, limit: 0x67, rights: 0x89)
    #expect(throws: MemoryFault.missingMemory(guestPhysicalAddress: 0x2_0000, isWrite: false)) { _ = try task.run() }
  }

  @Test(
    "F3 no task, whatever noise it is made of, ends the host or makes an entry fail", arguments: 0..<40 as Range<UInt64>
  )
  func noise(seed: UInt64) throws {
    var numbers = SeededNumbers(state: seed)
    for _ in 0..<25 {
      let source = Self.sources[Int(numbers.next() & 3)]
      var task = try Fixture(
        from: numbers.next() & 1 == 0 ? .bits32 : .bits16, to: numbers.next() & 1 == 0 ? .bits32 : .bits16,
        source: source)
      task.fixture.processor.onFault = { _ in }
      if numbers.next() & 1 == 0 { task.exit.idtVectoringInformation = IDTVectoringInformation(rawValue: 0x8000_0B0D) }
      task.exit.idtVectoringErrorCode = 0
      for _ in 0..<numbers.next() % 12 {
        switch numbers.next() % 4 {
        case 0: task.memory.bytes[Int(0x5000 + numbers.next() % 0x68)] = UInt8(truncatingIfNeeded: numbers.next())
        case 1: task.setSelector(Int(numbers.next() % 4), UInt16(truncatingIfNeeded: numbers.next() & 0x7F))
        case 2: task.memory.bytes[Int(0x1000 + numbers.next() % 0x80)] = UInt8(truncatingIfNeeded: numbers.next())
        default: task.memory.bytes[Int(0x1005 + 8 * (numbers.next() % 16))] = UInt8(truncatingIfNeeded: numbers.next())
        }
      }
      do {
        if try task.preparation() == .ready { #expect(task.fixture.entryFailures() == []) }
      } catch {
        guard case .missingMemory? = error as? MemoryFault else { throw error }
      }
    }
  }
}
