import VMCS
import VMX

extension VirtualProcessor {
  /// Emulates INS or OUTS, and with REP as many elements as `batch` allows: for the rest the guest executes the
  /// instruction again, as after an interrupt.
  @inline(never) @usableFromInline
  mutating func emulateStringIO<P: VMXProcessor>(
    _ access: IOInstructionQualification, _ vcpu: inout LoadedVCPU<P>
  ) -> HostRequest? {
    do throws(MemoryFault) {
      let translation = vcpu.linearAddressTranslation(
        physicalAddressWidth: cpuid.physicalAddressWidth, has1GBPages: cpuid.has1GBPages)
      let instruction = try vcpu.stringIOInstruction(
        isINS: access.direction == .in, translation, in: machine.pointee.memory)
      try repeatStringIO(access, instruction, vcpu.memoryOperand(in: instruction.segment, translation), &vcpu)
    } catch {
      switch error {
      case .exception(let exception): vcpu.raise(exception)
      case .pageFault(let address, let code): vcpu.raisePageFault(at: address, code)
      case .missingMemory(let address, let isWrite): return .stopped(.missingMemory(at: address, isWrite: isWrite))
      case .changed: vcpu.executeAgain()
      }
    }
    return requestAfterIO()
  }

  /// How many elements one exit moves at most, so that the host gets to its own work.
  private static var batch: Int { 64 }

  private mutating func repeatStringIO<P: VMXProcessor>(
    _ access: IOInstructionQualification, _ instruction: StringIOInstruction, _ operand: MemoryOperand,
    _ vcpu: inout LoadedVCPU<P>
  ) throws(MemoryFault) {
    let registers = vcpu.registers
    let isBackwards = vcpu.isDirectionFlagSet
    var remaining = access.rep ? instruction.part(of: registers.pointee.rcx) : 1
    if remaining == 0 { return vcpu.advance() }
    var elements = 0
    while remaining != 0 {
      // The guest may be interrupted between two elements.
      if elements == Self.batch || elements > 0 && (interruptsRepetition || requestAfterIO() != nil) {
        return vcpu.pauseRepetition()
      }
      let size = try moveElement(access, instruction, operand, &vcpu)
      let step = isBackwards ? 0 &- size : size
      if access.direction == .in {
        registers.pointee.rdi = instruction.register(registers.pointee.rdi, with: registers.pointee.rdi &+ step)
      } else {
        registers.pointee.rsi = instruction.register(registers.pointee.rsi, with: registers.pointee.rsi &+ step)
      }
      remaining -= 1
      elements += 1
      if access.rep { registers.pointee.rcx = instruction.register(registers.pointee.rcx, with: remaining) }
      if remaining != 0 && vcpu.endIteration(accessing: access.port, byteCount: Int(truncatingIfNeeded: size)) {
        return vcpu.pauseRepetition()
      }
    }
    vcpu.advance(pastAccessTo: access.port, byteCount: access.size == .byte ? 1 : access.size == .word ? 2 : 4)
  }

  /// Moves one element between the port and memory; its size in bytes.
  ///
  /// The memory is found first: a port is not accessed by an instruction that faults.
  private mutating func moveElement<P: VMXProcessor>(
    _ access: IOInstructionQualification, _ instruction: StringIOInstruction, _ operand: MemoryOperand,
    _ vcpu: inout LoadedVCPU<P>
  ) throws(MemoryFault) -> UInt64 {
    let isINS = access.direction == .in
    let size = IOSize(rawValue: access.size.rawValue + 1) ?? .byte
    let byteCount = Int(size.rawValue)
    let index = isINS ? vcpu.registers.pointee.rdi : vcpu.registers.pointee.rsi
    let location = try operand.locate(
      instruction.part(of: index), byteCount: byteCount, for: isINS ? .write : .read, in: machine.pointee.memory)
    if vcpu.hasBreakpoints {
      let linear = try operand.linearAddress(
        of: instruction.part(of: index), byteCount: byteCount, for: isINS ? .write : .read)
      vcpu.addBreakpoints(vcpu.dataBreakpoints(metAt: linear, byteCount: byteCount, isWrite: isINS))
    }
    let now = machine.pointee.clock.time(at: vcpu.timestampCounter)
    if isINS {
      machine.pointee.lock.acquire()
      let value = machine.pointee.bus.read(port: access.port, size: size, at: now)
      finishDeviceAccess()
      for byte in 0..<byteCount {
        _ = machine.pointee.memory.store(
          UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)), at: location.address(of: byte))
      }
    } else {
      var value: UInt32 = 0
      for byte in 0..<byteCount {
        value |=
          UInt32(machine.pointee.memory.load(location.address(of: byte), as: UInt8.self) ?? 0) << UInt32(8 * byte)
      }
      machine.pointee.lock.acquire()
      machine.pointee.bus.write(port: access.port, size: size, value: value, at: now)
      finishDeviceAccess()
    }
    return UInt64(byteCount)
  }
}
