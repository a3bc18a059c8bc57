import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// What the forms of `InstructionForm` do not show.
@Suite("Moves of XMM registers through MMIO") struct XMMThroughMMIOTests {
  private typealias Access = PageDevice.Access
  private static let value = XMMRegister(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)

  /// A guest with the address of byte 20H of the page in RAX and `value` in XMM1.
  private func guest(is64Bit: Bool = true) throws -> MMIOGuest {
    let guest = try MMIOGuest(is64Bit: is64Bit)
    guest.registers.rax = MMIOGuest.page + 0x20
    guest.guest.vcpu.setXMMRegister(1, to: Self.value)
    return guest
  }

  @Test("A device has one access of 4 or 8 bytes, or two of 8, the lower first")
  func accesses() throws {
    var guest = try guest()
    let start = MMIOGuest.page + 0x20
    let (low, high) = (Self.value.low, Self.value.high)
    let halves = [
      Access(address: start, byteCount: 8, stored: low), Access(address: start + 8, byteCount: 8, stored: high),
    ]
    let reads = [Access(address: start, byteCount: 8), Access(address: start + 8, byteCount: 8)]
    for (bytes, accesses) in [
      ([0x0F, 0x11, 0x08], halves), ([0x66, 0x0F, 0x7F, 0x08], halves), ([0x66, 0x0F, 0xE7, 0x08], halves),
      ([0x0F, 0x10, 0x10], reads), ([0xF3, 0x0F, 0x6F, 0x10], reads), ([0x0F, 0x28, 0x10], reads),
      ([0xF3, 0x0F, 0x11, 0x08], [Access(address: start, byteCount: 4, stored: low & 0xFFFF_FFFF)]),
      ([0x66, 0x0F, 0x7E, 0x08], [Access(address: start, byteCount: 4, stored: low & 0xFFFF_FFFF)]),
      ([0x66, 0x48, 0x0F, 0x7E, 0x08], [Access(address: start, byteCount: 8, stored: low)]),
      ([0x66, 0x0F, 0xD6, 0x08], [Access(address: start, byteCount: 8, stored: low)]),
      ([0x0F, 0x13, 0x08], [Access(address: start, byteCount: 8, stored: low)]),
      ([0x0F, 0x17, 0x08], [Access(address: start, byteCount: 8, stored: high)]),
      ([0xF3, 0x0F, 0x10, 0x10], [Access(address: start, byteCount: 4)]),
      ([0x0F, 0x12, 0x10], [Access(address: start, byteCount: 8)]),
    ] as [([UInt8], [Access])] {
      #expect(guest.emulate(bytes, at: start, linear: start) == .done)
      #expect(guest.exception() == nil && guest.rip == MMIOGuest.code + UInt64(bytes.count), "\(bytes)")
      #expect(guest.device.accesses == accesses, "\(bytes)")
    }
  }

  @Test("Code of 16 and 32 bits has the same sizes, and 66H is the operation's", arguments: [2, 4, 8])
  func sizes(code: Int) {
    let attributes = SizeAttributes(code: code, stack: code)
    for (bytes, operation, size) in [
      ([0x0F, 0x10], .movups, 16), ([0x66, 0x0F, 0x10], .movups, 16), ([0xF3, 0x0F, 0x10], .movups, 4),
      ([0xF2, 0x0F, 0x10], .movups, 8), ([0x66, 0xF2, 0x0F, 0x10], .movups, 8), ([0x66, 0x0F, 0x28], .movaps, 16),
      ([0x66, 0x0F, 0x6E], .movups, 4), ([0xF3, 0x0F, 0x7E], .movups, 8), ([0x66, 0x0F, 0x12], .movlps, 8),
      ([0x66, 0x0F, 0x16], .movhps, 8), ([0x66, 0x0F, 0x38, 0x2A], .movaps, 16),
    ] as [([UInt8], Machine.Operation, Int)] {
      // [BX + SI], or [RAX].
      let instruction = Instruction(bytes + [0x38], attributes)
      #expect(instruction?.operation == operation && instruction?.memorySize == size, "\(bytes)")
      #expect(instruction?.register.index == 7 && instruction?.isDestinationMemory == false, "\(bytes)")
    }
  }

  @Test("In 32-bit code XMM4 is not ESP, and 16-bit addresses are possible")
  func protectedMode() throws {
    var guest = try guest(is64Bit: false)
    guest.guest.vcpu.stackPointer = 0x7000
    // MOVDQU XMM4, [EAX].
    #expect(guest.emulate([0xF3, 0x0F, 0x6F, 0x20], at: MMIOGuest.page + 0x20) == .done)
    #expect(guest.exception() == nil && guest.guest.vcpu.stackPointer == 0x7000 && guest.device.accesses.count == 2)
  }

  @Test(
    "16 bytes across two pages are two halves, of which one is split where they meet, into aligned pieces",
    arguments: 1..<16 as Range<UInt64>)
  func split(count: UInt64) throws {
    var guest = try guest()
    // Memory ends where the device begins: `count` bytes are in memory.
    let end = UInt64(GuestOnModel.memorySize)
    guest.registers.rax = end - count
    #expect(guest.emulate([0x0F, 0x11, 0x08], at: end) == .done)
    for index in 0..<16 as Range<UInt64> {
      let byte =
        index < count
        ? guest.guest.memory.load(end - count + index, as: UInt8.self) : guest.device.bytes[Int(index - count)]
      #expect(byte == UInt8(index))
    }
    #expect(guest.device.accesses.allSatisfy { $0.byteCount == 8 || $0.address % UInt64($0.byteCount) == 0 })
    let total = guest.device.accesses.reduce(0) { $0 + $1.byteCount }
    #expect(total == 16 - Int(count))
    #expect(guest.emulate([0xF3, 0x44, 0x0F, 0x6F, 0x18], at: end, isWrite: false) == .done)
    #expect(guest.xmm[11] == Self.value)
  }

  @Test("A page that is not there is found before anything is stored")
  func pageFault() throws {
    var guest = try guest()
    guest.registers.rax = MMIOGuest.page + 0x1F_FFF8
    guest.setPageDirectoryEntry(MMIOGuest.page + 0x20_0000) { $0 & ~1 }
    #expect(guest.emulate([0x0F, 0x11, 0x08], at: guest.registers.rax) == .done)
    #expect(guest.exception() == [14, 2] && guest.device.accesses.isEmpty && guest.rip == MMIOGuest.code)
    #expect(guest.guest.processor.cr2 == MMIOGuest.page + 0x20_0000)
  }

  @Test(
    "What has to be aligned is #GP(0) if it is not, the rest is not",
    arguments: [
      ([0x0F, 0x28, 0x10], true), ([0x0F, 0x29, 0x08], true), ([0x0F, 0x2B, 0x08], true),
      ([0x66, 0x0F, 0x6F, 0x10], true), ([0x66, 0x0F, 0x7F, 0x08], true), ([0x66, 0x0F, 0xE7, 0x08], true),
      ([0x66, 0x0F, 0x38, 0x2A, 0x10], true), ([0x0F, 0x10, 0x10], false), ([0xF3, 0x0F, 0x7F, 0x08], false),
      ([0xF2, 0x0F, 0xF0, 0x10], false), ([0x0F, 0x16, 0x10], false), ([0x66, 0x0F, 0x6E, 0x10], false),
    ] as [([UInt8], Bool)])
  func alignment(bytes: [UInt8], isChecked: Bool) throws {
    for offset in 0..<16 as Range<UInt64> {
      var guest = try guest()
      let address = MMIOGuest.page + offset
      guest.registers.rax = address
      #expect(guest.emulate(bytes, at: address, linear: address) == .done)
      let isRefused = isChecked && offset != 0
      #expect(guest.exception() == (isRefused ? [13, 0] : nil))
      #expect(guest.device.accesses.isEmpty == isRefused)
    }
  }

  @Test(
    "SSE that the guest has not enabled is #UD, with CR0.TS #NM",
    arguments: [
      (0, 0x200, nil), (0b0100, 0x200, [6]), (0b1000, 0x200, [7]), (0b1100, 0x200, [6]), (0, 0, [6]), (0b1000, 0, [6]),
    ] as [(UInt64, UInt64, [UInt32]?)])
  func enabling(cr0: UInt64, cr4: UInt64, exception: [UInt32]?) throws {
    var guest = try guest()
    guest.guest.processor.setContents(of: .guestCR0, to: CR0(rawValue: 0x8000_0031 | cr0))
    guest.guest.processor.setContents(of: .guestCR4, to: CR4(rawValue: 0x2020 | cr4))
    #expect(guest.emulate([0x0F, 0x10, 0x10], at: MMIOGuest.page + 0x20) == .done)
    #expect(guest.exception() == exception && guest.device.accesses.isEmpty == (exception != nil))
  }
}
