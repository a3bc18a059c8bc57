import VMCS
import VMX

/// One processor of a guest: what it shows of itself, its local APIC, and what becomes of its VM exits.
///
/// The path of a VM exit is in `run`, from top to bottom: `LoadedVCPU.run`, the exit, its handler, back to the guest.
public struct VirtualProcessor: ~Copyable {
  /// The number of the processor among those of its machine, from 0; 0 is the bootstrap processor.
  public let index: Int
  @usableFromInline let machine: UnsafeMutablePointer<VirtualMachine>
  @usableFromInline let mailbox: PostedInterruptDescriptor
  @usableFromInline let cpuid: CPUIDTable
  @usableFromInline var msrs: MSRPolicy
  @usableFromInline let xcr0: XCR0Policy
  /// The local APIC.
  @usableFromInline var localAPIC: LocalAPIC
  @usableFromInline var activity = ProcessorActivity.active
  /// What can end the sleep that the machine knows of; `nil` while awake.
  var sleep: Sleep?
  /// Whether the 8259As' interrupt that an I/O APIC has sent on as ExtINT has not been acknowledged yet.
  @usableFromInline var hasExtINTMessage = false
  /// Whether the local APIC, or the 8259As, may have something to look at before the guest is entered.
  ///
  /// Kept, because it is asked at every VM exit; `attend()` decides it anew.
  @usableFromInline var isAttentive = false
  /// Whether the VMX-preemption timer has to be set before the guest is entered: there is a deadline, or was, or an NMI
  /// of the host's may have set it.
  @usableFromInline var isTimed = false
  /// When the local APIC's timer may expire next: a while after the last time, so that a guest that asks for more
  /// interrupts than it can take still executes instructions.
  @usableFromInline var earliestExpiry: UInt64 = 0
  /// The processors that have to be kicked.
  ///
  /// They are by the time the guest is entered.
  @usableFromInline var kicks = ProcessorKicks()
  /// The rises of the 8259As' INTR that the local APIC has been told of.
  var knownInterruptRises: UInt8 = 0
  /// The host's time-stamp counter, for the accesses of an instruction that is emulated.
  var now: UInt64 = 0
  /// Why the guest stops, found out when posted events were taken.
  @usableFromInline var stop: GuestStop?

  /// Makes a processor of `machine`, which must outlive it.
  ///
  /// All but the bootstrap processor wait for a SIPI.
  ///
  /// - Parameters:
  ///   - index: 0 up to the machine's number of processors; its x2APIC ID.
  ///   - vcpu: holds the registers of the local APIC, in its virtual-APIC page.
  public init<P: VMXProcessor>(
    _ index: Int, of machine: UnsafeMutablePointer<VirtualMachine>, on vcpu: inout LoadedVCPU<P>, cpuid: CPUIDTable,
    msrs: MSRPolicy, xcr0: XCR0Policy
  ) {
    self.index = index
    self.machine = machine
    self.cpuid = cpuid
    self.msrs = msrs
    self.xcr0 = xcr0
    mailbox = machine.pointee.mailboxes[index]
    localAPIC = LocalAPIC(
      page: vcpu.virtualAPICPage, id: UInt32(truncatingIfNeeded: index), isBootstrapProcessor: index == 0,
      physicalAddressWidth: cpuid.physicalAddressWidth, hasX2APICMode: cpuid.hasX2APIC)
    localAPIC.setTimestampCounterOffset(vcpu.timestampCounterOffset, at: vcpu.timestampCounter)
    if vcpu.options.contains(.virtualInterruptDelivery) { localAPIC.setVirtualInterruptDelivery(true) }
    if index == 0 { localAPIC.enterVirtualWireMode() } else { activity = .waitForSIPI }
    mailbox.publish(localAPIC.identity)
    vcpu.setLocalAPICMode(localAPIC.mode)
  }

  /// Runs the guest until the host has something to do.
  ///
  /// An NMI of the host's that has come since `LoadedVCPU.beginAfterHostNMI` ends it soon, or keeps it from beginning. The
  /// host calls that when this has returned, and any halt is over, before it looks at what the NMI may have been for.
  @inlinable
  public mutating func run<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> HostRequest {
    isTimed = true
    if !kicks.isEmpty { return .kick }
    if activity != .active && !wake(&vcpu) { return requestWhileAsleep(&vcpu) }
    // Here is enough: what is posted later comes with a kick, which ends the run.
    if mailbox.hasPosted { isAttentive = true }
    while true {
      if isAttentive || vcpu.needsEventPreparation {
        if let request = prepare(&vcpu) { return request }
      }
      if isTimed {
        vcpu.setPreemptionTimer(until: max(localAPIC.nextDeadline, earliestExpiry))
        isTimed = localAPIC.nextDeadline != .max
      }
      switch vcpu.run(eptGeneration: machine.pointee.tables.generation) {
      case .cpuid: emulateCPUID(&vcpu)
      case .io(let access):
        if access.string {
          if let request = emulateStringIO(access, &vcpu) { return request }
          continue
        }
        emulateIO(access, &vcpu)
        if let request = requestAfterIO() { return request }
      case .rdmsr: emulateRDMSR(&vcpu)
      case .wrmsr:
        if let request = emulateWRMSR(&vcpu) { return request }
      case .externalInterrupt(let vector): return .interrupt(vector: vector)
      case .eptViolation(let address, let access):
        if let request = handleEPTViolation(address, access, &vcpu) { return request }
      case .interruptWindow, .nmiWindow: break
      case .hlt:
        vcpu.advance()
        if let request = halt(&vcpu) { return request }
      case .preemptionTimerExpired: return .preemptionTimer
      case let exit:
        if let request = handleRare(exit, &vcpu) { return request }
      }
    }
  }

  // These are mutating although they change little: what borrows a large struct is given a copy of it.

  @inlinable @inline(__always)
  mutating func emulateCPUID<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) {
    let registers = vcpu.registers
    let leaf = UInt32(truncatingIfNeeded: registers.pointee.rax)
    let subleaf = UInt32(truncatingIfNeeded: registers.pointee.rcx)
    let result = cpuid.lookup(
      leaf: leaf, subleaf: subleaf, cr4: vcpu.watchedCR4, xcr0: vcpu.xcr0, is64Bit: vcpu.is64Bit)
    registers.pointee.rax = UInt64(result.eax)
    registers.pointee.rbx = UInt64(result.ebx)
    registers.pointee.rcx = UInt64(result.ecx)
    registers.pointee.rdx = UInt64(result.edx)
    vcpu.advanceAfterCPUID()
  }

  /// IN or OUT.
  ///
  /// Nearly all are of one byte, so those have a path of their own.
  @inlinable @inline(__always)
  mutating func emulateIO<P: VMXProcessor>(_ access: IOInstructionQualification, _ vcpu: inout LoadedVCPU<P>) {
    if access.size != .byte { return emulateWideIO(access, &vcpu) }
    let registers = vcpu.registers
    let now = machine.pointee.clock.time(at: vcpu.timestampCounter)
    machine.pointee.lock.acquire()
    if access.direction == .in {
      let value = machine.pointee.bus.read(port: access.port, size: .byte, at: now)
      registers.pointee.rax = registers.pointee.rax & ~0xFF | UInt64(value)
    } else {
      machine.pointee.bus.write(
        port: access.port, size: .byte, value: UInt32(truncatingIfNeeded: registers.pointee.rax), at: now)
    }
    finishDeviceAccess()
    vcpu.advance(pastAccessTo: access.port, byteCount: 1)
  }

  @inline(never) @usableFromInline
  mutating func emulateWideIO<P: VMXProcessor>(_ access: IOInstructionQualification, _ vcpu: inout LoadedVCPU<P>) {
    let registers = vcpu.registers
    let isWord = access.size == .word
    let size: IOSize = isWord ? .word : .doubleword
    let now = machine.pointee.clock.time(at: vcpu.timestampCounter)
    machine.pointee.lock.acquire()
    if access.direction == .in {
      let value = UInt64(machine.pointee.bus.read(port: access.port, size: size, at: now))
      // A doubleword clears the upper half of RAX; a word leaves the rest of it.
      registers.pointee.rax = isWord ? registers.pointee.rax & ~0xFFFF | value : value
    } else {
      machine.pointee.bus.write(
        port: access.port, size: size, value: UInt32(truncatingIfNeeded: registers.pointee.rax), at: now)
    }
    finishDeviceAccess()
    vcpu.advance(pastAccessTo: access.port, byteCount: Int(size.rawValue))
  }

  /// What an access to a device has made due.
  ///
  /// The kicks of one are for ``prepare(_:)``: the news that they come with are those of all processors, and another may
  /// have looked at them.
  @inlinable @inline(__always)
  mutating func requestAfterIO() -> HostRequest? { machine.pointee.bus.hasNews ? requestForNews() : nil }

  /// With the lock held until the news are taken for known: what another processor adds is seen, here or there.
  @inline(never) @usableFromInline
  mutating func requestForNews() -> HostRequest? {
    machine.pointee.lock.acquire()
    defer { machine.pointee.lock.release() }
    // First, because the host enters the guest again after the others.
    if let request = machine.pointee.bus.request {
      switch request {
      case .powerOff: return .stopped(.powerOff)
      case .exit(let status): return .stopped(.exit(status: status))
      case .reset(let source): return .stopped(.reset(source))
      }
    }
    if machine.pointee.bus.nextDeadline != machine.pointee.armedDeadline { return .deviceDeadlineChanged }
    if machine.pointee.bus.hasTransmitted && !machine.pointee.isOutputDraining { return .output }
    if machine.pointee.bus.isInputWaiting && machine.pointee.bus.hasRoomForInput { return .input }
    machine.pointee.bus.hasNews = false
    return nil
  }

  @inlinable @inline(__always)
  mutating func emulateRDMSR<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) {
    let registers = vcpu.registers
    let index = UInt32(truncatingIfNeeded: registers.pointee.rcx)
    if index == MSR.ia32APICBASE.rawValue { return vcpu.completeRDMSR(localAPIC.base) }
    switch msrs.read(MSR(rawValue: index)) {
    case .value(let value): vcpu.completeRDMSR(value)
    case .debugControl: vcpu.completeRDMSR(vcpu.debugControl.rawValue)
    case .timestampCounterAdjustment: vcpu.completeRDMSR(vcpu.timestampCounterAdjustment)
    case .localAPIC:
      if let value = localAPIC.readMSR(index, at: vcpu.timestampCounter) {
        vcpu.completeRDMSR(value)
      } else {
        vcpu.raise(.generalProtection)
      }
    case .generalProtection: vcpu.raise(.generalProtection)
    }
  }

  /// WRMSR.
  ///
  /// Nearly all are to the local APIC, so those have a path of their own, and the most frequent has one whose effect the
  /// compiler knows.
  @inlinable @inline(__always)
  mutating func emulateWRMSR<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> HostRequest? {
    let registers = vcpu.registers
    let msr = MSR(rawValue: UInt32(truncatingIfNeeded: registers.pointee.rcx))
    let value = registers.pointee.rdx &<< 32 | registers.pointee.rax & 0xFFFF_FFFF
    guard MSRPolicy.isOfLocalAPIC(msr) else { return emulateOtherWRMSR(msr, value, &vcpu) }
    let now = vcpu.timestampCounter
    if msr == .ia32TSCDEADLINE {
      let effect = localAPIC.writeTimestampDeadline(value, at: now)
      vcpu.advance()
      return finish(effect, &vcpu)
    }
    let effect = localAPIC.writeMSR(msr.rawValue, value, at: now)
    if case .generalProtection = effect {
      vcpu.raise(.generalProtection)
      return nil
    }
    vcpu.advance()
    return finish(effect, &vcpu)
  }

  @inline(never) @usableFromInline
  mutating func emulateOtherWRMSR<P: VMXProcessor>(
    _ msr: MSR, _ value: UInt64, _ vcpu: inout LoadedVCPU<P>
  ) -> HostRequest? {
    switch msrs.write(msr, value) {
    case .done: vcpu.advance()
    case .timestampCounter(let value):
      vcpu.setTimestampCounter(to: value)
      return finishTimestampCounterChange(&vcpu)
    case .timestampCounterAdjustment(let value):
      vcpu.timestampCounterAdjustment = value
      return finishTimestampCounterChange(&vcpu)
    case .debugControl(let value):
      vcpu.debugControl = IA32DEBUGCTL(rawValue: value)
      vcpu.advance()
    case .generalProtection, .localAPIC: vcpu.raise(.generalProtection)
    }
    return nil
  }

  /// A deadline of the local APIC's timer, if there is one, comes at another time of the host's now.
  private mutating func finishTimestampCounterChange<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> HostRequest? {
    let deadline = localAPIC.nextDeadline
    let now = vcpu.timestampCounter
    // What is due comes before what changes.
    localAPIC.advance(to: now)
    localAPIC.setTimestampCounterOffset(vcpu.timestampCounterOffset, at: now)
    vcpu.advance()
    return localAPIC.nextDeadline == deadline ? nil : finish(.deadlineChanged, &vcpu)
  }

  /// Gives the lock back after an access to the devices, and passes on the interrupts that it has caused.
  @inlinable @inline(__always)
  mutating func finishDeviceAccess() {
    if machine.pointee.bus.hasNews && machine.pointee.bus.hasNewInterrupts { distribute() }
    machine.pointee.lock.release()
  }
}
