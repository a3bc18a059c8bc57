import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// A guest on `ProcessorModel` that executes INS and OUTS.
final class StringIOMachine {

  /// In what mode the guest is.
  enum Mode: CaseIterable, Sendable { case realAddress, protected32, long64 }

  private let guest: GuestOnModel
  /// What the next VM entry after an instruction injected.
  var injected: VMEntryInterruptionInformation?

  static let scratch: UInt16 = 0x3FF
  static let configurationAddress: UInt16 = 0xCF8

  init(_ mode: Mode, _ configuration: ProcessorModel.Configuration = .skylakeX) throws {
    guest = try GuestOnModel(configuration, pages: 64)
    try set(mode)
  }

  var processor: ProcessorModel { guest.processor }
  var memory: GuestMemory { guest.memory }
  var machine: VirtualMachine {
    _read { yield guest.machine }
    _modify { yield &guest.machine }
  }
  var vcpu: LoadedVCPU<ProcessorModel> {
    _read { yield guest.vcpu }
    _modify { yield &guest.vcpu }
  }

  private func set(_ mode: Mode) throws {
    guard mode != .realAddress else { return }
    _ = IdentityPageTables.write(to: memory, at: 0x8000)
    vcpu.start(LinuxEntry(rip: 0x1000, rsi: 0, rsp: 0x7000, cr3: 0x8000, gdtBase: 0, gdtLimit: 0))
    guard mode == .protected32 else { return }
    try vcpu.setRegister(.efer, to: 0)
    try vcpu.setRegister(.cr0, to: 0x31)
    let code = GuestDescriptor(base: 0, limit: ~0, accessRights: SegmentAccessRights(rawValue: 0xC09B))
    vcpu.setDescriptor(.cs, to: code)
  }

  /// Executes the instruction once, as far as one VM exit gets it; how the guest stopped, if it did.
  func execute(_ exit: ScriptedExit) -> GuestStop? {
    var end = ScriptedExit(.tripleFault)
    injected = nil
    end.guest = { [unowned self] _, processor in
      let event = processor.contents(of: .vmEntryInterruptionInformation)
      if let event, event.valid { injected = event }
    }
    processor.script = [exit, end]
    while true {
      machine.armedDeadline = machine.bus.nextDeadline
      if case .stopped(let stop) = guest.virtualProcessor.run(&guest.vcpu) {
        if case .tripleFault = stop, processor.script.isEmpty { return nil }
        return stop
      }
    }
  }

  /// INS or OUTS; the address size is 0, 1 or 2 as the processor encodes it.
  func exit(
    _ direction: IODirection, _ size: IOSize, port: UInt16, rep: Bool = false, addressSize: UInt32 = 2,
    segment: SegmentRegister = .ds
  ) -> ScriptedExit {
    var qualification = IOInstructionQualification(rawValue: 0)
    qualification.size = IOAccessSize(rawValue: size.rawValue - 1)
    qualification.direction = direction
    qualification.string = true
    qualification.rep = rep
    qualification.port = port
    var exit = ScriptedExit(.ioInstruction, qualification: qualification.rawValue, instructionLength: rep ? 2 : 1)
    exit.instructionInformation = addressSize << 7 | UInt32(segment.rawValue) << 15
    return exit
  }

  var registers: GuestRegisters {
    get { vcpu.registers.pointee }
    set { vcpu.registers.pointee = newValue }
  }

  func byte(_ address: UInt64) -> UInt8 { memory.load(address, as: UInt8.self) ?? 0 }
}

@Suite struct StringIOTests {
  @Test(
    "F15 the address size decides which part of RSI, RDI and RCX is used and changed",
    arguments: [
      (.realAddress, 0, 0xFFFF_FFFF_0001_2345, 0x2345, 0xFFFF_FFFF_0001_2346),
      (.realAddress, 0, 0xFFFF_FFFF_0001_FFFF, 0xFFFF, 0xFFFF_FFFF_0001_0000),
      (.protected32, 0, 0x0001_FFFF, 0xFFFF, 0x0001_0000), (.protected32, 1, 0x0001_FFFF, 0x1_FFFF, 0x0002_0000),
      (.protected32, 1, 0xABCD_0000_0001_FFFF, 0x1_FFFF, 0x0002_0000),
      (.long64, 1, 0x5_0001_FFFF, 0x1_FFFF, 0x0002_0000), (.long64, 2, 0x0001_FFFF, 0x1_FFFF, 0x0002_0000),
    ] as [(StringIOMachine.Mode, UInt32, UInt64, UInt64, UInt64)])
  func addressSize(mode: StringIOMachine.Mode, size: UInt32, index: UInt64, used: UInt64, after: UInt64) throws {
    for direction in [IODirection.in, .out] {
      let guest = try StringIOMachine(mode)
      let isIn = direction == .in
      guest.machine.bus.write(port: StringIOMachine.scratch, size: .byte, value: isIn ? 0x5A : 0, at: 0)
      #expect(guest.memory.store(UInt8(isIn ? 0 : 0x5A), at: used))
      (guest.registers.rdi, guest.registers.rsi) = isIn ? (index, 7) : (7, index)
      guest.registers.rcx = 0x7777_7777_7777_0001
      let rip = guest.vcpu.register(.rip)

      let stop = guest.execute(guest.exit(direction, .byte, port: StringIOMachine.scratch, addressSize: size))
      #expect(stop == nil && guest.injected == nil)
      #expect(guest.byte(used) == 0x5A)
      #expect(guest.machine.bus.read(port: StringIOMachine.scratch, size: .byte, at: 0) == 0x5A)
      #expect((isIn ? guest.registers.rdi : guest.registers.rsi) == after)
      #expect((isIn ? guest.registers.rsi : guest.registers.rdi) == 7)
      #expect(guest.registers.rcx == 0x7777_7777_7777_0001, "without REP, RCX is not used")
      #expect(guest.vcpu.register(.rip) == rip + 1)
    }
  }

  @Test(
    "F15 REP counts in CX, ECX or RCX",
    arguments: [
      (.realAddress, 0, 0x7777_7777_7777_0003, 3, 0x7777_7777_7777_0000),
      (.protected32, 1, 0x7777_7777_0000_0003, 3, 0),
      (.long64, 1, 0x7777_7777_0000_0003, 3, 0), (.long64, 2, 3, 3, 0), (.long64, 2, 0, 0, 0),
      (.protected32, 0, 0x0001_0000, 0, 0x0001_0000),
    ] as [(StringIOMachine.Mode, UInt32, UInt64, UInt64, UInt64)])
  func count(mode: StringIOMachine.Mode, size: UInt32, rcx: UInt64, elements: UInt64, after: UInt64) throws {
    let guest = try StringIOMachine(mode)
    guest.machine.bus.write(port: StringIOMachine.scratch, size: .byte, value: 0x5A, at: 0)
    guest.registers.rdi = 0x2000
    guest.registers.rcx = rcx
    let rip = guest.vcpu.register(.rip)
    #expect(guest.execute(guest.exit(.in, .byte, port: StringIOMachine.scratch, rep: true, addressSize: size)) == nil)
    #expect(guest.registers.rcx == after)
    #expect(guest.registers.rdi == 0x2000 + elements)
    for index in 0..<5 as Range<UInt64> { #expect(guest.byte(0x2000 + index) == (index < elements ? 0x5A : 0)) }
    #expect(guest.vcpu.register(.rip) == rip + 2)
  }

  @Test(
    "Random repetitions end as a loop over single elements would, and no exit moves more than 64",
    arguments: 0..<40 as Range<UInt64>)
  func repetition(seed: UInt64) throws {
    var random = RandomNumbers(seed: seed)
    let guest = try StringIOMachine(.long64)
    let size = IOSize.allCases[Int(random.next() % 3)]
    let width = UInt64(size.rawValue)
    let isIn = random.next() % 2 == 0
    let isBackwards = random.next() % 2 == 0
    let count = random.next() % 300
    let start = 0x4_0000 + random.next() % 0x1000
    let port = size == .doubleword ? StringIOMachine.configurationAddress : StringIOMachine.scratch - UInt16(width - 1)
    let pattern: UInt32 = size == .doubleword ? 0x8055_AA54 : 0xC3C3_C3C3
    guest.machine.bus.write(port: port, size: size, value: pattern, at: 0)
    let element = guest.machine.bus.read(port: port, size: size, at: 0)
    guest.registers.rcx = count
    if isIn { guest.registers.rdi = start } else { guest.registers.rsi = start }
    try guest.vcpu.setRegister(.rflags, to: isBackwards ? 0x402 : 2)
    let rip = guest.vcpu.register(.rip)
    let before = (0..<GuestOnModel.memorySize).map { guest.byte(UInt64($0)) }

    var exits: UInt64 = 0
    while guest.vcpu.register(.rip) == rip {
      let left = guest.registers.rcx
      #expect(guest.execute(guest.exit(isIn ? .in : .out, size, port: port, rep: true)) == nil)
      #expect(left - guest.registers.rcx <= 64)
      exits += 1
      try #require(exits <= count + 1)
    }
    #expect(exits == max(1, (count + 63) / 64))
    #expect(guest.registers.rcx == 0)
    let step = isBackwards ? 0 &- width : width
    #expect((isIn ? guest.registers.rdi : guest.registers.rsi) == start &+ count &* step)
    var expected = before
    if isIn {
      for index in 0..<count {
        for byte in 0..<width {
          expected[Int(start &+ index &* step &+ byte)] = UInt8(truncatingIfNeeded: element >> UInt32(8 * byte))
        }
      }
      // Accessed and dirty flags are set in the page tables, which are below.
    }
    let isSame = (0x2_0000..<GuestOnModel.memorySize).allSatisfy { guest.byte(UInt64($0)) == expected[$0] }
    #expect(isSame)
  }

  @Test("A page fault in the middle: what was done stays, CR2 and the error code tell of the rest")
  func pageFault() throws {
    let guest = try StringIOMachine(.long64)
    // A page directory entry that is not present: linear 2 MiB.
    #expect(guest.memory.store(UInt64(0), at: 0xA008))
    guest.processor.cr2 = 0x1111
    for (isIn, code) in [(true, 2), (false, 0)] as [(Bool, UInt32)] {
      guest.registers.rcx = 10
      guest.registers.rdi = 0x20_0000
      guest.registers.rsi = 0x20_0000
      let rip = guest.vcpu.register(.rip)
      #expect(guest.execute(guest.exit(isIn ? .in : .out, .byte, port: StringIOMachine.scratch, rep: true)) == nil)
      #expect(guest.injected?.rawValue == 0x8000_0B0E)
      #expect(guest.processor.contents(of: .vmEntryExceptionErrorCode) == code)
      #expect(guest.processor.cr2 == 0x20_0000)
      #expect(guest.registers.rcx == 10 && guest.registers.rdi == 0x20_0000 && guest.registers.rsi == 0x20_0000)
      #expect(guest.vcpu.register(.rip) == rip)
    }
  }

  @Test("Faults of segments: none of them accesses the port, moves RIP or changes a register")
  func segmentFaults() throws {
    let guest = try StringIOMachine(.protected32)
    let small = GuestDescriptor(base: 0, limit: 0xFFF, accessRights: SegmentAccessRights(rawValue: 0x4093))
    guest.vcpu.setDescriptor(.es, to: small)
    guest.vcpu.setDescriptor(.ss, to: small)
    guest.machine.bus.write(port: StringIOMachine.scratch, size: .byte, value: 0x12, at: 0)
    #expect(guest.memory.store(UInt8(0x34), at: 0x1000))
    for (direction, segment, vector) in [(.in, .ds, 13), (.out, .es, 13), (.out, .ss, 12)]
      as [(IODirection, SegmentRegister, UInt32)]
    {
      guest.registers.rsi = 0x1000
      guest.registers.rdi = 0x1000
      let rip = guest.vcpu.register(.rip)
      let exit = guest.exit(direction, .byte, port: StringIOMachine.scratch, addressSize: 1, segment: segment)
      #expect(guest.execute(exit) == nil)
      #expect(guest.injected?.rawValue == 0x8000_0B00 | vector)
      #expect(guest.processor.contents(of: .vmEntryExceptionErrorCode) == 0)
      #expect(guest.machine.bus.read(port: StringIOMachine.scratch, size: .byte, at: 0) == 0x12)
      #expect(guest.byte(0x1000) == 0x34)
      #expect(guest.registers.rsi == 0x1000 && guest.registers.rdi == 0x1000 && guest.vcpu.register(.rip) == rip)
    }
  }

  @Test("In real-address mode an exception has no error code")
  func realAddressMode() throws {
    let guest = try StringIOMachine(.realAddress)
    guest.registers.rsi = 0xFFFF
    #expect(guest.execute(guest.exit(.out, .word, port: StringIOMachine.scratch, addressSize: 0)) == nil)
    #expect(guest.injected?.rawValue == 0x8000_030D)
  }

  @Test("Where there is no memory the guest stops, before the port is accessed", arguments: [IODirection.in, .out])
  func missingMemory(direction: IODirection) throws {
    let guest = try StringIOMachine(.long64)
    let address = UInt64(GuestOnModel.memorySize) + 0x123
    guest.registers.rsi = address
    guest.registers.rdi = address
    guard
      case .missingMemory(let found, let access) = guest.execute(
        guest.exit(direction, .byte, port: StringIOMachine.scratch))
    else {
      Issue.record("the guest was not stopped")
      return
    }
    #expect(found == address)
    #expect(access.write == (direction == .in) && access.read == (direction == .out))
  }

  @Test("Where the processor gives no instruction information, the instruction is decoded")
  func decoded() throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.basicCapabilities &= ~(1 << 54)
    let guest = try StringIOMachine(.long64, configuration)
    // GS: REP OUTSB with a 32-bit address size.
    for (index, byte) in ([0x65, 0x67, 0xF3, 0x6E] as [UInt8]).enumerated() {
      #expect(guest.memory.store(byte, at: 0x1000 + UInt64(index)))
    }
    guest.processor.setContents(of: .guestGSBase, to: 0x2_0000)
    #expect(guest.memory.store(UInt8(0x99), at: 0x2_0345))
    guest.registers.rsi = 0xF_0000_0345
    guest.registers.rcx = 0xF_0000_0001
    var exit = guest.exit(.out, .byte, port: StringIOMachine.scratch, rep: true)
    exit.instructionLength = 4
    exit.instructionInformation = nil
    #expect(guest.execute(exit) == nil && guest.injected == nil)
    #expect(guest.machine.bus.read(port: StringIOMachine.scratch, size: .byte, at: 0) == 0x99)
    #expect(guest.registers.rsi == 0x346 && guest.registers.rcx == 0)
    #expect(guest.vcpu.register(.rip) == 0x1004)
  }

  @Test("Where other code is now, the guest executes that, by its paging structures as they are")
  func otherCode() throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.basicCapabilities &= ~(1 << 54)
    let guest = try StringIOMachine(.long64, configuration)
    // NOP; then OUTSB.
    #expect(guest.memory.store(UInt16(0x6E90), at: 0x1000))
    #expect(guest.memory.store(UInt8(0x99), at: 0x2000))
    guest.registers.rsi = 0x2000
    var exit = guest.exit(.out, .byte, port: StringIOMachine.scratch)
    exit.instructionInformation = nil
    let flush = ProcessorAccess.invvpid(type: 1, vpid: 1, linearAddress: 0)
    _ = guest.execute(exit)
    guest.processor.clearTrace()
    #expect(guest.execute(exit) == nil && guest.injected == nil)
    #expect(guest.vcpu.register(.rip) == 0x1000 && guest.registers.rsi == 0x2000)
    #expect(guest.processor.trace.entries.contains { $0.access == flush })
    exit[.guestRIP] = 0x1001
    #expect(guest.execute(exit) == nil && guest.injected == nil)
    #expect(guest.vcpu.register(.rip) == 0x1002)
    #expect(guest.machine.bus.read(port: StringIOMachine.scratch, size: .byte, at: 0) == 0x99)
  }

  @Test("A repetition that goes on has ended blocking by STI and by MOV SS", arguments: [1, 2] as [UInt32])
  func interruptShadow(blocking: UInt32) throws {
    let guest = try StringIOMachine(.long64)
    guest.registers.rcx = 100
    guest.registers.rdi = 0x4_0000
    var exit = guest.exit(.in, .byte, port: StringIOMachine.scratch, rep: true)
    exit[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: blocking)
    exit[.guestRFLAGS] = RFLAGS(rawValue: 0x202)
    #expect(guest.execute(exit) == nil)
    #expect(guest.registers.rcx == 36)
    #expect(guest.processor.contents(of: .guestInterruptibilityState)?.rawValue == 0)
  }

  @Test(
    "INS and OUTS stop after the element that meets a data breakpoint, and go on",
    arguments: [
      // Direction, DR7, and at which element of two bytes: INS writes its operand, OUTS reads it.
      (.in, 0x1_0001, 3), (.in, 0x3_0001, 3), (.in, 0x0_0001, nil), (.in, 0x2_0001, nil), (.in, 0x1_0000, nil),
      (.out, 0x1_0001, nil), (.out, 0x3_0001, 3), (.in, 0xD_0001, 3),
    ] as [(IODirection, UInt64, UInt64?)])
  func dataBreakpoint(direction: IODirection, dr7: UInt64, element: UInt64?) throws {
    let guest = try StringIOMachine(.long64)
    guest.registers.rcx = 10
    (guest.registers.rdi, guest.registers.rsi) = (0x4_0000, 0x4_0000)
    guest.processor.setDebugRegister(0, to: 0x4_0005)
    var exit = guest.exit(direction, .word, port: StringIOMachine.scratch, rep: true)
    exit[.guestDR7] = DR7(rawValue: dr7 | 0x400)
    exit[.guestRIP] = 0x1000
    #expect(guest.execute(exit) == nil)
    let isMet = element != nil
    #expect(guest.registers.rcx == 10 - (element ?? 10))
    #expect(guest.vcpu.register(.rip) == (isMet ? 0x1000 : 0x1002))
    let pending = guest.processor.contents(of: .guestPendingDebugExceptions)
    #expect(pending?.rawValue == (isMet ? 0x1001 : 0))
    #expect((guest.vcpu.flags.rawValue >> 16 & 1 != 0) == isMet)
  }

  @Test("HLT with interrupts off is for ever, also while the interrupt controller requests one")
  func haltedForEver() throws {
    for isRequested in [false, true] {
      let guest = try StringIOMachine(.long64)
      for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0)] as [(UInt16, UInt32)] {
        guest.machine.bus.write(port: port, size: .byte, value: value, at: 0)
      }
      if isRequested { guest.machine.bus.setLine(1, true) }
      #expect(guest.machine.bus.interruptPending == isRequested)
      guard case .haltedForEver = guest.execute(ScriptedExit(.hlt, instructionLength: 1)) else {
        Issue.record("not stopped")
        return
      }
    }
  }
}
