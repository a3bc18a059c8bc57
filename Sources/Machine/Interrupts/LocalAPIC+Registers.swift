import VMX

// The registers in memory, in xAPIC mode, and what x2APIC mode shares with them.
extension LocalAPIC {
  // MARK: Reading

  /// Reads the register at `offset` in xAPIC mode.
  ///
  /// - Parameters:
  ///   - offset: from the address of the registers; its low 12 bits count. Inside of a register's 16 bytes only the
  ///     first four hold something; the others read 0.
  ///   - now: the host's time-stamp counter.
  /// - Returns: 0 for a register that does not exist, which is also an error in ESR.
  @inlinable
  public mutating func read(offset: Int, at now: UInt64) -> UInt32 {
    switch offset & 0xFFF {
    case LocalAPICRegister.taskPriority, LocalAPICRegister.spuriousInterruptVector, LocalAPICRegister.id,
      LocalAPICRegister.interruptCommand:
      load(offset & 0xFFF)
    default: readOther(offset & 0xFFF, at: now)
    }
  }

  @inline(never) @usableFromInline
  mutating func readOther(_ offset: Int, at now: UInt64) -> UInt32 {
    guard Self.exists(offset, in: LocalAPICRegister.readable) else {
      report(.illegalRegisterAddress)
      return 0
    }
    return offset & 0xF == 0 ? readExisting(offset, at: now) : 0
  }

  /// Reads `byteCount` bytes, 1 to 8, at any offset of the page, as a guest's instruction may ask for them.
  public mutating func read(offset: Int, byteCount: Int, at now: UInt64) -> UInt64 {
    let first = UInt64(read(offset: offset & 0xFFC, at: now)) >> UInt64(8 * (offset & 3))
    let isWithin = (offset & 3) + byteCount <= 4
    return first & (byteCount >= 8 ? ~0 : 1 << UInt64(8 * max(0, byteCount)) - 1) & (isWithin ? ~0 : 0xFFFF_FFFF)
  }

  static func exists(_ offset: Int, in registers: UInt64) -> Bool {
    offset < 0x400 && registers >> UInt64(offset >> 4) & 1 != 0
  }

  /// The value of a register that exists.
  mutating func readExisting(_ offset: Int, at now: UInt64) -> UInt32 {
    switch offset {
    case LocalAPICRegister.currentCount: return timer.currentCount(at: now)
    case LocalAPICRegister.processorPriority:
      // Where the processor delivers the interrupts it has changed IRR and ISR, too.
      if usesVirtualInterruptDelivery { reload() } else { synchronizeTaskPriority() }
    default: break
    }
    return load(offset)
  }

  // MARK: Writing

  /// Writes `value` to the register at `offset` in xAPIC mode.
  ///
  /// What is read-only stays as it is, reserved bits are ignored, and a register that does not exist is an error in
  /// ESR. A write into the twelve bytes behind a register is ignored.
  ///
  /// - Parameters:
  ///   - offset: from the address of the registers; its low 12 bits count.
  ///   - now: the host's time-stamp counter.
  @inlinable
  public mutating func write(offset: Int, _ value: UInt32, at now: UInt64) -> LocalAPICEffect {
    switch offset & 0xFFF {
    case LocalAPICRegister.endOfInterrupt:
      if let vector = endOfInterrupt() { return .endOfInterrupt(vector: vector) }
      return .none
    case LocalAPICRegister.taskPriority:
      store(LocalAPICRegister.taskPriority, value & 0xFF)
      updatePriority()
      return .none
    default: return writeOther(offset & 0xFFF, value, at: now)
    }
  }

  /// Writes `byteCount` bytes, 1 to 8, at any offset of the page, as a guest's instruction may do.
  ///
  /// Registers are written by four bytes at their own address, or by eight, of which the upper four are ignored; the
  /// SDM leaves the rest undefined, and here it is ignored.
  public mutating func write(offset: Int, byteCount: Int, _ value: UInt64, at now: UInt64) -> LocalAPICEffect {
    guard byteCount >= 4 else { return .none }
    return write(offset: offset, UInt32(truncatingIfNeeded: value), at: now)
  }

  /// An APIC-write VM exit: the processor has written to the page, at the `offset` in the exit qualification, and the
  /// write takes effect now.
  public mutating func completeWrite(offset: Int, at now: UInt64) -> LocalAPICEffect {
    let offset = offset & 0xFF0
    let value = load(offset)
    switch (offset, mode) {
    case (LocalAPICRegister.selfIPI, .x2APIC): return sendToSelf(UInt8(truncatingIfNeeded: value))
    case (LocalAPICRegister.interruptCommand, .x2APIC):
      return writeInterruptCommand(UInt64(load(offset + 4)) << 32 | UInt64(value))
    default: return write(offset: offset, value, at: now)
    }
  }

  @inline(never) @usableFromInline
  mutating func writeOther(_ offset: Int, _ value: UInt32, at now: UInt64) -> LocalAPICEffect {
    guard offset & 0xF == 0 else { return .none }
    switch offset {
    case LocalAPICRegister.logicalDestination:
      store(offset, value & 0xFF00_0000)
      return .identityChanged
    case LocalAPICRegister.destinationFormat:
      store(offset, value | 0x0FFF_FFFF)
      return .identityChanged
    case LocalAPICRegister.interruptCommandHigh:
      store(offset, value & 0xFF00_0000)
      return .none
    case LocalAPICRegister.interruptCommand:
      return writeInterruptCommand(
        UInt64(load(LocalAPICRegister.interruptCommandHigh)) << 32 | UInt64(value & 0xC_CFFF))
    case LocalAPICRegister.id:
      // What an APIC-write VM exit finds in the page is not the ID any more.
      storeIdentification()
      return .none
    default:
      if let effect = writeShared(offset, value, at: now) { return effect }
      if !Self.exists(offset, in: LocalAPICRegister.readable) { report(.illegalRegisterAddress) }
      return .none
    }
  }

  /// Writes a register that is the same in both modes; `nil` if `offset` is none of those.
  mutating func writeShared(_ offset: Int, _ value: UInt32, at now: UInt64) -> LocalAPICEffect? {
    switch offset {
    case LocalAPICRegister.spuriousInterruptVector: return writeSpuriousInterruptVector(value)
    case LocalAPICRegister.errorStatus:
      store(offset, errors)
      errors = 0
      return LocalAPICEffect.none
    case LocalAPICRegister.timer, LocalAPICRegister.initialCount, LocalAPICRegister.divideConfiguration:
      return writeTimer(offset, value, at: now)
    case LocalAPICRegister.thermalSensor...LocalAPICRegister.error:
      writeLocalVector(offset, value)
      return LocalAPICEffect.none
    default: return nil
    }
  }

  private mutating func writeTimer(_ offset: Int, _ value: UInt32, at now: UInt64) -> LocalAPICEffect {
    let deadline = nextDeadline
    // What is due comes before what changes.
    advance(to: now)
    switch offset {
    case LocalAPICRegister.timer:
      writeLocalVector(offset, value)
      timer.setMode(LocalAPICTimer.Mode(rawValue: UInt8(truncatingIfNeeded: value >> 17) & 3) ?? .reserved)
    case LocalAPICRegister.initialCount:
      timer.writeInitialCount(value, at: now)
      store(offset, timer.initialCount)
    default:
      timer.writeDivideConfiguration(value, at: now)
      store(offset, value & 0xB)
    }
    return nextDeadline == deadline ? .none : .deadlineChanged
  }

  /// SDM, "Spurious Interrupt": the vector, and whether software has enabled the APIC.
  private mutating func writeSpuriousInterruptVector(_ value: UInt32) -> LocalAPICEffect {
    store(LocalAPICRegister.spuriousInterruptVector, value & Self.spuriousInterruptBits)
    let isEnabled = value & 1 << 8 != 0
    if isEnabled == isSoftwareEnabled { return .none }
    isSoftwareEnabled = isEnabled
    if !isEnabled { maskLocalVectors() }
    return .identityChanged
  }

  /// Vector, software enable, focus processor checking, EOI-broadcast suppression.
  static var spuriousInterruptBits: UInt32 { 0x13FF }

  // MARK: Sending

  /// Writes ICR with 64 bits as x2APIC mode has them, or with those of both registers in xAPIC mode.
  @usableFromInline
  mutating func writeInterruptCommand(_ value: UInt64) -> LocalAPICEffect {
    store(LocalAPICRegister.interruptCommand, UInt32(truncatingIfNeeded: value) & 0xC_CFFF)
    if mode == .x2APIC { store(LocalAPICRegister.interruptCommand + 4, UInt32(truncatingIfNeeded: value >> 32)) }
    // With a vector, and the shorthand for the sender alone: it needs no message.
    if value & 0xC_0600 == 0x4_0000 { return sendToSelf(UInt8(truncatingIfNeeded: value)) }
    guard let message = InterruptMessage(icr: value, isX2APIC: mode == .x2APIC) else { return .none }
    guard message.deliveryMode == .fixed || message.deliveryMode == .lowestPriority else {
      return .send(message)
    }
    if message.vector < 16 {
      report(.sendIllegalVector)
      return .none
    }
    return .send(message)
  }

  /// SELF IPI (SDM, "SELF IPI Register").
  @inlinable
  mutating func sendToSelf(_ vector: UInt8) -> LocalAPICEffect {
    if vector < 16 { report(.sendIllegalVector) } else { accept(vector: vector, isLevelTriggered: false) }
    return .none
  }
}
