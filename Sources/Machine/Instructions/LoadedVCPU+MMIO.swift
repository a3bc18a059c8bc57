import VMCS
import VMX

/// How the emulation of an instruction that accesses a device ended.
@frozen
public enum MMIOOutcome: Equatable, Sendable {
  /// The guest goes on: the instruction has been executed, or a part of its repetitions, or it raises an exception.
  case done
  /// The instruction that these bytes begin with is not one that Skep emulates; nothing has been changed.
  case unsupported(InstructionBytes)
  /// There is no memory where a page walk or the code needs it.
  case missingMemory(guestPhysicalAddress: UInt64, isWrite: Bool)
}

extension LoadedVCPU {
  /// Executes the instruction at RIP in the guest's stead if that is quickly done: it is a `PlainMove` of 64-bit code,
  /// its operand is what made the guest exit, and is whole; and the guest has no breakpoints.
  ///
  /// - Parameters:
  ///   - access: the access that made the guest exit.
  ///   - device: what is accessed.
  ///   - physicalAddressWidth: the number of bits of a guest-physical address, as CPUID shows it.
  ///   - memory: where code and paging structures are.
  /// - Returns: false, with nothing changed, if `emulateMMIO` has to do it.
  @inline(__always)
  public mutating func moveQuickly<Device: MMIODevice & ~Copyable, Memory: GuestPhysicalMemory>(
    _ access: OperandAccess, on device: inout Device, physicalAddressWidth: UInt8, in memory: Memory
  ) -> Bool {
    guard let bytes = fetchQuickly(physicalAddressWidth: physicalAddressWidth, in: memory),
      let move = PlainMove(bytes)
    else { return false }
    let registers = RegisterFile(registers)
    guard access.isWhole(byteCount: move.byteCount), !hasBreakpoints,
      access.isAccess(toOperandAt: move.effectiveAddress(registers), isWrite: move.isStore)
    else { return false }
    move.execute(on: &device, at: access.address, registers)
    advance(by: UInt32(truncatingIfNeeded: move.length))
    return true
  }

  /// Executes the instruction at RIP in the guest's stead, because it accesses a device.
  ///
  /// A repeated string instruction is executed up to 64 times; for the rest the guest executes it again, as after an
  /// interrupt. A fault becomes an exception of the guest's, for which nothing of the instruction, or of the element of
  /// the string, has been executed.
  ///
  /// - Parameters:
  ///   - access: the access that made the guest exit.
  ///   - device: what is accessed in the page of `access`, and wherever there is no memory.
  ///   - translation: the translation of linear addresses.
  ///   - memory: where code, paging structures and the operands outside the device are.
  public mutating func emulateMMIO<Device: MMIODevice & ~Copyable, Memory: GuestPhysicalMemory>(
    _ access: OperandAccess, on device: inout Device, _ translation: LinearAddressTranslation, in memory: Memory
  ) -> MMIOOutcome {
    do throws(MemoryFault) {
      let bytes = try fetchInstruction(translation, in: memory)
      let attributes = sizeAttributes
      return try emulate(bytes, attributes, access, on: &device, translation, in: memory)
    } catch {
      switch error {
      case .exception(let exception): raise(exception)
      case .pageFault(let address, let code): raisePageFault(at: address, code)
      case .missingMemory(let address, let isWrite):
        return .missingMemory(guestPhysicalAddress: address, isWrite: isWrite)
      case .changed: executeAgain()
      }
      return .done
    }
  }

  @inline(never)
  private mutating func emulate<Device: MMIODevice & ~Copyable, Memory: GuestPhysicalMemory>(
    _ bytes: InstructionBytes, _ attributes: SizeAttributes, _ access: OperandAccess, on device: inout Device,
    _ translation: LinearAddressTranslation, in memory: Memory
  ) throws(MemoryFault) -> MMIOOutcome {
    switch Instruction.decode(bytes, attributes) {
    case .instruction(var instruction):
      // Without the feature the prefix means nothing.
      if instruction.operation == .tzcnt && !hasTZCNT { instruction.operation = .bsf }
      if instruction.operation == .lzcnt && !hasLZCNT { instruction.operation = .bsr }
      var execution = MMIOExecution(instruction, access, is64Bit: attributes.is64Bit, rip: instructionPointer)
      try execution.run(&self, &device, translation, memory)
    case .undefined: raise(.invalidOpcode)
    case .tooLong: raise(.generalProtection)
    case .incomplete: throw fetchFault(ofByte: bytes.count, translation, in: memory)
    // Not what has exited: another processor has changed the code in between.
    case .withoutMemory: throw .changed
    case .segmentLoad(let number, let register, let length):
      let selector = UInt16(truncatingIfNeeded: generalPurposeRegister(Int(register)))
      try loadSegment(number, selector, length: length, translation, in: memory)
    case .unsupported(let instruction):
      guard instruction.isUndefined else { return .unsupported(bytes) }
      raise(.invalidOpcode)
    }
    return .done
  }

  /// MOV to a segment register from a general-purpose one, which has exited because of the descriptor.
  ///
  /// No device has descriptors for the guest: it stops, unless memory is there now.
  private mutating func loadSegment<Memory: GuestPhysicalMemory>(
    _ number: UInt8, _ selector: UInt16, length: Int, _ translation: LinearAddressTranslation, in memory: Memory
  ) throws(MemoryFault) {
    let segment = GuestSegment(rawValue: Int32(number)) ?? .ds
    try loadSegment(segment, selector, translation, in: memory)
    advance(by: UInt32(truncatingIfNeeded: length))
    if segment == .ss { blockByMOVSS() }
  }
}

/// The execution of one instruction that accesses a device.
struct MMIOExecution {
  let instruction: Instruction
  let access: OperandAccess
  let is64Bit: Bool
  let rip: UInt64

  init(_ instruction: Instruction, _ access: OperandAccess, is64Bit: Bool, rip: UInt64) {
    self.instruction = instruction
    self.access = access
    self.is64Bit = is64Bit
    self.rip = rip
  }

  /// How many elements of a string one exit moves at most, so that the host gets to its own work.
  private static var batch: Int { 64 }

  mutating func run<P: VMXProcessor, Device: MMIODevice & ~Copyable, Memory: GuestPhysicalMemory>(
    _ vcpu: inout LoadedVCPU<P>, _ device: inout Device, _ translation: LinearAddressTranslation, _ memory: Memory
  ) throws(MemoryFault) {
    let registers = RegisterFile(vcpu.registers)
    if instruction.usesStackPointer { registers[RegisterFile.rsp] = vcpu.stackPointer }
    if !instruction.isString {
      let breakpoints = dataBreakpoints(vcpu)
      if instruction.isMoveOfXMM {
        try moveXMM(&vcpu, &device, translation, memory)
      } else if instruction.memorySize == 16 {
        try exchange16(&vcpu, &device, translation, memory)
      } else {
        try executeOnce(&vcpu, &device, translation, memory)
      }
      vcpu.addBreakpoints(breakpoints)
      if instruction.usesStackPointer { vcpu.stackPointer = registers[RegisterFile.rsp] }
    } else if !instruction.isExhausted(registers) {
      var elements = 1
      try executeElement(&vcpu, &device, translation, memory)
      while !instruction.finishElement(registers, vcpu.flags) {
        // The guest may be interrupted between two elements, and debugged.
        if vcpu.endIteration() || elements == Self.batch || device.interruptsRepetition {
          return vcpu.pauseRepetition()
        }
        try executeElement(&vcpu, &device, translation, memory)
        elements += 1
      }
    }
    vcpu.advance(by: UInt32(truncatingIfNeeded: instruction.length))
    if instruction.operation == .movToSegment && segmentRegister == .ss { vcpu.blockByMOVSS() }
  }

  private func executeElement<P: VMXProcessor, Device: MMIODevice & ~Copyable, Memory: GuestPhysicalMemory>(
    _ vcpu: inout LoadedVCPU<P>, _ device: inout Device, _ translation: LinearAddressTranslation, _ memory: Memory
  ) throws(MemoryFault) {
    let breakpoints = dataBreakpoints(vcpu)
    try executeOnce(&vcpu, &device, translation, memory)
    vcpu.addBreakpoints(breakpoints)
  }

  /// The data breakpoints that the operands meet with the registers as they are: to be pending when the instruction, or the
  /// element, has been executed.
  private func dataBreakpoints<P: VMXProcessor>(_ vcpu: borrowing LoadedVCPU<P>) -> UInt64 {
    guard vcpu.hasBreakpoints else { return 0 }
    let registers = RegisterFile(vcpu.registers)
    let size = instruction.memorySize
    var met: UInt64 = 0
    if instruction.readsMemory || instruction.writesMemory {
      let linear = linearAddress(
        of: instruction.effectiveAddress(registers, rip: rip), in: instruction.memory.segment, vcpu)
      met = vcpu.dataBreakpoints(metAt: linear, byteCount: size, isWrite: instruction.writesMemory)
    }
    if instruction.secondOperand != .none {
      let linear = linearAddress(
        of: instruction.secondEffectiveAddress(registers), in: instruction.secondSegment, vcpu)
      met |= vcpu.dataBreakpoints(metAt: linear, byteCount: size, isWrite: instruction.writesSecondOperand)
    }
    return met
  }

  /// The segment register of a MOV from or to one.
  private var segmentRegister: GuestSegment {
    GuestSegment(rawValue: Int32(instruction.register.index)) ?? .ds
  }

  /// CMPXCHG16B, whose operand has to be aligned.
  private func exchange16<P: VMXProcessor, Device: MMIODevice & ~Copyable, Memory: GuestPhysicalMemory>(
    _ vcpu: inout LoadedVCPU<P>, _ device: inout Device, _ translation: LinearAddressTranslation, _ memory: Memory
  ) throws(MemoryFault) {
    let registers = RegisterFile(vcpu.registers)
    try requireAlignment(vcpu)
    let location = try locate(
      instruction.effectiveAddress(registers, rip: rip), in: instruction.memory.segment, isWrite: true, vcpu,
      translation, memory)
    let (half, high) = location.halves(byteCount: 16)
    let page = access.address & ~0xFFF
    var flags = vcpu.flags
    let result = instruction.compareAndExchange16(
      low: device.load(half, byteCount: 8, page: page, in: memory),
      high: device.load(high, byteCount: 8, page: page, in: memory), registers, &flags)
    vcpu.flags = flags
    device.store(result.low, at: half, byteCount: 8, page: page, in: memory)
    device.store(result.high, at: high, byteCount: 8, page: page, in: memory)
  }

  /// A move of an XMM register: of 16 bytes, it is two accesses of 8.
  private func moveXMM<P: VMXProcessor, Device: MMIODevice & ~Copyable, Memory: GuestPhysicalMemory>(
    _ vcpu: inout LoadedVCPU<P>, _ device: inout Device, _ translation: LinearAddressTranslation, _ memory: Memory
  ) throws(MemoryFault) {
    if let exception = vcpu.exceptionOfSSE { throw .exception(exception) }
    if instruction.operation == .movaps { try requireAlignment(vcpu) }
    let location = try locate(
      instruction.effectiveAddress(RegisterFile(vcpu.registers), rip: rip), in: instruction.memory.segment,
      isWrite: instruction.writesMemory, vcpu, translation, memory)
    let page = access.address & ~0xFFF
    let number = Int(instruction.register.index)
    let isWhole = instruction.memorySize == 16
    let (low, high) = isWhole ? location.halves(byteCount: 16) : (location, location)
    let size = min(instruction.memorySize, 8)
    if instruction.isDestinationMemory {
      let value = instruction.stored(vcpu.xmmRegister(number))
      device.store(value.low, at: low, byteCount: size, page: page, in: memory)
      if isWhole { device.store(value.high, at: high, byteCount: size, page: page, in: memory) }
    } else {
      var value = XMMRegister(low: device.load(low, byteCount: size, page: page, in: memory), high: 0)
      if isWhole { value.high = device.load(high, byteCount: size, page: page, in: memory) }
      vcpu.setXMMRegister(number, to: instruction.loaded(value, over: vcpu.xmmRegister(number)))
    }
  }

  /// An operand that is not aligned to 16 bytes is #GP(0).
  private func requireAlignment<P: VMXProcessor>(_ vcpu: borrowing LoadedVCPU<P>) throws(MemoryFault) {
    let offset = instruction.effectiveAddress(RegisterFile(vcpu.registers), rip: rip)
    if linearAddress(of: offset, in: instruction.memory.segment, vcpu) & 15 != 0 {
      throw .exception(.generalProtection)
    }
  }

  /// Executes the instruction, or one element: first all checks, then the accesses.
  private func executeOnce<P: VMXProcessor, Device: MMIODevice & ~Copyable, Memory: GuestPhysicalMemory>(
    _ vcpu: inout LoadedVCPU<P>, _ device: inout Device, _ translation: LinearAddressTranslation, _ memory: Memory
  ) throws(MemoryFault) {
    let registers = RegisterFile(vcpu.registers)
    let size = instruction.memorySize
    let page = access.address & ~0xFFF
    let first = try locate(
      instruction.effectiveAddress(registers, rip: rip), in: instruction.memory.segment,
      isWrite: instruction.writesMemory, vcpu, translation, memory)
    var secondLocation: OperandLocation?
    var second: UInt64 = 0
    if instruction.secondOperand != .none {
      let location = try locate(
        instruction.secondEffectiveAddress(registers), in: instruction.secondSegment,
        isWrite: instruction.writesSecondOperand, vcpu, translation, memory)
      secondLocation = location
      if !instruction.writesSecondOperand {
        second = device.load(location, byteCount: size, page: page, in: memory)
      }
    }
    if instruction.operation == .movFromSegment { second = UInt64(vcpu.selector(segmentRegister)) }
    let value = instruction.readsMemory ? device.load(first, byteCount: size, page: page, in: memory) : 0
    if instruction.raisesDivideError(value, registers) { throw .exception(.exception(.divideError)) }
    if instruction.operation == .movToSegment {
      try vcpu.loadSegment(segmentRegister, UInt16(truncatingIfNeeded: value), translation, in: memory)
    }
    var result: UInt64
    if instruction.usesFlags {
      var flags = vcpu.flags
      result = instruction.execute(value, second: second, registers, &flags)
      vcpu.flags = flags
    } else {
      var unused = RFLAGS(rawValue: 0)
      result = instruction.execute(value, second: second, registers, &unused)
    }
    if instruction.writesMemory {
      device.store(result, at: first, byteCount: size, page: page, in: memory)
    } else if let secondLocation, instruction.writesSecondOperand {
      device.store(result, at: secondLocation, byteCount: size, page: page, in: memory)
    }
  }

  /// Where an operand is in guest-physical memory.
  ///
  /// The processor has checked and translated the access that made the guest exit: that is not done again.
  private func locate<P: VMXProcessor, Memory: GuestPhysicalMemory>(
    _ offset: UInt64, in segment: GuestSegment, isWrite: Bool, _ vcpu: borrowing LoadedVCPU<P>,
    _ translation: LinearAddressTranslation, _ memory: Memory
  ) throws(MemoryFault) -> OperandLocation {
    let size = instruction.memorySize
    // Without a linear address it is not clear which of two operands the exit is about.
    if access.linearAddress != nil || instruction.secondOperand == .none {
      let linear = linearAddress(of: offset, in: segment, vcpu)
      if access.isWhole(byteCount: size) && access.isAccess(toOperandAt: linear, isWrite: isWrite) {
        return OperandLocation(first: access.address, firstCount: size, second: 0)
      }
    }
    return try vcpu.memoryOperand(in: segment, translation).translate(
      offset, byteCount: size, for: isWrite ? .write : .read, in: memory)
  }

  private func linearAddress<P: VMXProcessor>(
    of offset: UInt64, in segment: GuestSegment, _ vcpu: borrowing LoadedVCPU<P>
  ) -> UInt64 {
    let hasBase = !is64Bit || segment == .fs || segment == .gs
    return (hasBase ? vcpu.descriptor(segment).base &+ offset : offset) & (is64Bit ? ~0 : 0xFFFF_FFFF)
  }
}
