import VMCS

/// SDM, "VMX Instruction Reference": each instruction checks in the order of its "Operation".
extension ProcessorModel: VMXProcessor {
  /// Executes VMXON.
  public func vmxon(_ region: PhysicalAddress) -> VMXOutcome {
    let outcome = injectedOutcome(.vmxon) ?? executeVMXON(region)
    record(.vmxon(region), outcome)
    return outcome
  }

  private func executeVMXON(_ region: PhysicalAddress) -> VMXOutcome {
    guard let cr0 = systemRegisters[.cr0], let cr4 = systemRegisters[.cr4], cr4 & 1 << 13 != 0 else {
      fault(.invalidOpcode("VMXON with CR4.VMXE = 0"))
      return .failInvalid
    }
    if isInVMXOperation { return fail(.vmxonInVMXRootOperation) }
    let featureControl = msrs[MSR.ia32FEATURECONTROL.rawValue] ?? 0
    guard cr0 & configuration.cr0Fixed0 == configuration.cr0Fixed0, cr4 & ~configuration.cr4Fixed1 == 0 else {
      fault(.generalProtection("VMXON with a CR0 or CR4 that VMX operation does not allow"))
      return .failInvalid
    }
    guard featureControl & 0b101 == 0b101 else {
      fault(.generalProtection("VMXON without IA32_FEATURE_CONTROL locked and enabling VMX outside SMX"))
      return .failInvalid
    }
    guard isValidPointer(region), memory.load(region, as: UInt32.self) == configuration.vmcsRevisionIdentifier else {
      return .failInvalid
    }
    vmxonPointer = region
    current = nil
    return .succeed
  }

  /// Executes VMXOFF.
  ///
  /// What was still active may be corrupted, as the SDM warns.
  public func vmxoff() -> VMXOutcome {
    let outcome = injectedOutcome(.vmxoff) ?? executeVMXOFF()
    record(.vmxoff, outcome)
    return outcome
  }

  private func executeVMXOFF() -> VMXOutcome {
    guard requireVMXOperation("VMXOFF") else { return .failInvalid }
    for address in active {
      memory.storages[address]?.wasActiveAtVMXOFF = true
      memory.storages[address]?.activeProcessor = nil
    }
    active = []
    current = nil
    vmxonPointer = nil
    return .succeed
  }

  /// Executes VMCLEAR.
  public func vmclear(_ region: PhysicalAddress) -> VMXOutcome {
    let outcome = injectedOutcome(.vmclear) ?? executeVMCLEAR(region)
    record(.vmclear(region), outcome)
    return outcome
  }

  private func executeVMCLEAR(_ region: PhysicalAddress) -> VMXOutcome {
    guard requireVMXOperation("VMCLEAR") else { return .failInvalid }
    guard isValidPointer(region) else { return fail(.vmclearWithInvalidPhysicalAddress) }
    if region == vmxonPointer { return fail(.vmclearWithVMXONPointer) }
    guard memory.pointer(to: region, byteCount: ModelMemory.pageSize) != nil else {
      fault(.undefinedBehavior("VMCLEAR of a region without memory"))
      return .failInvalid
    }
    let storage =
      memory.storages[region]
      ?? VMCSStorage(address: region, poisons: configuration.poisonsUninitializedFields)
    if let other = storage.activeProcessor, other !== self {
      fault(.undefinedBehavior("VMCLEAR of a VMCS that is active on another logical processor"))
      return .failInvalid
    }
    memory.storages[region] = storage
    storage.launchState = .clear
    storage.wasActiveAtVMXOFF = false
    storage.activeProcessor = nil
    active.remove(region)
    if current === storage { current = nil }
    return .succeed
  }

  /// Executes VMPTRLD.
  public func vmptrld(_ region: PhysicalAddress) -> VMXOutcome {
    let outcome = injectedOutcome(.vmptrld) ?? executeVMPTRLD(region)
    record(.vmptrld(region), outcome)
    return outcome
  }

  private func executeVMPTRLD(_ region: PhysicalAddress) -> VMXOutcome {
    guard requireVMXOperation("VMPTRLD") else { return .failInvalid }
    guard isValidPointer(region) else { return fail(.vmptrldWithInvalidPhysicalAddress) }
    if region == vmxonPointer { return fail(.vmptrldWithVMXONPointer) }
    let firstWord = memory.load(region, as: UInt32.self)
    let canBeShadow = configuration.supports(ControlBit(.secondary, 14))
    guard firstWord & 0x7FFF_FFFF == configuration.vmcsRevisionIdentifier, firstWord >> 31 == 0 || canBeShadow else {
      return fail(.vmptrldWithIncorrectVMCSRevisionIdentifier)
    }
    guard let storage = memory.storages[region] else {
      fault(.undefinedBehavior("VMPTRLD of a region that VMCLEAR never initialized"))
      return .failInvalid
    }
    if let other = storage.activeProcessor, other !== self {
      fault(.undefinedBehavior("VMPTRLD of a VMCS that is active on another logical processor"))
      return .failInvalid
    }
    storage.activeProcessor = self
    active.insert(region)
    current = storage
    return .succeed
  }

  /// Executes VMPTRST.
  public func vmptrst() -> PhysicalAddress {
    let pointer = requireVMXOperation("VMPTRST") ? current?.address ?? .noCurrentVMCS : .noCurrentVMCS
    record(.vmptrst(pointer))
    return pointer
  }

  /// Executes VMREAD.
  public func vmread(_ encoding: UInt32) -> VMREADResult {
    let encoding = VMCSFieldEncoding(rawValue: encoding)
    var value: UInt64 = 0
    onAccess?()
    let outcome = injectedOutcome(.vmread, encoding) ?? executeVMREAD(encoding, &value)
    if outcome != .succeed { outcomeOfLastFailure = outcome }
    record(.vmread(encoding, value), outcome)
    return VMREADResult(value: value, failed: outcome != .succeed)
  }

  private func executeVMREAD(_ encoding: VMCSFieldEncoding, _ value: inout UInt64) -> VMXOutcome {
    guard requireVMXOperation("VMREAD"), let current else { return .failInvalid }
    guard isSupported(encoding) else { return fail(.vmreadOrVMWRITEOfUnsupportedVMCSComponent) }
    value = encoding.isHighAccess ? current[encoding.fullAccess] >> 32 : current[encoding]
    return .succeed
  }

  /// How the VMREAD that has just failed ended.
  public func outcomeOfFailedVMREAD(_ encoding: UInt32) -> VMXOutcome { outcomeOfLastFailure }

  /// Executes VMWRITE, which ignores the bits that the field does not have.
  public func vmwrite(_ encoding: UInt32, _ value: UInt64) -> Bool {
    let encoding = VMCSFieldEncoding(rawValue: encoding)
    onAccess?()
    let outcome = injectedOutcome(.vmwrite, encoding) ?? executeVMWRITE(encoding, value)
    if outcome != .succeed { outcomeOfLastFailure = outcome }
    record(.vmwrite(encoding, value), outcome)
    return outcome != .succeed
  }

  private func executeVMWRITE(_ encoding: VMCSFieldEncoding, _ value: UInt64) -> VMXOutcome {
    guard requireVMXOperation("VMWRITE"), let current else { return .failInvalid }
    guard isSupported(encoding) else { return fail(.vmreadOrVMWRITEOfUnsupportedVMCSComponent) }
    if encoding.type == .vmExitInformation, !configuration.vmwriteWritesExitInformation {
      return fail(.vmwriteToReadOnlyVMCSComponent)
    }
    let field = encoding.fullAccess
    current[field] = encoding.isHighAccess ? current[field] & 0xFFFF_FFFF | value << 32 : value
    return .succeed
  }

  /// How the VMWRITE that has just failed ended.
  public func outcomeOfFailedVMWRITE(_ encoding: UInt32, _ value: UInt64) -> VMXOutcome { outcomeOfLastFailure }

  // MARK: What the instructions share

  /// Whether the VMCS has the component: a field, or the high half of a 64-bit field.
  private func isSupported(_ encoding: VMCSFieldEncoding) -> Bool {
    hasField(encoding.fullAccess) && (!encoding.isHighAccess || encoding.width == .bits64)
  }

  /// Whether `pointer` is aligned to 4 KBytes and not too wide.
  private func isValidPointer(_ pointer: PhysicalAddress) -> Bool {
    pointer.rawValue & 0xFFF == 0 && pointer.rawValue >> UInt64(configuration.vmxPointerWidth) == 0
  }

  func requireVMXOperation(_ instruction: String) -> Bool {
    if !isInVMXOperation { fault(.invalidOpcode("\(instruction) outside VMX operation")) }
    return isInVMXOperation
  }
}
