import VMCS
import VMX

// Accesses that the extended page tables do not allow: to memory that is mapped when it is touched, and to registers of
// devices.
extension VirtualProcessor: MMIODevice {
  @inline(never) @usableFromInline
  mutating func handleEPTViolation<P: VMXProcessor>(
    _ address: UInt64, _ access: EPTViolationQualification, _ vcpu: inout LoadedVCPU<P>
  ) -> HostRequest? {
    let page = address & ~0xFFF
    // The local APIC hides the memory at its address; between the memory's two parts is none.
    if !GuestMemoryLayout.isInHole(address), page != localAPIC.registersAddress,
      let offset = machine.pointee.memory.layout.offset(of: page, byteCount: 4096)
    {
      let physical = PhysicalAddress(machine.pointee.backing.rawValue &+ offset)
      return map(page, to: physical, .all, address, access, &vcpu)
    }
    // There are registers, and no code: a processor has been found that ends when it fetches there (Bochs).
    if vcpu.options.contains(.virtualizeAPICAccesses), page == localAPIC.registersAddress,
      page == LocalAPIC.usualAddress, !access.fetch, machine.pointee.processorsWithoutAPICAccessPage.isEmpty
    {
      return map(page, to: machine.pointee.apicAccessPage, [.read, .write], address, access, &vcpu)
    }
    guard let operand = vcpu.operandAccess(at: address, access) else {
      if vcpu.isInstructionFetch(access) { return fetchNothing(&vcpu) }
      return .stopped(.missingMemory(guestPhysicalAddress: address, access))
    }
    if access.nmiUnblockingDueToIRET { vcpu.restoreBlockingByNMI(unblocked: true) }
    return emulateMMIO(operand, &vcpu)
  }

  /// An instruction where there is no memory: on a PC all ones, of which FFH FFH is #UD.
  ///
  /// Where a device is, too, since no
  /// code is there.
  private mutating func fetchNothing<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> HostRequest? {
    vcpu.raise(.invalidOpcode)
    return nil
  }

  /// Maps a page; whatever the access interrupted is delivered again.
  private mutating func map<P: VMXProcessor>(
    _ page: UInt64, to physical: PhysicalAddress, _ permissions: EPTPermissions, _ address: UInt64,
    _ access: EPTViolationQualification, _ vcpu: inout LoadedVCPU<P>
  ) -> HostRequest? {
    vcpu.restoreBlockingByNMI(unblocked: access.nmiUnblockingDueToIRET)
    vcpu.keepInterruptedEvent()
    machine.pointee.lock.acquire()
    defer { machine.pointee.lock.release() }
    // Another processor may have left xAPIC mode since this one looked; the access is made again.
    if page == LocalAPIC.usualAddress, !machine.pointee.processorsWithoutAPICAccessPage.isEmpty { return nil }
    do throws(EPTError) {
      if try machine.pointee.tables.mapIfAbsent(page, to: physical, permissions: permissions) { return nil }
      // Another processor may have been first; what was mapped already when this one looked is not to be mapped again.
      let wasMapped = access.readable || access.writable || access.executable
      return wasMapped ? .stopped(.missingMemory(guestPhysicalAddress: address, access)) : nil
    } catch { return .stopped(.unsupported("Skep has no memory left for extended page tables")) }
  }

  /// An access to the APIC-access page that the processor does not virtualize.
  mutating func handleAPICAccess<P: VMXProcessor>(
    _ access: APICAccessQualification, _ vcpu: inout LoadedVCPU<P>
  ) -> HostRequest? {
    guard let operand = vcpu.operandAccess(inPageAt: LocalAPIC.usualAddress, access) else {
      if access.accessType == .linearInstructionFetch { return fetchNothing(&vcpu) }
      return .stopped(.missingMemory(at: LocalAPIC.usualAddress, isWrite: false))
    }
    return emulateMMIO(operand, &vcpu)
  }

  /// Executes the instruction that accesses a device.
  @inline(__always)
  private mutating func emulateMMIO<P: VMXProcessor>(
    _ operand: OperandAccess, _ vcpu: inout LoadedVCPU<P>
  ) -> HostRequest? {
    now = vcpu.timestampCounter
    let deadline = localAPIC.nextDeadline
    let memory = machine.pointee.memory
    if vcpu.moveQuickly(operand, on: &self, physicalAddressWidth: cpuid.physicalAddressWidth, in: memory) {
      let isOfLocalAPIC = operand.address & ~0xFFF == localAPIC.registersAddress
      if !isOfLocalAPIC && kicks.isEmpty { return requestAfterIO() }
    } else if let stop = emulateMMIOSlowly(operand, &vcpu) {
      return .stopped(stop)
    }
    return finishMMIO(deadline, &vcpu)
  }

  /// Does the same with any instruction.
  @inline(never)
  private mutating func emulateMMIOSlowly<P: VMXProcessor>(
    _ operand: OperandAccess, _ vcpu: inout LoadedVCPU<P>
  ) -> GuestStop? {
    let translation = vcpu.linearAddressTranslation(
      physicalAddressWidth: cpuid.physicalAddressWidth, has1GBPages: cpuid.has1GBPages)
    return switch vcpu.emulateMMIO(operand, on: &self, translation, in: machine.pointee.memory) {
    case .done: nil
    case .unsupported(let bytes): .unsupportedInstruction(bytes, guestPhysicalAddress: operand.address)
    case .missingMemory(let address, let isWrite): .missingMemory(at: address, isWrite: isWrite)
    }
  }

  /// What accesses to the local APIC and to the devices have caused.
  ///
  /// - Parameter deadline: that of the local APIC before.
  @inline(never)
  private mutating func finishMMIO<P: VMXProcessor>(
    _ deadline: UInt64, _ vcpu: inout LoadedVCPU<P>
  ) -> HostRequest? {
    if localAPIC.nextDeadline != deadline {
      if let request = finish(.deadlineChanged, &vcpu) { return request }
    }
    synchronize(&vcpu)
    attend()
    // A device, or an IPI, may have sent an interrupt to this processor.
    if mailbox.hasPosted { isAttentive = true }
    if !kicks.isEmpty { isAttentive = true }
    return requestAfterIO()
  }

  /// After IA32_APIC_BASE has changed: while the registers of one processor are not at the usual address, the page that
  /// the processors virtualize is not mapped.
  mutating func localAPICMoved() {
    machine.pointee.lock.acquire()
    defer { machine.pointee.lock.release() }
    let wasMappable = machine.pointee.processorsWithoutAPICAccessPage.isEmpty
    guard localAPIC.registersAddress != LocalAPIC.usualAddress else {
      machine.pointee.processorsWithoutAPICAccessPage.remove(ProcessorSet(index))
      return
    }
    machine.pointee.processorsWithoutAPICAccessPage.insert(ProcessorSet(index))
    guard wasMappable else { return }
    try? machine.pointee.tables.unmap(LocalAPIC.usualAddress..<LocalAPIC.usualAddress + 4096)
    kicks.exits.formUnion(machine.pointee.mailboxes.all.subtracting(ProcessorSet(index)))
  }

  // MARK: MMIODevice

  /// The page of the local APIC's registers, which hide what else is there.
  public func covers(page: UInt64) -> Bool { page == localAPIC.registersAddress }

  /// Reads from the local APIC, a device of the bus, or nothing, which is all ones.
  public mutating func load(_ address: UInt64, byteCount: Int) -> UInt64 {
    if address & ~0xFFF == localAPIC.registersAddress {
      return localAPIC.read(offset: Int(address & 0xFFF), byteCount: byteCount, at: now)
    }
    machine.pointee.lock.acquire()
    let value = machine.pointee.bus.load(
      address, byteCount: byteCount, at: machine.pointee.clock.time(at: now))
    finishDeviceAccess()
    return value
  }

  /// Writes to the local APIC, a device of the bus, or nothing.
  public mutating func store(_ value: UInt64, at address: UInt64, byteCount: Int) {
    if address & ~0xFFF == localAPIC.registersAddress {
      return perform(localAPIC.write(offset: Int(address & 0xFFF), byteCount: byteCount, value, at: now))
    }
    machine.pointee.lock.acquire()
    let time = machine.pointee.clock.time(at: now)
    machine.pointee.bus.advance(to: time)
    // What is due comes before what changes where it goes.
    if machine.pointee.bus.hasNewInterrupts { distribute() }
    machine.pointee.bus.store(value, at: address, byteCount: byteCount, at: time)
    finishDeviceAccess()
  }

  /// Something was posted, or has to be passed on.
  public var interruptsRepetition: Bool { mailbox.hasPosted || !kicks.isEmpty }
}
