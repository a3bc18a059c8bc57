import VMCS
import VMX

// The way of an interrupt: from a device or another processor to the mailbox, from there to the local APIC, and into the
// guest.
extension VirtualProcessor {
  // MARK: Into the guest

  /// Takes what was posted, and injects what the guest can take; what the host has to do instead of entering the guest.
  @inline(never) @usableFromInline
  mutating func prepare<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> HostRequest? {
    if !kicks.isEmpty { return .kick }
    if mailbox.hasPosted { takePosted(&vcpu) }
    if activity != .active { return requestWhileAsleep(&vcpu) }
    let isRequested = isInterruptRequested(&vcpu)
    switch vcpu.prepareEvents(externalInterruptRequested: isRequested) {
    case .ready: break
    case .tripleFault: return .stopped(.tripleFault)
    case .takesExternalInterrupt:
      let event = Event.externalInterrupt(acknowledge())
      if !kicks.isEmpty {
        vcpu.keep(event)
        return .kick
      }
      vcpu.inject(event)
      if isInterruptRequested(&vcpu) { vcpu.requestInterruptWindow() }
    }
    synchronize(&vcpu)
    attend()
    return nil
  }

  /// Decides whether the next entry has something to look at.
  @inlinable @inline(__always)
  mutating func attend() {
    isAttentive = localAPIC.needsAttention || isExtINTRequested
    if localAPIC.nextDeadline != .max { isTimed = true }
  }

  /// Whether the guest is to be interrupted by software.
  private mutating func isInterruptRequested<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> Bool {
    if vcpu.options.contains(.useTPRShadow) { localAPIC.synchronizeTaskPriority() }
    return localAPIC.hasDeliverableInterrupt || isExtINTRequested
  }

  @inlinable
  var isExtINTRequested: Bool {
    @inline(__always) mutating get {
      machine.pointee.bus.knownInterruptPending && (localAPIC.acceptsExtINT || hasExtINTMessage)
    }
  }

  /// The vector for the guest; the 8259As come first, as they have nothing that masks them but IF.
  ///
  /// They are asked, too, if their request has gone meanwhile: theirs is the spurious interrupt then.
  private mutating func acknowledge() -> UInt8 {
    guard isExtINTRequested || !localAPIC.hasDeliverableInterrupt else { return localAPIC.acknowledge() }
    hasExtINTMessage = false
    machine.pointee.lock.acquire()
    let vector = machine.pointee.bus.acknowledgeInterrupt()
    finishDeviceAccess()
    return vector
  }

  /// Tells the processor of what the local APIC holds, for the help that it gives.
  mutating func synchronize<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) {
    if localAPIC.usesVirtualInterruptDelivery {
      if localAPIC.takeVirtualChange() {
        vcpu.setGuestInterruptStatus(
          rvi: localAPIC.requestingVirtualInterrupt, svi: localAPIC.servicingVirtualInterrupt)
      }
      if localAPIC.takeTriggerModeChange() {
        vcpu.setEOIExitBitmap([
          localAPIC.endOfInterruptExitBitmap(0), localAPIC.endOfInterruptExitBitmap(1),
          localAPIC.endOfInterruptExitBitmap(2), localAPIC.endOfInterruptExitBitmap(3),
        ])
      }
    } else {
      vcpu.setTPRThreshold(localAPIC.taskPriorityThreshold)
    }
  }

  /// Moves what was posted into the local APIC, and does what is for the processor itself.
  private mutating func takePosted<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) {
    let events = mailbox.drain(into: &localAPIC)
    isAttentive = true
    if events.isEmpty { return }
    if events.nmi { vcpu.requestNMI() }
    if events.secondNMI { vcpu.requestNMI() }
    if events.extINT { hasExtINTMessage = true }
    if events.initialize { initialize(&vcpu) }
    if let vector = events.startUp, activity == .waitForSIPI, stop == nil {
      vcpu.applySIPI(vector: vector)
      activity = .active
    }
  }

  /// INIT: the bootstrap processor would begin at the reset vector, which is a restart of the machine.
  private mutating func initialize<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) {
    vcpu.applyINIT()
    localAPIC.initialize()
    mailbox.publish(localAPIC.identity)
    hasExtINTMessage = false
    vcpu.setTPRThreshold(0)
    activity = .waitForSIPI
    if localAPIC.base & LocalAPIC.bootstrapProcessorBit != 0 { stop = .reset(.initialize) }
  }

  // MARK: Halting

  /// HLT has been executed: goes on if there is an interrupt, and asks the host to wait for one otherwise.
  @inline(never) @usableFromInline
  mutating func halt<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> HostRequest? {
    activity = .halted
    if mailbox.hasPosted { takePosted(&vcpu) }
    if activity == .halted && hasReasonToWake(&vcpu) { activity = .active }
    return activity == .active ? nil : requestWhileAsleep(&vcpu)
  }

  private mutating func hasReasonToWake<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> Bool {
    if vcpu.endsHLT { return true }
    guard vcpu.interruptsEnabled else { return false }
    if vcpu.hasAcknowledgedInterrupt { return true }
    if localAPIC.usesVirtualInterruptDelivery {
      if localAPIC.hasRecognizableVirtualInterrupt() { return true }
      return isExtINTRequested
    }
    return isInterruptRequested(&vcpu)
  }

  /// Whether a processor that was not active is now.
  @inline(never) @usableFromInline
  mutating func wake<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> Bool {
    if mailbox.hasPosted {
      stayAwake()
      takePosted(&vcpu)
    }
    if activity == .halted && hasReasonToWake(&vcpu) { activity = .active }
    if activity == .active {
      stayAwake()
      return true
    }
    return false
  }

  /// What the host does while the processor is not active.
  @inline(never) @usableFromInline
  mutating func requestWhileAsleep<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> HostRequest {
    if let stop { return .stopped(stop) }
    if sleep != nil { return .halted }
    // A device's request is an NMI where LINT0 is one.
    let mayWake = activity == .halted && (vcpu.interruptsEnabled || localAPIC.takesNMIAtLINT0)
    return fallAsleep(for: mayWake ? .interrupt : .event)
  }

  /// Notes that the processor sleeps; when none is left that an interrupt could wake, the guest has come to its end.
  private mutating func fallAsleep(for reason: Sleep) -> HostRequest {
    sleep = reason
    guard reason == .event else { return .halted }
    machine.pointee.lock.acquire()
    defer { machine.pointee.lock.release() }
    machine.pointee.sleepers += 1
    return machine.pointee.isAsleepForEver ? .stopped(.haltedForEver) : .halted
  }

  /// Before the mailbox is emptied, so that no other processor takes this one for one that nothing wakes.
  private mutating func stayAwake() {
    guard let reason = sleep else { return }
    sleep = nil
    guard reason == .event else { return }
    machine.pointee.lock.acquire()
    machine.pointee.sleepers -= 1
    machine.pointee.lock.release()
  }

  // MARK: From the local APIC

  /// Does what a write to the local APIC has caused; what the host has to do.
  @inlinable @inline(__always)
  mutating func finish<P: VMXProcessor>(_ effect: LocalAPICEffect, _ vcpu: inout LoadedVCPU<P>) -> HostRequest? {
    attend()
    switch effect {
    case .none: return nil
    // The loop sets the VMX-preemption timer.
    case .deadlineChanged: return vcpu.options.contains(.activateVMXPreemptionTimer) ? nil : .deadlineChanged
    default: return finishRare(effect, &vcpu)
    }
  }

  @inline(never) @usableFromInline
  mutating func finishRare<P: VMXProcessor>(_ effect: LocalAPICEffect, _ vcpu: inout LoadedVCPU<P>) -> HostRequest? {
    if case .baseChanged = effect {
      cpuid.setLocalAPICEnabled(localAPIC.mode != .disabled)
      vcpu.setLocalAPICMode(localAPIC.mode)
      localAPICMoved()
    }
    perform(effect)
    synchronize(&vcpu)
    attend()
    // The I/O APIC may have answered an EOI, and an IPI may be to this processor, too.
    if mailbox.hasPosted { isAttentive = true }
    if case .baseChanged = effect { return .deadlineChanged }
    return kicks.isEmpty ? nil : .kick
  }

  /// Does what a write to the local APIC has caused outside of this processor.
  mutating func perform(_ effect: LocalAPICEffect) {
    switch effect {
    case .send(let message): send(message)
    case .endOfInterrupt(let vector):
      machine.pointee.lock.acquire()
      machine.pointee.bus.endOfInterrupt(vector: vector)
      finishDeviceAccess()
    case .identityChanged, .baseChanged: mailbox.publish(localAPIC.identity)
    case .none, .deadlineChanged, .generalProtection: break
    }
  }

  /// Sends an interprocessor interrupt; to itself without the way through the mailbox.
  private mutating func send(_ message: InterruptMessage) {
    var targets = machine.pointee.mailboxes.targets(of: message, from: index)
    let hasVector = message.deliveryMode == .fixed || message.deliveryMode == .lowestPriority
    if hasVector, targets.remove(ProcessorSet(index)) != nil {
      localAPIC.accept(vector: message.vector, isLevelTriggered: false)
    }
    kicks.formUnion(machine.pointee.mailboxes.post(message, to: targets))
    kicks.subtract(ProcessorSet(index))
    if targets.contains(ProcessorSet(index)) { isAttentive = true }
  }

  // MARK: From the devices

  /// Posts what the devices send, while the lock is held.
  @inline(never) @usableFromInline
  mutating func distribute() {
    while let message = machine.pointee.bus.takeMessage() {
      let targets = machine.pointee.mailboxes.targets(of: message, from: nil)
      kicks.formUnion(machine.pointee.mailboxes.post(message, to: targets))
      if targets.contains(ProcessorSet(index)) { isAttentive = true }
    }
    // The 8259As' INTR is wired to LINT0 of every processor.
    if machine.pointee.bus.takeInterruptRise() { kicks.exits.formUnion(machine.pointee.mailboxes.all) }
    setLINT0()
    kicks.subtract(ProcessorSet(index))
    if machine.pointee.bus.interruptPending || !kicks.isEmpty { isAttentive = true }
  }

  /// Tells the local APIC of what INTR has done since the last time; it may have risen and fallen meanwhile.
  private mutating func setLINT0() {
    let rises = machine.pointee.bus.interruptRises
    if rises != knownInterruptRises {
      knownInterruptRises = rises
      isAttentive = true
      if localAPIC.isLINT0High { _ = localAPIC.setPin(.lint0, false) }
      if localAPIC.setPin(.lint0, true) {
        _ = mailbox.post(InterruptMessage(destination: ~0, vector: 0, deliveryMode: .nmi))
      }
    }
    if localAPIC.isLINT0High && !machine.pointee.bus.knownInterruptPending { _ = localAPIC.setPin(.lint0, false) }
  }

  // MARK: The host's

  /// When `advance(to:)` has something to do, on the host's time-stamp counter; `UInt64.max` if it has not.
  @inlinable
  public var nextDeadline: UInt64 { localAPIC.nextDeadline }

  /// Brings the local APIC's timer to `now`, a value of the host's time-stamp counter.
  public mutating func advance(to now: UInt64) {
    let leastTicksBetweenExpiries: UInt64 = 2000
    // In the other modes the guest has to set the timer again.
    if localAPIC.advance(to: now) != 0 && localAPIC.isTimerPeriodic {
      earliestExpiry = now &+ leastTicksBetweenExpiries
    }
    setLINT0()
    attend()
  }

  /// Uses the devices, with the lock held, and passes on the interrupts that come of it.
  public mutating func withDevices(_ body: (UnsafeMutablePointer<VirtualMachine>) -> Void) {
    machine.pointee.lock.acquire()
    body(machine)
    finishDeviceAccess()
  }

  /// The processors that have to be kicked, once: by an interrupt of the host's that makes them leave their guest, or
  /// their halt, or by the posted-interrupt notification vector.
  public mutating func takeKicks() -> ProcessorKicks {
    defer { kicks = ProcessorKicks() }
    return kicks
  }
}
