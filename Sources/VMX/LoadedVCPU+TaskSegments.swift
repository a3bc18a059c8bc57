import VMCS

/// The second half of a task switch: what belongs to the new task's selectors (SDM, "Task Switching", the table "Exception
/// Conditions Checked During a Task Switch").
extension LoadedVCPU {
  /// Loads the PDPTEs, if CR3 points to them; #TS(0) if one is illegal, and none is then there.
  func reloadPDPTEs<Memory: GuestPhysicalMemory>(
    _ memory: Memory, _ physicalAddressWidth: UInt8
  ) throws(MemoryFault) {
    guard vmcs[.guestCR4].pae, !loadPDPTEs(from: memory, physicalAddressWidth) else { return }
    vmcs[.guestPDPTE0] = 0
    vmcs[.guestPDPTE1] = 0
    vmcs[.guestPDPTE2] = 0
    vmcs[.guestPDPTE3] = 0
    throw .invalidTSS(0)
  }

  /// Loads LDTR and the segment registers, and checks EIP; again if other processors change a descriptor meanwhile.
  mutating func loadSegments<Memory>(of task: NewTask, _ memory: SystemMemory<Memory>) throws(MemoryFault) {
    for _ in 0..<LinearAddressTranslation.attempts {
      do throws(MemoryFault) { return try loadSegmentsOnce(of: task, memory) } catch {
        guard case .changed = error else { throw error }
      }
    }
    throw .changed
  }

  private mutating func loadSegmentsOnce<Memory>(
    of task: NewTask, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) {
    let selectors = task.state.selectors
    setSelectors(of: task)
    try loadLDTR(task.state.ldt, memory)
    if !vmcs[.guestRFLAGS].vm {
      let privilegeLevel = selectors[1] & 3
      try loadStackSegment(selectors[2], privilegeLevel: privilegeLevel, memory)
      setCodeSegment(privilegeLevel: privilegeLevel)
      try loadDataSegment(.ds, selectors[3], privilegeLevel: privilegeLevel, memory)
      try loadDataSegment(.es, selectors[0], privilegeLevel: privilegeLevel, memory)
      try loadDataSegment(.fs, selectors[4], privilegeLevel: privilegeLevel, memory)
      try loadDataSegment(.gs, selectors[5], privilegeLevel: privilegeLevel, memory)
      try loadCodeSegment(selectors[1], memory)
    }
    guard task.state.ip <= UInt64(vmcs[.guestCSLimit]) else { throw .exception(.generalProtection) }
  }

  /// Pushes the error code of the event that the task handles.
  mutating func push<Memory: GuestPhysicalMemory>(
    _ errorCode: UInt32, byteCount: Int, _ memory: Memory, _ physicalAddressWidth: UInt8
  ) throws(MemoryFault) {
    let translation = linearAddressTranslation(physicalAddressWidth: physicalAddressWidth, has1GBPages: false)
    let mask: UInt64 = vmcs[.guestSSAccessRights].db ? 0xFFFF_FFFF : 0xFFFF
    let rsp = vmcs[.guestRSP]
    let offset = (rsp &- UInt64(byteCount)) & mask
    let location = try memoryOperand(in: .ss, translation).locate(
      offset, byteCount: byteCount, for: .write, in: memory)
    for index in 0..<byteCount {
      _ = memory.store(UInt8(truncatingIfNeeded: errorCode >> UInt32(8 * index)), at: location.address(of: index))
    }
    vmcs[.guestRSP] = rsp & ~mask | offset
  }

  /// Loads the selectors, before anything that can fault: RFLAGS.VM is the new task's already, and its segments have to be
  /// of that mode.
  mutating func setSelectors(of task: NewTask) {
    let selectors = task.state.selectors
    vmcs[.guestESSelector] = SegmentSelector(rawValue: selectors[0])
    vmcs[.guestCSSelector] = SegmentSelector(rawValue: selectors[1])
    vmcs[.guestSSSelector] = SegmentSelector(rawValue: selectors[2])
    vmcs[.guestDSSelector] = SegmentSelector(rawValue: selectors[3])
    vmcs[.guestFSSelector] = SegmentSelector(rawValue: selectors[4])
    vmcs[.guestGSSelector] = SegmentSelector(rawValue: selectors[5])
    if vmcs[.guestRFLAGS].vm { loadVirtual8086Segments(selectors) } else { makeSegmentsUnusable(privilegeLevel: 3) }
  }

  /// What virtual-8086 mode has: a base of 16 times the selector, 64 KBytes.
  private mutating func loadVirtual8086Segments(_ selectors: InlineArray<6, UInt16>) {
    for index in 0..<6 {
      guard let segment = GuestSegment(encoding: UInt8(index)) else { continue }
      setDescriptor(
        segment,
        to: GuestDescriptor(
          base: UInt64(selectors[index]) << 4, limit: 0xFFFF, accessRights: SegmentAccessRights(rawValue: 0xF3)))
    }
  }

  /// Until they are loaded, no segment can be used, and a fault goes to a stack of a handler's privilege level.
  private mutating func makeSegmentsUnusable(privilegeLevel: UInt16) {
    setDescriptor(.es, to: Self.unusable)
    setDescriptor(.ds, to: Self.unusable)
    setDescriptor(.fs, to: Self.unusable)
    setDescriptor(.gs, to: Self.unusable)
    setDescriptor(
      .ss,
      to: GuestDescriptor(
        base: 0, limit: 0,
        accessRights: SegmentAccessRights(
          rawValue: Self.unusable.accessRights.rawValue | UInt32(privilegeLevel) << 5)))
    setCodeSegment(privilegeLevel: privilegeLevel)
  }

  /// Code that is not executed before a fault's handler is: no VM entry takes an unusable CS.
  ///
  /// The RPL of CS is the privilege level too, since there are processors that take no other (Bochs).
  private mutating func setCodeSegment(privilegeLevel: UInt16) {
    vmcs[.guestCSSelector] = SegmentSelector(rawValue: vmcs[.guestCSSelector].rawValue & ~3 | privilegeLevel)
    setDescriptor(
      .cs,
      to: GuestDescriptor(
        base: 0, limit: 0xFFFF_FFFF,
        accessRights: SegmentAccessRights(rawValue: 0xC09B | UInt32(privilegeLevel) << 5)))
  }

  private mutating func loadLDTR<Memory>(_ selector: UInt16, _ memory: SystemMemory<Memory>) throws(MemoryFault) {
    vmcs[.guestLDTRSelector] = SegmentSelector(rawValue: selector)
    setDescriptor(.ldtr, to: Self.unusable)
    guard selector & 4 == 0 else { throw .invalidTSS(selector) }
    if selector & ~3 == 0 { return }
    let entry = try fetchDescriptor(selector, memory)
    let localDescriptorTable: UInt8 = 2
    guard !entry.isCodeOrData, entry.type == localDescriptorTable, entry.isPresent else { throw .invalidTSS(selector) }
    setDescriptor(.ldtr, to: entry.descriptor)
  }

  private mutating func loadStackSegment<Memory>(
    _ selector: UInt16, privilegeLevel: UInt16, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) {
    guard selector & ~3 != 0 else { throw .invalidTSS(selector) }
    let entry = try fetchDescriptor(selector, memory)
    guard entry.isWritableData else { throw .invalidTSS(selector) }
    guard entry.isPresent else { throw .selectorFault(.stackSegmentFault, selector) }
    guard entry.privilegeLevel == privilegeLevel, entry.privilegeLevel == selector & 3 else {
      throw .invalidTSS(selector)
    }
    try load(.ss, selector, entry, memory)
  }

  private mutating func loadDataSegment<Memory>(
    _ segment: GuestSegment, _ selector: UInt16, privilegeLevel: UInt16, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) {
    if selector & ~3 == 0 { return }
    let entry = try fetchDescriptor(selector, memory)
    guard entry.isReadable, entry.isConforming || entry.privilegeLevel >= max(privilegeLevel, selector & 3) else {
      throw .invalidTSS(selector)
    }
    guard entry.isPresent else { throw .selectorFault(.segmentNotPresent, selector) }
    try load(segment, selector, entry, memory)
  }

  private mutating func loadCodeSegment<Memory>(
    _ selector: UInt16, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) {
    guard selector & ~3 != 0 else { throw .invalidTSS(selector) }
    let entry = try fetchDescriptor(selector, memory)
    let isAllowed =
      entry.isConforming ? entry.privilegeLevel <= selector & 3 : entry.privilegeLevel == selector & 3
    guard entry.isCode, isAllowed else { throw .invalidTSS(selector) }
    guard entry.isPresent else { throw .selectorFault(.segmentNotPresent, selector) }
    try load(.cs, selector, entry, memory)
  }

  /// The descriptor of `selector`; #TS if its table does not have it.
  private func fetchDescriptor<Memory>(
    _ selector: UInt16, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) -> SegmentDescriptor {
    let table = descriptor(selector & 4 == 0 ? .gdtr : .ldtr)
    guard !table.accessRights.unusable, UInt32(selector | 7) <= table.limit else { throw .invalidTSS(selector) }
    return SegmentDescriptor(rawValue: try memory.load(table.base &+ UInt64(selector & ~7), byteCount: 8))
  }

  /// Puts `entry` into `segment`, and marks it accessed where it is from, by a locked access (SDM, "Automatic Locking").
  mutating func load<Memory>(
    _ segment: GuestSegment, _ selector: UInt16, _ entry: SegmentDescriptor, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) {
    let accessed = SegmentDescriptor(rawValue: entry.rawValue | 1 << 40)
    if accessed != entry {
      let table = descriptor(selector & 4 == 0 ? .gdtr : .ldtr)
      try memory.replace(
        entry.accessByte, with: accessed.accessByte, at: table.base &+ UInt64(selector & ~7) &+ 5)
    }
    setDescriptor(segment, to: accessed.descriptor)
  }

  static var unusable: GuestDescriptor {
    GuestDescriptor(base: 0, limit: 0, accessRights: SegmentAccessRights(rawValue: 1 << 16))
  }
}
