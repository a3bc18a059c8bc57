import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// A page of bytes that notes its accesses.
struct PageDevice: MMIODevice {
  /// An access: where, how many bytes, and what was written.
  struct Access: Equatable {
    var address: UInt64
    var byteCount: Int
    var stored: UInt64?
  }

  var bytes = [UInt8](repeating: 0, count: 4096)
  var accesses: [Access] = []
  var elementsUntilInterrupt = Int.max
  var coveredPage: UInt64?

  func covers(page: UInt64) -> Bool { page == coveredPage }

  mutating func load(_ address: UInt64, byteCount: Int) -> UInt64 {
    accesses.append(Access(address: address, byteCount: byteCount))
    return (0..<byteCount).reversed().reduce(0) { $0 << 8 | UInt64(bytes[Int(address & 0xFFF) + $1]) }
  }

  mutating func store(_ value: UInt64, at address: UInt64, byteCount: Int) {
    accesses.append(Access(address: address, byteCount: byteCount, stored: value))
    for index in 0..<byteCount {
      bytes[Int(address & 0xFFF) + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
  }

  var interruptsRepetition: Bool { accesses.count >= elementsUntilInterrupt }
}

/// A guest that executes instructions at `code`, with a device in the page at `page`.
struct MMIOGuest {
  let guest: GuestOnModel
  var device = PageDevice()
  /// Whether the last emulation was a quick one.
  var movedQuickly = false
  static let code: UInt64 = 0x1000
  static let page: UInt64 = 0x4000_0000
  private static let tables: UInt64 = 0x8000

  /// 64-bit code, with linear addresses that are physical ones; or flat 32-bit code without paging.
  init(_ configuration: ProcessorModel.Configuration = .skylakeX, is64Bit: Bool = true) throws {
    guest = try GuestOnModel(configuration)
    _ = IdentityPageTables.write(to: guest.memory, at: Self.tables)
    guest.vcpu.start(LinuxEntry(rip: Self.code, rsi: 0, rsp: 0x7000, cr3: Self.tables, gdtBase: 0, gdtLimit: 0))
    if !is64Bit { try leave64BitMode() }
    // SSE, in the host and in the guest: CR4.OSFXSR.
    guest.processor.cr4 |= 1 << 9
    guest.processor.setContents(of: .guestCR4, to: CR4(rawValue: guest.contents(.guestCR4).rawValue | 1 << 9))
  }

  /// Flat 32-bit code without paging.
  func leave64BitMode() throws {
    try guest.vcpu.setRegister(.efer, to: 0)
    try guest.vcpu.setRegister(.cr0, to: 0x31)
    guest.vcpu.setDescriptor(
      .cs, to: GuestDescriptor(base: 0, limit: ~0, accessRights: SegmentAccessRights(rawValue: 0xC09B)))
  }

  var registers: GuestRegisters {
    get { guest.vcpu.registers.pointee }
    nonmutating set { guest.vcpu.registers.pointee = newValue }
  }

  /// XMM0 to XMM15.
  var xmm: [XMMRegister] {
    get { (0..<16).map { guest.vcpu.xmmRegister($0) } }
    nonmutating set { for number in 0..<16 { guest.vcpu.setXMMRegister(number, to: newValue[number]) } }
  }

  var rip: UInt64 { guest.vcpu.instructionPointer }

  /// The exception that the guest will get: vector, error code.
  mutating func exception() -> [UInt32]? {
    guard guest.vcpu.needsEventPreparation, guest.vcpu.prepareEvents(externalInterruptRequested: false) == .ready else {
      return nil
    }
    let event = guest.contents(.vmEntryInterruptionInformation)
    return [UInt32(event.vector)] + (event.deliverErrorCode ? [guest.contents(.vmEntryExceptionErrorCode)] : [])
  }

  /// Puts `bytes` where RIP is and emulates them.
  mutating func emulate(
    _ bytes: [UInt8], at address: UInt64 = page, linear: UInt64? = nil, isWrite: Bool = true, rip: UInt64 = code
  ) -> MMIOOutcome {
    for (index, byte) in bytes.enumerated() { _ = guest.memory.store(byte, at: rip + UInt64(index)) }
    guest.processor.setContents(of: .guestRIP, to: rip)
    device.accesses = []
    return emulate(OperandAccess(address: address, linearAddress: linear, isWrite: isWrite))
  }

  /// Emulates what is at RIP, quickly if that is possible.
  mutating func emulate(_ access: OperandAccess) -> MMIOOutcome {
    movedQuickly = guest.vcpu.moveQuickly(access, on: &device, physicalAddressWidth: 39, in: guest.memory)
    return movedQuickly ? .done : emulateSlowly(access)
  }

  /// Emulates what is at RIP as any instruction.
  mutating func emulateSlowly(_ access: OperandAccess) -> MMIOOutcome {
    let translation = guest.vcpu.linearAddressTranslation(physicalAddressWidth: 39, has1GBPages: false)
    return guest.vcpu.emulateMMIO(access, on: &device, translation, in: guest.memory)
  }

  /// Sets the accessed flags of what maps the code, which a processor that executes it has done.
  func setAccessedFlags() {
    for location in [Self.tables, Self.tables + 0x1000] {
      _ = guest.memory.store((guest.memory.load(location, as: UInt64.self) ?? 0) | 0x20, at: location)
    }
    setPageDirectoryEntry(0) { $0 | 0x20 }
  }

  /// Changes the page-directory entry of the 2 MiB at `address`.
  func setPageDirectoryEntry(_ address: UInt64, _ change: (UInt64) -> UInt64) {
    let location = Self.tables + 0x2000 + (address >> 30) * 0x1000 + (address >> 21 & 511) * 8
    let entry = guest.memory.load(location, as: UInt64.self) ?? 0
    _ = guest.memory.store(change(entry), at: location)
  }
}
