import VMCS

/// A task that is being switched to.
struct NewTask {
  /// The selector of its TSS.
  var selector: UInt16
  /// The descriptor of its TSS.
  var descriptor: SegmentDescriptor
  /// Its TSS.
  var segment: TaskStateSegment
  /// What has been loaded from its TSS.
  var state = TaskState()
}

extension LoadedVCPU {
  /// Switches tasks (SDM, "Task Switching"; "Treatment of Task Switches" for what the processor has checked already).
  ///
  /// A fault before the new task's state is loaded is raised in the old task, which is as it was; a later one, which the
  /// new task's segments cause, in the new task. If other processors change what it reads, the old task executes the
  /// instruction again. Throws `.missingMemory` alone, when the virtual machine has to stop.
  ///
  /// - Parameters:
  ///   - access: the exit qualification.
  ///   - memory: the guest's memory.
  ///   - physicalAddressWidth: the number of bits of a guest-physical address, as CPUID shows it.
  @inline(never)
  public mutating func emulateTaskSwitch<Memory: GuestPhysicalMemory>(
    _ access: TaskSwitchQualification, memory: Memory, physicalAddressWidth: UInt8
  ) throws(MemoryFault) {
    let event = access.source == .taskGateInIDT ? eventBeingDelivered : nil
    let task: NewTask
    do throws(MemoryFault) {
      let translation = linearAddressTranslation(physicalAddressWidth: physicalAddressWidth, has1GBPages: false)
      task = try leaveTask(access, event, SystemMemory(translation, memory))
    } catch {
      keepInterruptedEvent()
      return try raise(error, of: event)
    }
    let hasNewCR3 = enter(task)
    if access.source == .iretInstruction { setBlockingByNMI(false) }
    if event?.type == .nmi { setBlockingByNMI(true) }
    do throws(MemoryFault) {
      if hasNewCR3 { try reloadPDPTEs(memory, physicalAddressWidth) }
      let translation = linearAddressTranslation(physicalAddressWidth: physicalAddressWidth, has1GBPages: false)
      try loadSegments(of: task, SystemMemory(translation, memory))
      if let event, event.information.deliverErrorCode {
        try push(event.errorCode, byteCount: task.segment.is32Bit ? 4 : 2, memory, physicalAddressWidth)
      }
    } catch {
      // An interrupt has been delivered; an exception makes a double fault with another.
      if let event, event.isException { state.events.interrupted = event }
      // It is too late to execute the instruction again.
      if case .changed = error { return try raise(.invalidTSS(task.selector), of: event) }
      return try raise(error, of: event)
    }
    if task.state.hasDebugTrap {
      applyDebugException(Self.taskSwitchTrap)
      raise(.exception(.debugException))
    }
  }

  /// The event whose delivery the exit interrupted.
  private var eventBeingDelivered: Event? {
    let information = vmcs[.idtVectoringInformation]
    guard information.valid else { return nil }
    return Event(
      vector: information.vector, type: information.type,
      errorCode: information.errorCodeValid ? vmcs[.idtVectoringErrorCode] : nil)
  }

  /// Raises the exception of a fault, with the EXT bit if an event from outside the program was being delivered.
  private mutating func raise(_ fault: MemoryFault, of event: Event?) throws(MemoryFault) {
    switch fault {
    case .exception(var exception):
      let isExternal = event.map { !$0.hasInstructionLength } ?? false
      if isExternal && exception.information.deliverErrorCode { exception.errorCode |= 1 }
      raise(exception)
    case .pageFault(let address, let code): raisePageFault(at: address, code)
    case .missingMemory: throw fault
    case .changed: executeAgain()
    }
  }

  /// Saves the old task, once everything that can fault before the switch has been tried, and loads the new one's state.
  private mutating func leaveTask<Memory>(
    _ access: TaskSwitchQualification, _ event: Event?, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) -> NewTask {
    let isReturn = access.source == .iretInstruction
    let isNested = access.source == .callInstruction || access.source == .taskGateInIDT
    var task = try newTask(access.tssSelector, isReturn: isReturn, memory)
    let tr = descriptor(.tr)
    let oldSelector = vmcs[.guestTRSelector].rawValue
    let old = TaskStateSegment(base: tr.base, is32Bit: tr.accessRights.type & 0b1000 != 0)
    guard tr.limit >= old.leastSavedLimit else { throw .invalidTSS(oldSelector) }

    let gdt = descriptor(.gdtr).base
    let (oldEntry, newEntry) = (gdt &+ UInt64(oldSelector & ~7) &+ 5, gdt &+ UInt64(task.selector & ~7) &+ 5)
    try memory.require(task.segment.base, byteCount: Int(task.segment.leastLimit) + 1, for: .read)
    if isNested { try memory.require(task.segment.base, byteCount: 2, for: .write) }
    if !isNested { try memory.require(oldEntry, byteCount: 1, for: .write) }
    try memory.require(old.saved.address, byteCount: old.saved.byteCount, for: .write)
    if !isReturn { try memory.require(newEntry, byteCount: 1, for: .write) }

    // The flag is in the type, and changed by locked accesses (SDM, "Automatic Locking"): no two processors may enter one
    // task. Who comes second has changed nothing.
    let busy: UInt8 = 1 << 1
    let accessByte = task.descriptor.accessByte
    if !isReturn { try memory.replace(accessByte, with: accessByte | busy, at: newEntry) }
    if !isNested && (isReturn || oldEntry != newEntry) {
      do throws(MemoryFault) { try memory.clear(busy, at: oldEntry) } catch {
        if !isReturn { try memory.clear(busy, at: newEntry) }
        throw error
      }
    }
    let isAfterInstruction = event?.hasInstructionLength ?? (access.source != .taskGateInIDT)
    try old.save(taskState(clearsNT: isReturn, isAfterInstruction: isAfterInstruction), to: memory)
    if isNested { try memory.store(UInt64(oldSelector), byteCount: 2, at: task.segment.base) }
    task.state = try task.segment.load(from: memory)
    if isNested { task.state.flags |= Self.nestedTask }
    return task
  }

  /// The task of a TSS selector.
  ///
  /// The processor has made these checks, but the table may have changed since.
  private func newTask<Memory>(
    _ selector: UInt16, isReturn: Bool, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) -> NewTask {
    let gdt = descriptor(.gdtr)
    guard selector & 4 == 0, UInt32(selector | 7) <= gdt.limit else { throw .invalidTSS(selector) }
    let entry = SegmentDescriptor(rawValue: try memory.load(gdt.base &+ UInt64(selector & ~7), byteCount: 8))
    let isBusy = entry.type & 0b0010 != 0
    guard !entry.isCodeOrData, entry.type & 0b0101 == 0b0001, isBusy == isReturn else {
      throw isReturn ? .invalidTSS(selector) : .selectorFault(.generalProtection, selector)
    }
    guard entry.isPresent else { throw .selectorFault(.segmentNotPresent, selector) }
    let segment = TaskStateSegment(base: entry.base, is32Bit: entry.type & 0b1000 != 0)
    guard entry.limit >= segment.leastLimit else { throw .invalidTSS(selector) }
    return NewTask(selector: selector, descriptor: entry, segment: segment)
  }

  /// The state of the task that runs.
  private func taskState(clearsNT: Bool, isAfterInstruction: Bool) -> TaskState {
    var state = TaskState()
    state.ip = vmcs[.guestRIP] &+ (isAfterInstruction ? UInt64(vmcs[.vmExitInstructionLength]) : 0)
    state.flags = vmcs[.guestRFLAGS].rawValue & (clearsNT ? ~Self.nestedTask : ~0)
    for index in 0..<8 { state.general[index] = generalPurposeRegister(index) }
    state.selectors = [
      vmcs[.guestESSelector].rawValue, vmcs[.guestCSSelector].rawValue, vmcs[.guestSSSelector].rawValue,
      vmcs[.guestDSSelector].rawValue, vmcs[.guestFSSelector].rawValue, vmcs[.guestGSSelector].rawValue,
    ]
    return state
  }

  /// Makes the new task the current one, but for the descriptors of its segments: from here on, faults are the new task's.
  ///
  /// - Returns: whether CR3 has changed.
  private mutating func enter(_ task: NewTask) -> Bool {
    let busy: UInt64 = 1 << 41
    vmcs[.guestTRSelector] = SegmentSelector(rawValue: task.selector)
    setDescriptor(.tr, to: SegmentDescriptor(rawValue: task.descriptor.rawValue | busy).descriptor)
    let taskSwitched: UInt64 = 1 << 3
    setCR0(register(.cr0) | taskSwitched)
    let localEnables: UInt64 = 0x155
    vmcs[.guestDR7] = DR7(rawValue: vmcs[.guestDR7].rawValue & ~localEnables)

    for index in 0..<8 where index != 4 { state.registerFile[index] = task.state.general[index] }
    vmcs[.guestRSP] = task.state.general[4]
    vmcs[.guestRIP] = task.state.ip
    vmcs[.guestRFLAGS] = RFLAGS(rawValue: task.state.flags & Self.definedFlags | 2)
    endInterruptShadow()
    vmcs[.guestPendingDebugExceptions] = PendingDebugExceptions(rawValue: 0)
    setSelectors(of: task)
    guard task.segment.is32Bit, vmcs[.guestCR0].pg, task.state.cr3 != vmcs[.guestCR3] else { return false }
    vmcs[.guestCR3] = task.state.cr3
    state.needsVPIDFlush = true
    return true
  }

  /// The breakpoint condition BT of DR6.
  private static var taskSwitchTrap: UInt64 { 1 << 15 }
  private static var nestedTask: UInt64 { 1 << 14 }
  /// The flags of EFLAGS that exist.
  private static var definedFlags: UInt64 { 0x3F_7FD5 }
}

extension MemoryFault {
  /// An exception with a selector's index and table as its error code.
  static func selectorFault(_ vector: ExceptionVector, _ selector: UInt16) -> Self {
    .exception(.exception(vector, errorCode: UInt32(selector & ~3)))
  }

  /// #TS with `selector`.
  static func invalidTSS(_ selector: UInt16) -> Self { selectorFault(.invalidTSS, selector) }
}
