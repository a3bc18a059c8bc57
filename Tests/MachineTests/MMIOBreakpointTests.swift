import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

@Suite("Data breakpoints and single steps through MMIO") struct MMIOBreakpointTests {
  private static let device = MMIOGuest.page + 0x20
  private static let memory: UInt64 = 0x2000
  private static let stack: UInt64 = 0x6000

  /// A guest with `device` in RAX and RSI, and `memory` in RDI; 8 in RCX.
  private func guest() throws -> MMIOGuest {
    let guest = try MMIOGuest()
    guest.setAccessedFlags()
    guest.registers.rax = Self.device
    (guest.registers.rsi, guest.registers.rdi, guest.registers.rcx) = (Self.device, Self.memory, 8)
    guest.guest.vcpu.stackPointer = Self.stack
    return guest
  }

  /// Enables DR`number` for 1 byte: R/W 1 is writes, 3 reads and writes.
  private func enable(_ guest: MMIOGuest, _ address: UInt64, _ kind: UInt64, number: Int = 0) {
    guest.guest.processor.setDebugRegister(number, to: address)
    let dr7 = 0x400 | 1 << UInt64(2 * number) | kind << UInt64(16 + 4 * number)
    guest.guest.processor.setContents(of: .guestDR7, to: DR7(rawValue: dr7))
  }

  private func pending(_ guest: MMIOGuest) -> UInt64 { guest.guest.contents(.guestPendingDebugExceptions).rawValue }

  @Test(
    "An operand meets a breakpoint by its address, its size, and what is done to it",
    arguments: [
      // The instruction, where its operand ends, and whether it reads and writes it.
      ([0x8B, 0x08], 4, false), ([0x89, 0x08], 4, true), ([0x48, 0x8B, 0x08], 8, false), ([0x88, 0x08], 1, true),
      ([0x01, 0x08], 4, true), ([0x03, 0x08], 4, false), ([0x39, 0x08], 4, false), ([0xF7, 0x20], 4, false),
      ([0x0F, 0x10, 0x08], 16, false), ([0x0F, 0x11, 0x08], 16, true), ([0xF3, 0x0F, 0x11, 0x08], 4, true),
      ([0x48, 0x0F, 0xC7, 0x08], 16, true), ([0x0F, 0xB6, 0x08], 1, false), ([0xFF, 0x30], 8, false),
      ([0x8F, 0x00], 8, true), ([0xA4], 1, false), ([0x0F, 0x90, 0x00], 1, true), ([0x8C, 0x18], 2, true),
    ] as [([UInt8], UInt64, Bool)])
  func operands(bytes: [UInt8], size: UInt64, isWrite: Bool) throws {
    for (address, isInside) in [
      (Self.device, true), (Self.device + size - 1, true), (Self.device - 1, false), (Self.device + size, false),
    ] {
      for kind in [1, 3] as [UInt64] {
        var guest = try guest()
        enable(guest, address, kind, number: 2)
        #expect(guest.emulate(bytes, at: Self.device, linear: Self.device) == .done)
        #expect(guest.exception() == nil && !guest.movedQuickly)
        let isMet = isInside && (kind == 3 || isWrite)
        #expect(pending(guest) == (isMet ? 0x1004 : 0), "\(bytes) \(address) \(kind)")
        #expect(guest.rip == MMIOGuest.code + UInt64(bytes.count))
      }
    }
  }

  @Test(
    "So does the second operand, in memory",
    arguments: [
      ([0xFF, 0x30], Self.stack - 8, 1), ([0xFF, 0x30], Self.stack - 1, 1), ([0xFF, 0x30], Self.stack, nil),
      ([0x8F, 0x00], Self.stack, 3), ([0x8F, 0x00], Self.stack - 1, nil), ([0xA5], Self.memory + 3, 1),
      ([0xA5], Self.memory + 4, nil), ([0xA7], Self.memory, 3),
    ] as [([UInt8], UInt64, UInt64?)])
  func secondOperands(bytes: [UInt8], address: UInt64, kind: UInt64?) throws {
    for tried in [1, 3] as [UInt64] {
      var guest = try guest()
      enable(guest, address, tried)
      #expect(guest.emulate(bytes, at: Self.device, linear: Self.device) == .done)
      let isMet = kind.map { tried >= $0 } ?? false
      #expect(pending(guest) == (isMet ? 0x1001 : 0))
    }
  }

  @Test("A single step and a breakpoint are pending together; without breakpoints a move is a quick one")
  func together() throws {
    var guest = try guest()
    enable(guest, Self.device, 3, number: 3)
    guest.guest.processor.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: 0x1_0102))
    #expect(guest.emulate([0x8B, 0x08], at: Self.device, linear: Self.device) == .done)
    #expect(pending(guest) == 0x5008 && guest.guest.vcpu.flags.rawValue == 0x102)
    guest.guest.processor.setContents(of: .guestDR7, to: DR7(rawValue: 0x400))
    #expect(guest.emulate([0x8B, 0x08], at: Self.device, linear: Self.device) == .done)
    #expect(guest.movedQuickly)
  }

  @Test("RFLAGS.RF, which the exit has saved, ends with an instruction that is stepped", arguments: [true, false])
  func resumeFlag(quickly: Bool) throws {
    var guest = try MMIOGuest()
    guest.setAccessedFlags()
    guest.guest.vcpu.flags = RFLAGS(rawValue: 0x1_0102)
    guest.registers.rax = MMIOGuest.page
    // MOV ECX, [RAX].
    for (index, byte) in ([0x8B, 0x08] as [UInt8]).enumerated() {
      _ = guest.guest.memory.store(byte, at: MMIOGuest.code + UInt64(index))
    }
    guest.guest.processor.setContents(of: .guestRIP, to: MMIOGuest.code)
    let access = OperandAccess(address: MMIOGuest.page, linearAddress: MMIOGuest.page, isWrite: false)
    #expect((quickly ? guest.emulate(access) : guest.emulateSlowly(access)) == .done)
    #expect(guest.movedQuickly == quickly && guest.rip == MMIOGuest.code + 2)
    #expect(guest.guest.vcpu.flags.rawValue == 0x102 && pending(guest) == 1 << 14)
  }

  @Test("A repeated string instruction stops after the element that meets a breakpoint, and goes on")
  func repetition() throws {
    var guest = try guest()
    enable(guest, Self.memory + 9, 1)
    #expect(guest.emulate([0xF3, 0xA5], at: Self.device, linear: Self.device) == .done)
    #expect(guest.registers.rcx == 5 && guest.rip == MMIOGuest.code && pending(guest) == 0x1001)
    #expect(guest.guest.vcpu.flags.rawValue & 1 << 16 != 0)
    guest.guest.processor.setContents(of: .guestPendingDebugExceptions, to: PendingDebugExceptions(rawValue: 0))
    #expect(guest.emulate([0xF3, 0xA5], at: Self.device + 12, linear: Self.device + 12) == .done)
    #expect(guest.registers.rcx == 0 && guest.rip == MMIOGuest.code + 2 && pending(guest) == 0)
    #expect(guest.guest.vcpu.flags.rawValue & 1 << 16 == 0)
  }

  @Test("RFLAGS.TF steps through the elements", arguments: [false, true])
  func steps(btf: Bool) throws {
    var guest = try guest()
    guest.guest.processor.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: 0x102))
    guest.guest.processor.setContents(of: .guestIA32DEBUGCTL, to: IA32DEBUGCTL(rawValue: btf ? 2 : 0))
    #expect(guest.emulate([0xF3, 0xA5], at: Self.device, linear: Self.device) == .done)
    #expect(guest.registers.rcx == (btf ? 0 : 7) && pending(guest) == (btf ? 0 : 0x4000))
  }

  @Test("An instruction that faults has met no breakpoint")
  func faults() throws {
    var guest = try guest()
    enable(guest, Self.device, 3)
    // DIV DWORD [RAX] by 0, and MOVAPS that is not aligned.
    #expect(guest.emulate([0xF7, 0x30], at: Self.device, linear: Self.device) == .done)
    #expect(guest.exception() == [0] && pending(guest) == 0)
    var other = try self.guest()
    other.registers.rax = Self.device + 8
    enable(other, Self.device + 8, 3)
    #expect(other.emulate([0x0F, 0x28, 0x00], at: Self.device + 8, linear: Self.device + 8) == .done)
    #expect(other.exception() == [13, 0] && pending(other) == 0)
  }
}
