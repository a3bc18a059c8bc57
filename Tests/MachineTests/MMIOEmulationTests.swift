import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

extension ProcessorModel.Configuration {
  /// With or without TZCNT and LZCNT.
  fileprivate static func skylakeX(hasBitCounts: Bool) -> Self {
    var configuration = skylakeX
    let (bmi1, lzcnt): (UInt32, UInt32) = (1 << 3, 1 << 5)
    let leaf7 = configuration.cpuid[.init(7)]?.ebx ?? 0
    configuration.cpuid[.init(7)]?.ebx = hasBitCounts ? leaf7 | bmi1 : leaf7 & ~bmi1
    let extended = configuration.cpuid[.init(0x8000_0001)]?.ecx ?? 0
    configuration.cpuid[.init(0x8000_0001)]?.ecx = hasBitCounts ? extended | lzcnt : extended & ~lzcnt
    return configuration
  }
}

@Suite struct MMIOEmulationTests {
  @Test(
    "Every form does to a device's page, registers and flags what it does to memory", arguments: InstructionForm.all)
  func forms(form: InstructionForm) throws {
    var guest = try MMIOGuest(.skylakeX(hasBitCounts: true))
    let fsBase: UInt64 = 0x1234_5678
    guest.guest.processor.setContents(of: .guestFSBase, to: fsBase)
    var random = RandomNumbers(seed: 1 + form.name.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })
    for round in 0..<20 {
      let instruction = RandomInstruction(
        form, target: MMIOGuest.page, code: MMIOGuest.code, fsBase: fsBase, using: &random)
      if instruction.bytes.count > InstructionBytes.limit { continue }
      let decoded = try #require(Instruction(instruction.bytes))
      for index in guest.device.bytes.indices { guest.device.bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
      var expected = EmulatedProcessor(
        registers: instruction.registers, flags: instruction.flags, xmm: instruction.xmm, memory: guest.device.bytes,
        start: MMIOGuest.page, fsBase: fsBase)
      expected.selectors = [.es, .cs, .ss, .ds, .fs, .gs].map { guest.guest.vcpu.selector($0) }
      expected.execute(decoded, rip: MMIOGuest.code)

      var linear: UInt64 = 0
      withUnsafeMutablePointer(to: &guest.guest.vcpu.registers.pointee) { pointer in
        let file = RegisterFile(pointer)
        for index in 0..<16 as Range<UInt8> { file[index] = instruction.registers[Int(index)] }
        linear = decoded.effectiveAddress(file, rip: MMIOGuest.code)
        if decoded.memory.segment == .fs { linear &+= fsBase }
      }
      guest.xmm = instruction.xmm
      guest.guest.vcpu.stackPointer = instruction.registers[4]
      guest.guest.vcpu.flags = RFLAGS(rawValue: instruction.flags)
      let outcome = guest.emulate(
        instruction.bytes, at: linear, linear: round % 2 == 0 ? linear : nil, isWrite: round % 3 != 0)
      #expect(outcome == .done)
      if expected.hasDivideError {
        #expect(guest.exception() == [0] && guest.rip == MMIOGuest.code)
        continue
      }
      #expect(guest.exception() == nil)
      let file = RegisterFile(guest.guest.vcpu.registers)
      for index in 0..<16 as Range<UInt8> where index != 4 {
        #expect(file[index] == expected.registers[Int(index)], "\(form.name) \(instruction.bytes)")
      }
      #expect(guest.xmm == expected.xmm, "\(form.name) \(instruction.bytes)")
      #expect(guest.guest.vcpu.stackPointer == expected.registers[4])
      #expect(guest.guest.vcpu.flags.rawValue == expected.flags)
      #expect(guest.device.bytes == expected.memory, "\(form.name) \(instruction.bytes)")
      #expect(guest.rip == MMIOGuest.code + UInt64(instruction.bytes.count))
    }
  }

  @Test("A device has one access for each of the operand's: its size, its value and no more")
  func accesses() throws {
    typealias Access = PageDevice.Access
    var guest = try MMIOGuest()
    let page = MMIOGuest.page
    guest.registers.rax = page + 0x20
    for (bytes, accesses) in [
      ([0x8B, 0x08], [Access(address: page + 0x20, byteCount: 4)]),
      ([0x89, 0x48, 0x04], [Access(address: page + 0x24, byteCount: 4, stored: 0x5566_7788)]),
      ([0xC7, 0x80, 0, 1, 0, 0, 4, 3, 2, 0x81], [Access(address: page + 0x120, byteCount: 4, stored: 0x8102_0304)]),
      ([0x89, 0x0C, 0x25, 0x30, 0, 0, 0x40], [Access(address: page + 0x30, byteCount: 4, stored: 0x5566_7788)]),
      ([0x48, 0x8B, 0x48, 0x08], [Access(address: page + 0x28, byteCount: 8)]),
      ([0x66, 0xC7, 0x00, 0xFE, 0xFF], [Access(address: page + 0x20, byteCount: 2, stored: 0xFFFE)]),
      ([0xC6, 0x00, 0x80], [Access(address: page + 0x20, byteCount: 1, stored: 0x80)]),
      (
        [0xF0, 0x83, 0x08, 0xFF],
        [Access(address: page + 0x20, byteCount: 4), Access(address: page + 0x20, byteCount: 4, stored: 0xFFFF_FFFF)]
      ),
    ] as [([UInt8], [Access])] {
      guest.registers.rcx = 0x1122_3344_5566_7788
      #expect(guest.emulate(bytes, at: accesses[0].address, linear: accesses[0].address) == .done)
      #expect(guest.device.accesses == accesses)
    }
  }

  @Test("A quick move does what the emulation of any instruction does", arguments: 0..<8 as Range<UInt64>)
  func quickMoves(seed: UInt64) throws {
    var quick = try MMIOGuest()
    var slow = try MMIOGuest()
    for guest in [quick, slow] { guest.setAccessedFlags() }
    var random = RandomNumbers(seed: seed)
    var count = 0
    for _ in 0..<200 {
      var bytes = (0..<12).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      bytes[0] = 0x40 | bytes[0] & 0xF
      bytes[1] = [0x8B, 0x89, 0xC7][Int(random.next() % 3)]
      if bytes[1] == 0xC7 { bytes[2] &= 0xC7 }
      // Mostly without SIB byte, with a displacement of a byte or none.
      if random.chance(80) { bytes[2] = bytes[2] & 0x7F }
      let base = MMIOGuest.page + random.next() % 0x1000
      let access = OperandAccess(
        address: base, linearAddress: random.chance(50) ? base : nil, isWrite: random.chance(70))
      let value = random.next()
      let interruptibility = GuestInterruptibilityState(rawValue: UInt32(random.next() & 1))
      let flags = RFLAGS(rawValue: 2 | (random.chance(20) ? 0x100 : 0))
      for guest in [quick, slow] {
        for (index, byte) in bytes.enumerated() {
          _ = guest.guest.memory.store(byte, at: MMIOGuest.code + UInt64(index))
        }
        let file = RegisterFile(guest.guest.vcpu.registers)
        for index in 0..<16 as Range<UInt8> { file[index] = base &+ UInt64(index) << 32 }
        if let number = Instruction(bytes)?.memory.base {
          let displacement = Instruction(bytes)?.memory.displacement ?? 0
          file[number] = base &- displacement
        }
        guest.guest.processor.setContents(of: .guestRIP, to: MMIOGuest.code)
        guest.guest.processor.setContents(of: .guestRFLAGS, to: flags)
        guest.guest.processor.setContents(of: .guestInterruptibilityState, to: interruptibility)
        guest.guest.processor.setContents(of: .guestPendingDebugExceptions, to: PendingDebugExceptions(rawValue: 0))
      }
      for index in 0..<4096 { quick.device.bytes[index] = UInt8(truncatingIfNeeded: value &+ UInt64(index)) }
      slow.device.bytes = quick.device.bytes
      (quick.device.accesses, slow.device.accesses) = ([], [])
      guard quick.guest.vcpu.moveQuickly(access, on: &quick.device, physicalAddressWidth: 39, in: quick.guest.memory)
      else {
        #expect(quick.device.accesses.isEmpty && quick.rip == MMIOGuest.code)
        continue
      }
      count += 1
      #expect(slow.emulateSlowly(access) == .done)
      #expect(quick.device.accesses == slow.device.accesses, "\(bytes)")
      #expect(quick.device.bytes == slow.device.bytes)
      let (file, other) = (RegisterFile(quick.guest.vcpu.registers), RegisterFile(slow.guest.vcpu.registers))
      for index in 0..<16 as Range<UInt8> where index != 4 { #expect(file[index] == other[index], "\(bytes)") }
      #expect(quick.rip == slow.rip && quick.rip != MMIOGuest.code)
      #expect(
        quick.guest.contents(.guestPendingDebugExceptions).rawValue
          == slow.guest.contents(.guestPendingDebugExceptions).rawValue)
      #expect(
        quick.guest.contents(.guestInterruptibilityState).rawValue
          == slow.guest.contents(.guestInterruptibilityState).rawValue)
    }
    #expect(count > 60)
  }

  @Test("What a quick move is not for is left to the emulation of any instruction, with nothing changed")
  func notQuick() throws {
    let move: [UInt8] = [0x8B, 0x08]
    let cases: [(String, [UInt8], UInt64, (inout MMIOGuest) throws -> Void)] = [
      ("nothing unusual", move, MMIOGuest.page, { _ in }),
      ("another instruction", [0x03, 0x08], MMIOGuest.page, { _ in }),
      ("another operand", move, MMIOGuest.page + 4, { _ in }),
      ("the end of a page", move, MMIOGuest.page, { $0.guest.processor.setContents(of: .guestRIP, to: 0x1FF1) }),
      ("a segment", [0x65, 0x8B, 0x08], MMIOGuest.page, { _ in }),
      ("32-bit code", move, MMIOGuest.page, { try $0.leave64BitMode() }),
      (
        "5-level paging", move, MMIOGuest.page,
        { $0.guest.processor.setContents(of: .guestCR4, to: CR4(rawValue: 0x1020)) }
      ),
      ("a page that was not accessed", move, MMIOGuest.page, { $0.setPageDirectoryEntry(0) { $0 & ~0x20 } }),
      ("code that cannot be executed", move, MMIOGuest.page, { $0.setPageDirectoryEntry(0) { $0 | 1 << 63 } }),
    ]
    for (name, bytes, linear, change) in cases {
      var guest = try MMIOGuest()
      guest.setAccessedFlags()
      guest.guest.processor.setContents(of: .guestRIP, to: MMIOGuest.code)
      guest.registers.rax = MMIOGuest.page
      try change(&guest)
      let rip = guest.rip
      for (index, byte) in bytes.enumerated() { _ = guest.guest.memory.store(byte, at: rip + UInt64(index)) }
      let access = OperandAccess(address: linear, linearAddress: linear, isWrite: false)
      let moved = guest.guest.vcpu.moveQuickly(
        access, on: &guest.device, physicalAddressWidth: 39, in: guest.guest.memory)
      let isUsual = name == cases[0].0
      #expect(moved == isUsual && guest.device.accesses.isEmpty != isUsual && (guest.rip != rip) == isUsual, "\(name)")
    }
  }

  @Test("MOVS between memory and the device, 64 elements an exit, and then the interrupt shadow has ended")
  func repetition() throws {
    var guest = try MMIOGuest()
    for index in 0..<400 as Range<UInt64> {
      #expect(guest.guest.memory.store(UInt8(truncatingIfNeeded: index), at: 0x2000 + index))
    }
    (guest.registers.rsi, guest.registers.rdi, guest.registers.rcx) = (0x2000, MMIOGuest.page, 100)
    guest.guest.processor.setContents(of: .guestInterruptibilityState, to: GuestInterruptibilityState(rawValue: 1))
    #expect(guest.emulate([0xF3, 0xA5], linear: MMIOGuest.page) == .done)
    #expect(guest.registers.rcx == 36 && guest.rip == MMIOGuest.code)
    #expect(guest.guest.contents(.guestInterruptibilityState).rawValue == 0)
    #expect(guest.emulate([0xF3, 0xA5], at: MMIOGuest.page + 256, linear: MMIOGuest.page + 256) == .done)
    #expect(guest.registers.rcx == 0 && guest.rip == MMIOGuest.code + 2)
    #expect((0..<400).allSatisfy { guest.device.bytes[$0] == UInt8(truncatingIfNeeded: $0) })

    (guest.registers.rsi, guest.registers.rdi, guest.registers.rcx) = (MMIOGuest.page + 8, 0x3000, 10)
    guest.device.elementsUntilInterrupt = 3
    #expect(guest.emulate([0xF3, 0xA4], at: MMIOGuest.page + 8, linear: MMIOGuest.page + 8, isWrite: false) == .done)
    #expect(guest.registers.rcx == 7 && guest.registers.rdi == 0x3003 && guest.rip == MMIOGuest.code)
    #expect(guest.guest.memory.load(0x3000, as: UInt32.self) == 0x000A_0908)
    guest.registers.rcx = 0
    #expect(guest.emulate([0xF3, 0xA4]) == .done)
    #expect(guest.device.accesses.isEmpty && guest.rip == MMIOGuest.code + 2)
  }

  @Test("An operand across two pages is split where they meet, into aligned pieces")
  func split() throws {
    typealias Access = PageDevice.Access
    var guest = try MMIOGuest()
    // Memory ends where the device begins.
    let end = UInt64(GuestOnModel.memorySize)
    guest.registers.rax = end - 3
    guest.registers.rcx = 0x1122_3344_5566_7788
    #expect(guest.emulate([0x48, 0x89, 0x08], at: end) == .done)
    #expect(guest.guest.memory.load(end - 4, as: UInt32.self) == 0x6677_8800)
    #expect(
      guest.device.accesses == [
        Access(address: end, byteCount: 4, stored: 0x2233_4455), Access(address: end + 4, byteCount: 1, stored: 0x11),
      ])
    #expect(guest.emulate([0x48, 0x8B, 0x10], at: end, isWrite: false) == .done)
    #expect(guest.registers.rdx == 0x1122_3344_5566_7788)
    #expect(guest.device.accesses == [Access(address: end, byteCount: 4), Access(address: end + 4, byteCount: 1)])
  }

  @Test("A page that the device covers is the device's, although there is memory")
  func covered() throws {
    var guest = try MMIOGuest()
    (guest.registers.rsi, guest.registers.rdi) = (MMIOGuest.page, 0x5000)
    guest.device.coveredPage = 0x5000
    #expect(guest.emulate([0xA4], linear: MMIOGuest.page) == .done)
    #expect(guest.device.accesses.map(\.address) == [MMIOGuest.page, 0x5000])
  }

  @Test(
    "What is no instruction, or none that is emulated, changes nothing",
    arguments: [
      ([0xF0, 0x89, 0x08], .done, [6]), ([0x0F, 0x0B], .done, [6]),
      ([UInt8](repeating: 0x66, count: 14) + [0x89, 0x08], .done, [13, 0]), ([0x89, 0xC8], .done, nil),
    ] as [([UInt8], MMIOOutcome, [UInt32]?)])
  func refused(bytes: [UInt8], outcome: MMIOOutcome, exception: [UInt32]?) throws {
    var guest = try MMIOGuest()
    #expect(guest.emulate(bytes) == outcome)
    #expect(guest.exception() == exception)
    #expect(guest.device.accesses.isEmpty && guest.rip == MMIOGuest.code)
  }

  @Test("An unsupported instruction is returned with its bytes")
  func unsupported() throws {
    var guest = try MMIOGuest()
    guard case .unsupported(let bytes) = guest.emulate([0x0F, 0x00, 0x00]) else {
      Issue.record("not unsupported")
      return
    }
    #expect(bytes.quadword(at: 0) & 0xFF_FFFF == 0x00_000F)
    #expect(guest.exception() == nil && guest.rip == MMIOGuest.code)
  }

  @Test(
    "What takes 10 bytes of a device or more is #UD: x87, MMX, SSE that calculates, AVX, FXSAVE, XSAVE, LGDT, LSS",
    arguments: [
      [0xD9, 0x00], [0x0F, 0x58, 0x00], [0x0F, 0x6F, 0x00], [0xF3, 0x0F, 0x12, 0x00],
      [0xC5, 0xF8, 0x10, 0x00], [0x0F, 0xAE, 0x00],
      [0x0F, 0xAE, 0x20], [0x0F, 0x01, 0x10], [0x0F, 0xB2, 0x00], [0x62, 0xF1, 0x7C, 0x48, 0x10, 0x00],
      [0x0F, 0x3A, 0x0F, 0x00, 0x01], [0x0F, 0xC7, 0x20],
    ] as [[UInt8]])
  func undefined(bytes: [UInt8]) throws {
    var guest = try MMIOGuest()
    #expect(guest.emulate(bytes) == .done)
    #expect(guest.exception() == [6] && guest.device.accesses.isEmpty && guest.rip == MMIOGuest.code)
  }

  @Test("CMPXCHG16B of an operand that is not aligned is #GP(0)")
  func unaligned() throws {
    var guest = try MMIOGuest()
    guest.registers.rax = MMIOGuest.page + 8
    #expect(guest.emulate([0x48, 0x0F, 0xC7, 0x08], at: MMIOGuest.page + 8) == .done)
    #expect(guest.exception() == [13, 0] && guest.device.accesses.isEmpty)
  }

  @Test(
    "DIV and IDIV: #DE for 0 and for a quotient that does not fit, and only then",
    arguments: [
      // Size, IDIV, rDX, rAX, divisor, quotient and remainder or nil.
      (1, false, 0, 0x1FF, 2, (0xFF, 1)), (1, false, 0, 0x200, 2, nil), (1, true, 0, 0xFF00, 2, (0x80, 0)),
      (1, true, 0, 0xFEFE, 2, nil), (1, true, 0, 0xFF, 2, (0x7F, 1)), (1, true, 0, 0x100, 2, nil),
      (2, false, 1, 0, 2, (0x8000, 0)), (2, false, 2, 0, 2, nil), (4, false, 1, 0, 0, nil),
      (4, true, 0xFFFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, nil), (4, true, 0xFFFF_FFFF, 0x8000_0000, 1, (0x8000_0000, 0)),
      (4, true, 0xFFFF_FFFF, 0xFFFF_FFF9, 2, (0xFFFF_FFFD, 0xFFFF_FFFF)),
      (8, false, 1, 0, 2, (1 << 63, 0)), (8, false, 2, 0, 2, nil), (8, true, ~0, 1 << 63, 1, (1 << 63, 0)),
      (8, true, ~0, 1 << 63, ~0, nil), (8, true, 1 << 63, 0, ~0, nil), (8, true, 0, 7, ~1, (~2, 1)),
      (8, true, 0, 0, 0, nil),
    ] as [(Int, Bool, UInt64, UInt64, UInt64, (UInt64, UInt64)?)])
  func division(
    size: Int, isSigned: Bool, rdx: UInt64, rax: UInt64, divisor: UInt64, result: (UInt64, UInt64)?
  ) throws {
    var guest = try MMIOGuest()
    let prefixes: [UInt8] = size == 2 ? [0x66] : size == 8 ? [0x48] : []
    // DIV or IDIV [RBX].
    let bytes = prefixes + [size == 1 ? 0xF6 : 0xF7, isSigned ? 0x3B : 0x33]
    (guest.registers.rax, guest.registers.rdx, guest.registers.rbx) = (rax, rdx, MMIOGuest.page)
    for index in 0..<8 { guest.device.bytes[index] = UInt8(truncatingIfNeeded: divisor >> UInt64(8 * index)) }
    #expect(guest.emulate(bytes, isWrite: false) == .done)
    #expect(guest.exception() == (result == nil ? [0] : nil))
    guard let (quotient, remainder) = result else {
      #expect(guest.registers.rax == rax && guest.registers.rdx == rdx && guest.rip == MMIOGuest.code)
      return
    }
    if size == 1 {
      #expect(guest.registers.rax == remainder << 8 | quotient)
    } else {
      #expect(guest.registers.rax == quotient && guest.registers.rdx == remainder)
    }
  }

  @Test("PUSH and POP of a register whose stack is in a device stop the guest; with LOCK they are #UD")
  func stackInDevice() throws {
    for bytes in [[0xFF, 0xF0], [0x41, 0xFF, 0xF7], [0x8F, 0xC0], [0x66, 0x8F, 0xC7]] as [[UInt8]] {
      var guest = try MMIOGuest()
      let outcome = guest.emulate(bytes)
      guard case .unsupported = outcome else {
        Issue.record("\(bytes): \(outcome)")
        continue
      }
      #expect(guest.emulate([0xF0] + bytes) == .done)
      #expect(guest.exception() == [6] && guest.rip == MMIOGuest.code)
    }
  }

  @Test(
    "XLAT loads AL by AL from its table",
    arguments: [
      // Code of 64 bits or 32, the instruction, RBX, RAX, the linear address.
      (true, [0xD7], MMIOGuest.page, 0x1234_56FF, MMIOGuest.page + 0xFF),
      (true, [0x65, 0xD7], 0x1000, 0x7F, MMIOGuest.page + 0x107F),
      (true, [0x67, 0xD7], 0x9_FFFF_FFFF, 2, 1), (false, [0xD7], 0x9_0000_1000, 0x102, 0x1002),
      (false, [0x67, 0xD7], 0x7_FFFF, 0x80, 0x7F), (true, [0x48, 0xF3, 0xD7], 0, 0x80, 0x80),
    ] as [(Bool, [UInt8], UInt64, UInt64, UInt64)])
  func xlat(is64Bit: Bool, bytes: [UInt8], rbx: UInt64, rax: UInt64, linear: UInt64) throws {
    var guest = try MMIOGuest(is64Bit: is64Bit)
    guest.guest.processor.setContents(of: .guestGSBase, to: MMIOGuest.page)
    (guest.registers.rbx, guest.registers.rax) = (rbx, rax)
    let address = MMIOGuest.page | linear & 0xFFF
    guest.device.bytes[Int(linear & 0xFFF)] = 0x5A
    let flags = guest.guest.vcpu.flags.rawValue
    #expect(guest.emulate(bytes, at: address, linear: linear, isWrite: false) == .done)
    #expect(guest.exception() == nil && guest.rip == MMIOGuest.code + UInt64(bytes.count))
    #expect(guest.device.accesses == [PageDevice.Access(address: address, byteCount: 1)])
    #expect(guest.registers.rax == rax & ~0xFF | 0x5A && guest.registers.rbx == rbx)
    #expect(guest.guest.vcpu.flags.rawValue == flags)
  }

  @Test("TZCNT and LZCNT are BSF and BSR to a processor that does not have them", arguments: [false, true])
  func bitCounts(hasThem: Bool) throws {
    var guest = try MMIOGuest(.skylakeX(hasBitCounts: hasThem))
    guest.registers.rax = MMIOGuest.page
    for (opcode, value, count, index) in [(0xBC, 0x28, 3, 3), (0xBD, 0x28, 26, 5), (0xBC, 0, 32, 7), (0xBD, 0, 32, 7)]
      as [(UInt8, UInt8, UInt64, UInt64)]
    {
      guest.device.bytes[0] = value
      guest.registers.rcx = 7
      guest.guest.vcpu.flags = RFLAGS(rawValue: 2)
      #expect(guest.emulate([0xF3, 0x0F, opcode, 0x08], isWrite: false) == .done)
      #expect(guest.registers.rcx == (hasThem ? count : index))
      #expect(guest.guest.vcpu.flags.cf == (hasThem && value == 0))
      #expect(guest.guest.vcpu.flags.zf == (!hasThem && value == 0))
    }
  }

  @Test("Where a code page is missing there is a page fault at its beginning, with the fetch's error code")
  func fetchFault() throws {
    var guest = try MMIOGuest()
    guest.registers.rax = MMIOGuest.page
    let tables: UInt64 = 0x1_0000
    // A page table: linear 0x40_0000 is 0x1_2000, and what follows is not present.
    #expect(guest.guest.memory.store(UInt64(0x1_2003), at: tables))
    guest.setPageDirectoryEntry(0x40_0000) { _ in tables | 3 }
    for (index, byte) in ([0x8B, 0x08, 0x8B] as [UInt8]).enumerated() {
      #expect(guest.guest.memory.store(byte, at: 0x1_2FFD + UInt64(index)))
    }
    // The first ends with the page; of the last one the rest is there then, elsewhere.
    for (rip, exception) in [(0x40_0FFD, nil), (0x40_0FFE, [14, 0]), (0x40_0FFF, [14, 0]), (0x40_0FFF, nil)]
      as [(UInt64, [UInt32]?)]
    {
      if rip == 0x40_0FFF && exception == nil {
        #expect(guest.guest.memory.store(UInt64(0x3_0003), at: tables + 8))
        #expect(guest.guest.memory.store(UInt8(0x08), at: 0x3_0000))
      }
      guest.guest.processor.setContents(of: .guestRIP, to: rip)
      let access = OperandAccess(address: MMIOGuest.page, linearAddress: MMIOGuest.page, isWrite: false)
      #expect(guest.emulate(access) == .done)
      #expect(guest.exception() == exception)
      #expect(guest.rip == (exception == nil ? rip + 2 : rip))
    }
    #expect(guest.guest.processor.cr2 == 0x40_1000)
  }

  @Test("An operand that the exit has not checked is checked: page faults, canonical addresses")
  func faults() throws {
    var guest = try MMIOGuest()
    // Read-only.
    guest.setPageDirectoryEntry(MMIOGuest.page) { $0 & ~2 }
    guest.registers.rax = MMIOGuest.page
    try guest.guest.vcpu.setRegister(.cr0, to: guest.guest.vcpu.register(.cr0) | 1 << 16)
    #expect(guest.emulate([0x01, 0x08], linear: MMIOGuest.page, isWrite: false) == .done)
    #expect(guest.exception() == [14, 3])
    #expect(guest.guest.processor.cr2 == MMIOGuest.page)
    #expect(guest.emulate([0x03, 0x08], linear: MMIOGuest.page, isWrite: false) == .done)
    #expect(guest.exception() == nil)
    (guest.registers.rsi, guest.registers.rdi) = (MMIOGuest.page, 1 << 47)
    #expect(guest.emulate([0xA4], linear: MMIOGuest.page, isWrite: false) == .done)
    #expect(guest.exception() == [13, 0])
    #expect(guest.device.accesses.isEmpty && guest.registers.rsi == MMIOGuest.page && guest.rip == MMIOGuest.code)
  }
}
