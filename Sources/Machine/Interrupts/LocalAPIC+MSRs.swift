import VMCS
import VMX

// IA32_APIC_BASE, IA32_TSC_DEADLINE, and the registers of x2APIC mode (SDM, "x2APIC Register Address Space" and
// "x2APIC Register Availability").
extension LocalAPIC {
  // MARK: RDMSR

  /// RDMSR of `index`.
  ///
  /// - Parameter now: the host's time-stamp counter.
  /// - Returns: EDX:EAX; `nil` for #GP(0): outside of x2APIC mode, for a register that does not exist, for one that can
  ///   only be written, and for an MSR that is none of the local APIC's.
  public mutating func readMSR(_ index: UInt32, at now: UInt64) -> UInt64? {
    switch index {
    case MSR.ia32APICBASE.rawValue: return base
    case MSR.ia32TSCDEADLINE.rawValue: return timestampDeadline
    case 0x800..<0x840: break
    default: return nil
    }
    let offset = Int(index & 0x3F) * 16
    guard mode == .x2APIC, Self.exists(offset, in: LocalAPICRegister.readableByMSR) else { return nil }
    let value = UInt64(readExisting(offset, at: now))
    return offset == LocalAPICRegister.interruptCommand ? UInt64(load(offset + 4)) << 32 | value : value
  }

  // MARK: WRMSR

  /// WRMSR of `value` to `index`.
  ///
  /// - Parameter now: the host's time-stamp counter.
  @inlinable @inline(__always)
  public mutating func writeMSR(_ index: UInt32, _ value: UInt64, at now: UInt64) -> LocalAPICEffect {
    if index == 0x80B && mode == .x2APIC && value == 0 {
      if let vector = endOfInterrupt() { return .endOfInterrupt(vector: vector) }
      return .none
    }
    if index == MSR.ia32TSCDEADLINE.rawValue { return writeTimestampDeadline(value, at: now) }
    if index == 0x83F && mode == .x2APIC && value <= 0xFF { return sendToSelf(UInt8(truncatingIfNeeded: value)) }
    return writeOtherMSR(index, value, at: now)
  }

  @inline(never) @usableFromInline
  mutating func writeOtherMSR(_ index: UInt32, _ value: UInt64, at now: UInt64) -> LocalAPICEffect {
    if index == MSR.ia32APICBASE.rawValue { return writeBase(value) }
    guard mode == .x2APIC, index >= 0x800, index < 0x840 else { return .generalProtection }
    let offset = Int(index & 0x3F) * 16
    guard value & ~Self.allowedBits(of: offset) == 0 else { return .generalProtection }
    let low = UInt32(truncatingIfNeeded: value)
    switch offset {
    case LocalAPICRegister.interruptCommand: return writeInterruptCommand(value)
    case LocalAPICRegister.taskPriority: return write(offset: offset, low, at: now)
    default: return writeShared(offset, low, at: now) ?? .generalProtection
    }
  }

  /// The bits that WRMSR may set in x2APIC mode: those that software can write, and those that are read-only in a
  /// register that it can write.
  private static func allowedBits(of offset: Int) -> UInt64 {
    switch offset {
    case LocalAPICRegister.taskPriority: 0xFF
    // ESR takes 0 alone. What EOI and SELF IPI take does not get here.
    case LocalAPICRegister.spuriousInterruptVector: UInt64(spuriousInterruptBits)
    // Bit 12 was the delivery status.
    case LocalAPICRegister.interruptCommand: 0xFFFF_FFFF_000C_DFFF
    case LocalAPICRegister.timer...LocalAPICRegister.error:
      UInt64(writableBits(of: offset) | readOnlyBits(of: offset))
    case LocalAPICRegister.initialCount: 0xFFFF_FFFF
    case LocalAPICRegister.divideConfiguration: 0xB
    default: 0
    }
  }

  /// WRMSR to IA32_APIC_BASE (SDM, "x2APIC State Transitions").
  ///
  /// A disabled APIC forgets all its registers. Bit 8, the BSP flag, is kept as software writes it.
  private mutating func writeBase(_ value: UInt64) -> LocalAPICEffect {
    guard value & reservedBaseBits == 0, let next = LocalAPICMode(base: value), mode.canBecome(next) else {
      return .generalProtection
    }
    if value == base { return .none }
    base = value
    guard next != mode else { return .baseChanged }
    mode = next
    switch next {
    case .disabled: reset()
    case .xAPIC: storeIdentification()
    case .x2APIC:
      store(LocalAPICRegister.interruptCommandHigh, 0)
      storeIdentification()
    }
    updateExtINT()
    return .baseChanged
  }
}
