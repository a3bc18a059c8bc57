// Acceptance, priorities and delivery (SDM, "Handling Interrupts" and "Interrupt, Task, and Processor Priority").
extension LocalAPIC {
  // MARK: Acceptance

  /// Takes an interrupt with a vector: from a message, or from the local vector table.
  ///
  /// A vector below 16 is an error; an APIC that software has disabled takes none. The other delivery modes are for
  /// the processor, not for its local APIC.
  @inlinable
  public mutating func accept(vector: UInt8, isLevelTriggered: Bool) {
    guard vector >= 16 else { return report(.receiveIllegalVector) }
    guard isSoftwareEnabled else { return }
    let bit = Self.bit(of: vector)
    let modes = Self.register(of: vector, from: LocalAPICRegister.triggerMode)
    let old = load(modes)
    if (old & bit != 0) != isLevelTriggered {
      store(modes, old ^ bit)
      triggerModeChanged = true
    }
    let requests = Self.register(of: vector, from: LocalAPICRegister.interruptRequest)
    store(requests, load(requests) | bit)
    requestWords |= 1 &<< (vector &>> 5)
    virtualStateChanged = true
    if vector > highestRequest {
      highestRequest = vector
      updatePriority()
    }
  }

  // MARK: Delivery without virtual-interrupt delivery

  /// Gives the vector of the highest priority to the processor, which is now in service.
  ///
  /// - Returns: the spurious-interrupt vector, with nothing in service, if no interrupt is deliverable.
  @inlinable
  public mutating func acknowledge() -> UInt8 {
    guard hasDeliverableInterrupt else {
      return UInt8(truncatingIfNeeded: load(LocalAPICRegister.spuriousInterruptVector))
    }
    let vector = highestRequest
    let requests = Self.register(of: vector, from: LocalAPICRegister.interruptRequest)
    let rest = load(requests) & ~Self.bit(of: vector)
    store(requests, rest)
    if rest == 0 { requestWords &= ~(1 &<< (vector &>> 5)) }
    highestRequest = highest(from: LocalAPICRegister.interruptRequest, words: requestWords)

    let services = Self.register(of: vector, from: LocalAPICRegister.inService)
    store(services, load(services) | Self.bit(of: vector))
    inServiceWords |= 1 &<< (vector &>> 5)
    highestInService = vector
    updatePriority()
    return vector
  }

  /// Ends the interrupt in service that has the highest priority.
  ///
  /// - Returns: its vector, if the I/O APICs have to hear of its end; the effect of a write to EOI says the same.
  @inlinable
  public mutating func endOfInterrupt() -> UInt8? {
    if usesVirtualInterruptDelivery { reload() }
    let vector = highestInService
    guard vector != 0 else { return nil }
    let bit = Self.bit(of: vector)
    let services = Self.register(of: vector, from: LocalAPICRegister.inService)
    let rest = load(services) & ~bit
    store(services, rest)
    if rest == 0 { inServiceWords &= ~(1 &<< (vector &>> 5)) }
    highestInService = highest(from: LocalAPICRegister.inService, words: inServiceWords)
    virtualStateChanged = true
    updatePriority()
    if load(Self.register(of: vector, from: LocalAPICRegister.triggerMode)) & bit == 0 { return nil }
    return endLevelTriggered(vector)
  }

  /// What else happens when a level-triggered interrupt ends: the broadcast, unless SVR suppresses it, and LINT0.
  @inline(never) @usableFromInline
  mutating func endLevelTriggered(_ vector: UInt8) -> UInt8? {
    endPin(vector)
    return load(LocalAPICRegister.spuriousInterruptVector) & 1 << 12 == 0 ? vector : nil
  }

  // MARK: Priority

  /// Takes notice of a TPR that the processor has written to the page: after every VM exit if the TPR shadow is used.
  @inlinable @inline(__always)
  public mutating func synchronizeTaskPriority() {
    if taskPriority != page.load(fromByteOffset: LocalAPICRegister.taskPriority, as: UInt8.self) { updatePriority() }
  }

  /// The value that the VMCS's TPR threshold needs: the class below which the task priority has to sink so that an
  /// interrupt that only it holds back becomes deliverable; 0 if there is none.
  @inlinable
  public var taskPriorityThreshold: UInt8 {
    let waiting = highestRequest &>> 4
    let isHeldByService = waiting <= highestInService &>> 4
    return isHeldByService || waiting > taskPriority &>> 4 ? 0 : waiting
  }

  /// Computes PPR, and from it whether an interrupt is deliverable (SDM, "Task and Processor Priorities").
  @inlinable @inline(__always)
  mutating func updatePriority() {
    taskPriority = page.load(fromByteOffset: LocalAPICRegister.taskPriority, as: UInt8.self)
    let serviceClass = highestInService & 0xF0
    let priority = taskPriority & 0xF0 >= serviceClass ? taskPriority : serviceClass
    store(LocalAPICRegister.processorPriority, UInt32(priority))
    isDeliverable = highestRequest & 0xF0 > priority & 0xF0 && !usesVirtualInterruptDelivery
  }

  /// The highest vector of eight registers of which `words` says which are not 0; 0 if none is.
  @inlinable @inline(__always)
  func highest(from first: Int, words: UInt8) -> UInt8 {
    guard words != 0 else { return 0 }
    let index = 7 &- words.leadingZeroBitCount
    let word = load(first &+ index &* 16)
    return UInt8(truncatingIfNeeded: index &* 32 &+ 31 &- word.leadingZeroBitCount)
  }

  /// Derives again what is kept of IRR, ISR and TPR, after the processor has changed the page.
  @inline(never) @usableFromInline
  mutating func reload() {
    requestWords = words(from: LocalAPICRegister.interruptRequest)
    inServiceWords = words(from: LocalAPICRegister.inService)
    highestRequest = highest(from: LocalAPICRegister.interruptRequest, words: requestWords)
    highestInService = highest(from: LocalAPICRegister.inService, words: inServiceWords)
    updatePriority()
  }

  private func words(from first: Int) -> UInt8 {
    var words: UInt8 = 0
    for index in 0..<8 where load(first + index * 16) != 0 { words |= 1 << UInt8(index) }
    return words
  }

  // MARK: Virtual-interrupt delivery

  /// Says who delivers interrupts from now on: the processor from the page, or ``acknowledge()``.
  public mutating func setVirtualInterruptDelivery(_ isUsed: Bool) {
    usesVirtualInterruptDelivery = isUsed
    triggerModeChanged = true
    virtualStateChanged = true
    reload()
  }

  /// RVI, the low byte of the VMCS's guest interrupt status: the highest vector of IRR, 0 for none.
  ///
  /// It is searched for in the page, as is ``servicingVirtualInterrupt``.
  public var requestingVirtualInterrupt: UInt8 {
    highest(from: LocalAPICRegister.interruptRequest, words: words(from: LocalAPICRegister.interruptRequest))
  }

  /// SVI, the high byte of the VMCS's guest interrupt status: the highest vector of ISR, 0 for none.
  public var servicingVirtualInterrupt: UInt8 {
    highest(from: LocalAPICRegister.inService, words: words(from: LocalAPICRegister.inService))
  }

  /// Whether a halted processor with virtual-interrupt delivery has an interrupt to wake for: the class of RVI is above
  /// that of PPR.
  public mutating func hasRecognizableVirtualInterrupt() -> Bool {
    reload()
    return highestRequest & 0xF0 > UInt8(truncatingIfNeeded: load(LocalAPICRegister.processorPriority)) & 0xF0
  }

  /// Tells, once, whether the guest interrupt status has to be written again.
  @inlinable
  public mutating func takeVirtualChange() -> Bool {
    defer { virtualStateChanged = false }
    return virtualStateChanged
  }

  /// Tells, once, whether the EOI-exit bitmaps have to be written again.
  @inlinable
  public mutating func takeTriggerModeChange() -> Bool {
    defer { triggerModeChanged = false }
    return triggerModeChanged
  }

  /// One of the four EOI-exit bitmaps of the VMCS: the vectors whose EOI has to exit, which are the level-triggered.
  ///
  /// - Parameter index: 0 to 3, for vectors from 64 × `index` on.
  public func endOfInterruptExitBitmap(_ index: Int) -> UInt64 {
    let first = LocalAPICRegister.triggerMode + (index & 3) * 32
    return UInt64(load(first)) | UInt64(load(first + 16)) << 32
  }

  /// An EOI-induced VM exit: the processor has ended `vector`, which is in the exit qualification.
  public mutating func virtualEOI(vector: UInt8) -> LocalAPICEffect {
    if let vector = endLevelTriggered(vector) { .endOfInterrupt(vector: vector) } else { .none }
  }
}
