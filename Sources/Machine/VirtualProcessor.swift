import VMCS
import VMX

/// One processor of a guest: what it shows of itself, and what becomes of its VM exits.
///
/// The path of a VM exit is in `run`, from top to bottom: `LoadedVCPU.run`, the exit, its handler, back to the guest.
public struct VirtualProcessor: ~Copyable {
  @usableFromInline let machine: UnsafeMutablePointer<VirtualMachine>
  @usableFromInline let cpuid: CPUIDTable
  @usableFromInline var msrs: MSRPolicy
  @usableFromInline let xcr0: XCR0Policy
  @usableFromInline var isHalted = false

  /// Makes a processor of `machine`, which must outlive it.
  public init(
    of machine: UnsafeMutablePointer<VirtualMachine>, cpuid: CPUIDTable, msrs: MSRPolicy, xcr0: XCR0Policy
  ) {
    self.machine = machine
    self.cpuid = cpuid
    self.msrs = msrs
    self.xcr0 = xcr0
  }

  /// Runs the guest on `vcpu` until the host has something to do.
  @inlinable
  public mutating func run<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> HostRequest {
    if isHalted && !wake() { return .halted }
    while true {
      if machine.pointee.bus.interruptPending || vcpu.needsEventPreparation {
        if !prepare(&vcpu) { return .stopped(.tripleFault) }
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
      case .wrmsr: emulateWRMSR(&vcpu)
      case .externalInterrupt(let vector): return .interrupt(vector: vector)
      case .eptViolation(let address, let access):
        if let stop = mapOnDemand(address, access, &vcpu) { return .stopped(stop) }
      case .interruptWindow, .nmiWindow: break
      case .hlt:
        vcpu.advance()
        guard vcpu.interruptsEnabled else { return .stopped(.haltedForEver) }
        if !machine.pointee.bus.interruptPending {
          isHalted = true
          return .halted
        }
      case let exit:
        if let stop = handleRare(exit, &vcpu) { return .stopped(stop) }
      }
    }
  }

  @inline(never) @usableFromInline
  mutating func wake() -> Bool {
    isHalted = !machine.pointee.bus.interruptPending
    return !isHalted
  }

  /// Injects what waits; false if the guest's processor shuts down.
  @inline(never) @usableFromInline
  mutating func prepare<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) -> Bool {
    switch vcpu.prepareEvents(externalInterruptRequested: machine.pointee.bus.interruptPending) {
    case .ready: return true
    case .tripleFault: return false
    case .takesExternalInterrupt:
      machine.pointee.lock.acquire()
      let vector = machine.pointee.bus.acknowledgeInterrupt()
      machine.pointee.lock.release()
      vcpu.inject(.externalInterrupt(vector))
      if machine.pointee.bus.interruptPending { vcpu.requestInterruptWindow() }
      return true
    }
  }

  // These are mutating although they change little: what borrows a large struct is given a copy of it.

  @inlinable @inline(__always)
  mutating func emulateCPUID<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) {
    let registers = vcpu.registers
    let leaf = UInt32(truncatingIfNeeded: registers.pointee.rax)
    let subleaf = UInt32(truncatingIfNeeded: registers.pointee.rcx)
    let result = cpuid.lookup(leaf: leaf, subleaf: subleaf, cr4: vcpu.watchedCR4, xcr0: vcpu.xcr0)
    registers.pointee.rax = UInt64(result.eax)
    registers.pointee.rbx = UInt64(result.ebx)
    registers.pointee.rcx = UInt64(result.ecx)
    registers.pointee.rdx = UInt64(result.edx)
    vcpu.advance()
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
    machine.pointee.lock.release()
    vcpu.advance()
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
    machine.pointee.lock.release()
    vcpu.advance()
  }

  /// What an access to a port has made due.
  @inlinable @inline(__always)
  mutating func requestAfterIO() -> HostRequest? {
    // First, because the host enters the guest again after the others.
    if let request = machine.pointee.bus.request {
      switch request {
      case .powerOff: return .stopped(.powerOff)
      case .reset(let source): return .stopped(.reset(source))
      }
    }
    if machine.pointee.bus.nextDeadline != machine.pointee.armedDeadline { return .deadlineChanged }
    return machine.pointee.bus.hasTransmitted && !machine.pointee.isOutputDraining ? .output : nil
  }

  @inlinable @inline(__always)
  mutating func emulateRDMSR<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) {
    let registers = vcpu.registers
    switch msrs.read(MSR(rawValue: UInt32(truncatingIfNeeded: registers.pointee.rcx))) {
    case .value(let value): vcpu.completeRDMSR(value)
    case .debugControl: vcpu.completeRDMSR(vcpu.debugControl.rawValue)
    case .timestampCounterAdjustment: vcpu.completeRDMSR(vcpu.timestampCounterAdjustment)
    case .generalProtection, .localAPIC: vcpu.raise(.generalProtection)
    }
  }

  @inline(never) @usableFromInline
  mutating func emulateWRMSR<P: VMXProcessor>(_ vcpu: inout LoadedVCPU<P>) {
    let registers = vcpu.registers
    let value = registers.pointee.rdx << 32 | registers.pointee.rax & 0xFFFF_FFFF
    switch msrs.write(MSR(rawValue: UInt32(truncatingIfNeeded: registers.pointee.rcx)), value) {
    case .done: vcpu.advance()
    case .timestampCounter(let value):
      vcpu.setTimestampCounter(to: value)
      vcpu.advance()
    case .timestampCounterAdjustment(let value):
      vcpu.timestampCounterAdjustment = value
      vcpu.advance()
    case .debugControl(let value):
      vcpu.debugControl = IA32DEBUGCTL(rawValue: value)
      vcpu.advance()
    case .generalProtection, .localAPIC: vcpu.raise(.generalProtection)
    }
  }

  /// The exits that no guest meets often; why the guest stops, if it does.
  @inline(never) @usableFromInline
  mutating func handleRare<P: VMXProcessor>(_ exit: VMExit, _ vcpu: inout LoadedVCPU<P>) -> GuestStop? {
    switch exit {
    case .controlRegisterAccess(let access):
      vcpu.emulate(access, memory: machine.pointee.memory, physicalAddressWidth: cpuid.physicalAddressWidth)
    case .xsetbv: vcpu.emulateXSETBV(xcr0)
    case .invalidateCaches: vcpu.advance()
    case .undefinedInstruction: vcpu.raise(.invalidOpcode)
    case .forbiddenInstruction: vcpu.raise(.generalProtection)
    case .tripleFault: return .tripleFault
    case .entryFailure(let reason, let qualification): return .entryFailure(reason, qualification: qualification)
    case .entryInstructionFailed(let error): return .entryInstructionFailed(error)
    case .taskSwitch: return .unsupported("the guest switched tasks by hardware, which Skep does not emulate")
    case .exception(let information): vcpu.reflect(information)
    case .hostNMI: return .unsupported("the host had an NMI while the guest ran")
    case .hostMachineCheck: return .unsupported("the host had a machine check while the guest ran")
    case .initSignal: return .unsupported("the host's processor got an INIT signal")
    case .eptMisconfiguration(let address): return .eptMisconfiguration(guestPhysicalAddress: address)
    case .tprBelowThreshold, .apicAccess, .virtualizedEOI, .apicWrite, .preemptionTimerExpired:
      return .unsupported("an exit of the processor's help with the local APIC, which is not used")
    case .unknown(let reason): return .unknownExit(reason)
    case .cpuid, .io, .rdmsr, .wrmsr, .eptViolation, .externalInterrupt, .interruptWindow, .nmiWindow, .hlt: break
    }
    return nil
  }

  /// Maps the page that was touched, if there is memory for it; whatever the access interrupted is delivered again.
  ///
  /// - Returns: why the guest stops, if it does.
  @inline(never) @usableFromInline
  mutating func mapOnDemand<P: VMXProcessor>(
    _ address: UInt64, _ access: EPTViolationQualification, _ vcpu: inout LoadedVCPU<P>
  ) -> GuestStop? {
    let page = address & ~0xFFF
    guard let offset = machine.pointee.memory.layout.offset(of: page, byteCount: 4096) else {
      return .missingMemory(guestPhysicalAddress: address, access)
    }
    vcpu.restoreBlockingByNMI(unblocked: access.nmiUnblockingDueToIRET)
    vcpu.keepInterruptedEvent()
    let physical = PhysicalAddress(machine.pointee.backing.rawValue + offset)
    machine.pointee.lock.acquire()
    defer { machine.pointee.lock.release() }
    do throws(EPTError) {
      if try machine.pointee.tables.mapIfAbsent(page, to: physical) { return nil }
      // Another processor may have been first; what was mapped already when this one looked is not to be mapped again.
      return access.readable || access.writable || access.executable
        ? .missingMemory(guestPhysicalAddress: address, access) : nil
    } catch { return .unsupported("Skep has no memory left for extended page tables") }
  }
}
