import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// Segments of the instructions that access a device: those of their operands, and those that they load.
@Suite struct MMIOSegmentTests {
  @Test(
    "MOV to a segment register loads the descriptor, or faults as the selector says",
    arguments: [
      // The register's number, the selector, CPL, the exception or nil.
      (3, 0x10, 0, nil), (3, 0x13, 0, [13, 0x10]), (3, 0x13, 3, [13, 0x10]), (3, 0x1B, 3, nil), (0, 0x18, 0, nil),
      (2, 0x10, 0, nil), (2, 0x13, 0, [13, 0x10]), (2, 0x18, 0, [13, 0x18]), (2, 0x1B, 3, nil),
      (2, 0x08, 0, [13, 0x08]),
      (2, 0x20, 0, [12, 0x20]), (3, 0x20, 0, [11, 0x20]), (4, 0x28, 0, [13, 0x28]), (5, 0x40, 0, [13, 0x40]),
      (5, 0x14, 0, [13, 0x14]), (3, 0, 0, nil), (4, 3, 3, nil), (2, 0, 0, nil), (2, 1, 0, [13, 0]), (2, 3, 3, [13, 0]),
      (5, 0x08, 0, nil),
    ] as [(UInt8, UInt16, UInt8, [UInt32]?)])
  func segmentLoads(number: UInt8, selector: UInt16, privilegeLevel: UInt8, exception: [UInt32]?) throws {
    var guest = try MMIOGuest()
    let table: UInt64 = 0x6000
    // Null, code, data, data of CPL 3, data that is not present, code that cannot be read.
    let descriptors: [UInt64] = [
      0, 0x00AF_9B00_0000_FFFF, 0x12CF_9334_5678_FFFF, 0x00CF_F300_0000_FFFF, 0x00CF_1300_0000_FFFF,
      0x00CF_9900_0000_FFFF,
    ]
    for (index, descriptor) in descriptors.enumerated() {
      _ = guest.guest.memory.store(descriptor & ~(1 << 40), at: table + 8 * UInt64(index))
    }
    guest.guest.vcpu.setDescriptor(
      .gdtr, to: GuestDescriptor(base: table, limit: 0x37, accessRights: SegmentAccessRights(rawValue: 0)))
    guest.guest.vcpu.setDescriptor(
      .ldtr, to: GuestDescriptor(base: 0, limit: 0, accessRights: SegmentAccessRights(rawValue: 1 << 16)))
    guest.guest.vcpu.setDescriptor(
      .ss,
      to: GuestDescriptor(
        base: 0, limit: ~0, accessRights: SegmentAccessRights(rawValue: 0xC093 | UInt32(privilegeLevel) << 5)))
    for entry in 0..<3 as Range<UInt64> {
      // The code is a program's, too; the tables are the system's as well.
      let location = [0x8000, 0x9000, 0xA000][Int(entry)] as UInt64
      _ = guest.guest.memory.store((guest.guest.memory.load(location, as: UInt64.self) ?? 0) | 4, at: location)
    }
    guest.device.bytes[0] = UInt8(selector & 0xFF)
    guest.device.bytes[1] = 0
    guest.registers.rbx = MMIOGuest.page
    #expect(guest.emulate([0x8E, 0x03 | number << 3], linear: MMIOGuest.page, isWrite: false) == .done)
    #expect(guest.exception() == exception)
    #expect(guest.device.accesses == [PageDevice.Access(address: MMIOGuest.page, byteCount: 2)])
    guard exception == nil else {
      #expect(guest.rip == MMIOGuest.code)
      return
    }
    let segment = try #require(GuestSegment(rawValue: Int32(number)))
    #expect(guest.rip == MMIOGuest.code + 2 && guest.guest.vcpu.selector(segment) == selector)
    let loaded = guest.guest.vcpu.descriptor(segment)
    #expect(loaded.accessRights.unusable == (selector < 4))
    if segment == .ss { #expect(loaded.accessRights.dpl == privilegeLevel) }
    #expect(guest.guest.contents(.guestInterruptibilityState).rawValue == (segment == .ss ? 2 : 0))
    if selector & ~3 == 0x10 { #expect(loaded.base == 0x1234_5678 && loaded.limit == ~0) }
    if selector >= 4 {
      let entry = guest.guest.memory.load(table + UInt64(selector & ~7), as: UInt64.self) ?? 0
      #expect(entry >> 40 & 1 == 1, "accessed")
    }
  }

  @Test(
    "MOV to a segment register from another one loads the descriptor; where that is in a device, the guest stops",
    arguments: [[0x8E, 0xDB], [0x41, 0x8E, 0xDB], [0x8E, 0xD3]] as [[UInt8]], [0x6000, MMIOGuest.page] as [UInt64])
  func segmentLoadsFromRegisters(bytes: [UInt8], table: UInt64) throws {
    var guest = try MMIOGuest()
    _ = guest.guest.memory.store(0x12CF_9234_5678_FFFF as UInt64, at: 0x6010)
    guest.guest.vcpu.setDescriptor(
      .gdtr, to: GuestDescriptor(base: table, limit: 0x17, accessRights: SegmentAccessRights(rawValue: 0)))
    guest.registers.rbx = 0x10
    guest.registers.r11 = 0x10
    let outcome = guest.emulate(bytes, at: MMIOGuest.page + 0x10, isWrite: false)
    let segment: GuestSegment = bytes.last == 0xD3 ? .ss : .ds
    #expect(guest.exception() == nil && guest.device.accesses.isEmpty)
    if table == MMIOGuest.page {
      #expect(outcome == .missingMemory(guestPhysicalAddress: table + 0x10, isWrite: false))
      #expect(guest.rip == MMIOGuest.code)
    } else {
      #expect(outcome == .done && guest.rip == MMIOGuest.code + UInt64(bytes.count))
      #expect(guest.guest.vcpu.selector(segment) == 0x10)
      #expect(guest.guest.vcpu.descriptor(segment).base == 0x1234_5678)
      #expect(guest.guest.contents(.guestInterruptibilityState).rawValue == (segment == .ss ? 2 : 0))
    }
  }

  @Test("In real mode MOV to a segment register sets the base")
  func realModeSegments() throws {
    var guest = try MMIOGuest(is64Bit: false)
    try guest.guest.vcpu.setRegister(.cr0, to: 0x30)
    guest.registers.rbx = MMIOGuest.page
    (guest.device.bytes[0], guest.device.bytes[1]) = (0x34, 0x12)
    #expect(guest.emulate([0x8E, 0x1B], isWrite: false) == .done)
    #expect(guest.exception() == nil && guest.guest.vcpu.selector(.ds) == 0x1234)
    #expect(guest.guest.vcpu.descriptor(.ds).base == 0x1_2340)
  }

  @Test("In virtual-8086 mode code is in a data segment")
  func virtual8086() throws {
    var guest = try MMIOGuest(is64Bit: false)
    for (segment, base) in [(.cs, 0), (.ss, 0), (.ds, 0xA_0000)] as [(GuestSegment, UInt64)] {
      guest.guest.vcpu.setDescriptor(
        segment, to: GuestDescriptor(base: base, limit: 0xFFFF, accessRights: SegmentAccessRights(rawValue: 0xF3)))
    }
    guest.guest.vcpu.flags = RFLAGS(rawValue: 0x2_3002)
    guest.registers.rbx = 0
    guest.device.bytes[0] = 0x5A
    // MOV AL, [BX].
    #expect(guest.emulate([0x8A, 0x07], linear: 0xA_0000, isWrite: false) == .done)
    #expect(guest.exception() == nil && guest.rip == MMIOGuest.code + 2 && guest.registers.rax & 0xFF == 0x5A)
    #expect(guest.device.accesses == [PageDevice.Access(address: MMIOGuest.page, byteCount: 1)])
  }

  @Test("32-bit code: segments have bases and limits")
  func segments() throws {
    var guest = try MMIOGuest(is64Bit: false)
    guest.guest.vcpu.setDescriptor(
      .ds,
      to: GuestDescriptor(
        base: MMIOGuest.page, limit: 0xFFF, accessRights: SegmentAccessRights(rawValue: 0x4093)))
    guest.registers.rax = 0x100
    guest.registers.rcx = 0xAABB_CCDD
    let place = MMIOGuest.page + 0x100
    for linear in [place, nil] {
      #expect(guest.emulate([0x89, 0x08], at: place, linear: linear) == .done)
      #expect(guest.device.accesses == [PageDevice.Access(address: place, byteCount: 4, stored: 0xAABB_CCDD)])
    }
    // Another page: the limit is looked at.
    guest.registers.rax = 0xFFD
    #expect(guest.emulate([0x89, 0x08], at: place) == .done)
    #expect(guest.exception() == [13, 0])
    #expect(guest.device.accesses.isEmpty)
  }
}
