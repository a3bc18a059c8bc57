import Machine
import ProcessorModel
import VMCS
import VMX

// A target for libFuzzer: any bytes at RIP, with any registers, segments and page tables, are decoded and executed.
// `make fuzz-decoder` builds and runs it.

/// Takes one input; what libFuzzer calls.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  var input = FuzzInput(UnsafeBufferPointer(start: start, count: count))
  decode(&input)
  guest.execute(&input)
  return 0
}

/// Values from the input; when it has ended, numbers that depend on what it was.
struct FuzzInput {
  private let bytes: UnsafeBufferPointer<UInt8>
  private var position = 0
  private var state: UInt64 = 1

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  mutating func byte() -> UInt8 {
    if position < bytes.count {
      position += 1
      state = (state ^ UInt64(bytes[position - 1])) &* 0x100_0000_01B3
      return bytes[position - 1]
    }
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt8(truncatingIfNeeded: state >> 56)
  }

  mutating func word(_ count: Int = 8) -> UInt64 { (0..<count).reduce(0) { value, _ in value << 8 | UInt64(byte()) } }

  mutating func element<Element>(_ elements: [Element]) -> Element { elements[Int(byte()) % elements.count] }
}

/// Decodes and executes an instruction without memory, and checks what must always hold.
private func decode(_ input: inout FuzzInput) {
  let attributes = input.element([
    SizeAttributes.long, SizeAttributes(code: 4, stack: 4), SizeAttributes(code: 2, stack: 2),
    SizeAttributes(code: 4, stack: 2), SizeAttributes(code: 2, stack: 4),
  ])
  let low = input.word()
  let bytes = InstructionBytes(
    low: low, high: input.word(), count: input.element([15, 15, 15]) - Int(input.byte() & 1))
  guard case .instruction(let instruction) = Instruction.decode(bytes, attributes) else { return }
  let length = instruction.length
  precondition(length > 0 && length <= bytes.count)
  precondition(Instruction.decode(bytes.prefix(length), attributes) == .instruction(instruction))
  precondition(Instruction.decode(bytes.prefix(length - 1), attributes) == .incomplete)
  precondition([1, 2, 4, 8, 16].contains(instruction.memorySize))
  let isOfGeneralRegister = instruction.source != .none && !instruction.isMoveOfXMM
  precondition([1, 2, 4, 8].contains(instruction.registerSize) || !isOfGeneralRegister)
  precondition(!instruction.hasLock || instruction.writesMemory)
  var registers = GuestRegisters()
  var flags = RFLAGS(rawValue: input.word())
  let other = flags.rawValue & ~0x8D5
  withUnsafeMutablePointer(to: &registers) { pointer in
    let file = RegisterFile(pointer)
    for index in 0..<16 as Range<UInt8> { file[index] = input.word() }
    let addressMask = ~UInt64(0) >> UInt64(64 - 8 * instruction.memory.addressSize)
    let address = instruction.effectiveAddress(file, rip: input.word())
    precondition(address & ~addressMask == 0)
    _ = instruction.secondEffectiveAddress(file)
    _ = instruction.execute(input.word(instruction.memorySize), second: input.word(), file, &flags)
    if instruction.isString { _ = instruction.finishElement(file, flags) }
  }
  precondition(flags.rawValue & ~0x8D5 == other)
}

/// A device with the same contents everywhere.
private struct EveryDevice: MMIODevice {
  var value: UInt64
  var coveredPage: UInt64
  var accessCount = 0

  func covers(page: UInt64) -> Bool { page == coveredPage }

  mutating func load(_ address: UInt64, byteCount: Int) -> UInt64 {
    check(address, byteCount)
    return value
  }

  mutating func store(_ value: UInt64, at address: UInt64, byteCount: Int) {
    check(address, byteCount)
    precondition(byteCount == 8 || value >> UInt64(8 * byteCount) == 0)
  }

  private mutating func check(_ address: UInt64, _ byteCount: Int) {
    precondition([1, 2, 4, 8].contains(byteCount) && address & 0xFFF <= 0x1000 - UInt64(byteCount))
    accessCount += 1
    // 64 elements with two operands, each of which may be in eight pieces.
    precondition(accessCount <= 1024)
  }
}

/// One vCPU for all inputs.
private final class FuzzedGuest {
  let processor: ProcessorModel
  let memory: GuestMemory
  var vcpu: LoadedVCPU<ProcessorModel>
  static let memorySize = 1 << 20
  static let tables: UInt64 = 0x8000

  init() {
    processor = ProcessorModel(.skylakeX)
    processor.cr4 |= ProcessorModel.Configuration.skylakeX.cr4Fixed1 & (1 << 18 | 1 << 9)
    guard let support = try? VMXSupport(of: processor) else { fatalError("the model has no VMX") }
    let pages = processor.memory.allocatePages(16)
    var pool = PagePool(pages.pointer, at: pages.address, count: 16)
    guard let region = pool.allocate(), let vcpuMemory = VCPUMemory(from: &pool),
      let tables = ExtendedPageTables(in: pool.takeRest(), capabilities: support.capabilities.eptAndVPID)
    else { fatalError("too few pages") }
    _ = VMXOperation(on: processor, support: support, region: region)
    memory = GuestMemory(
      base: processor.memory.allocatePages(Self.memorySize / 4096).pointer, byteCount: UInt64(Self.memorySize))
    let settings = VCPUSettings(
      capabilities: support.capabilities, controls: support.controls, supportedCR4: 0x37_07FF,
      eptPointer: tables.pointer, vpid: 1, tscOffset: 0)
    let host = HostState(
      of: processor, cs: SegmentSelector(rawValue: 0x08), ds: SegmentSelector(rawValue: 0x10),
      tr: SegmentSelector(rawValue: 0x18), gdtrBase: 0x1_1000, idtrBase: 0x1_2000, trBase: 0x1_3000, rip: 0x1_4000)
    vcpu = VCPU(memory: vcpuMemory, settings: settings, host: host, on: processor).load()
  }

  /// Sets everything by the input and emulates once.
  func execute(_ input: inout FuzzInput) {
    let mode = input.byte()
    let is64Bit = mode & 3 != 0
    _ = IdentityPageTables.write(to: memory, at: Self.tables)
    processor.setContents(of: .guestCR0, to: CR0(rawValue: is64Bit ? 0x8000_0031 : mode & 4 == 0 ? 0x21 : 0x20))
    processor.setContents(of: .guestCR3, to: Self.tables)
    processor.setContents(of: .guestCR4, to: CR4(rawValue: input.byte() & 7 == 0 ? 0x20 : 0x220))
    processor.setContents(of: .guestIA32EFER, to: IA32EFER(rawValue: is64Bit ? 0x500 : 0))
    let code: UInt32 = is64Bit ? 0xA09B : mode & 8 == 0 ? 0xC09B : 0x9B
    setFlat(.cs, code)
    for segment in [GuestSegment.es, .ss, .ds, .fs, .gs] { setFlat(segment, 0xC093) }
    if mode & 16 != 0 { setSegments(&input, is64Bit: is64Bit) }
    if mode & 32 != 0 {
      // An entry of the tables becomes any other.
      _ = memory.store(input.word(), at: Self.tables + 8 * (input.word(2) % (6 * 512)))
    }
    if mode & 64 != 0 { processor.setContents(of: .guestCR0, to: CR0(rawValue: is64Bit ? 0x8005_0031 : 0x31)) }
    let rip = input.element([0x1000, 0x1FF8, 0x1FFE, 0xF_FFF8, 0x3FFF_FFFC, 0x4000_0000, 0]) + UInt64(input.byte() & 7)
    processor.setContents(of: .guestRIP, to: rip)
    processor.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: input.word(3) & 0x27_7FD5 | 2))
    for index in 0..<16 as Range<UInt64> { _ = memory.store(input.byte(), at: rip + index) }
    let file = RegisterFile(vcpu.registers)
    let target: UInt64 = 0x4000_0000 + input.word(2) & 0xFFF
    for index in 0..<16 as Range<UInt8> {
      file[index] = input.element([target, 0x2000, 0xF_FFFD, 0, ~0, 8, 0x7FFF_FFFF_FFFC]) &+ UInt64(input.byte() & 3)
    }
    vcpu.stackPointer = file[4]
    let linear = input.element([target, nil, 0x2000])
    let hasBreakpoints = input.byte() & 3 == 0
    processor.setContents(of: .guestDR7, to: DR7(rawValue: hasBreakpoints ? input.word(4) | 0x400 : 0x400))
    if hasBreakpoints { for number in 0..<4 { processor.setDebugRegister(number, to: target & ~7 | UInt64(number)) } }
    processor.setContents(of: .guestPendingDebugExceptions, to: PendingDebugExceptions(rawValue: 0))
    var device = EveryDevice(value: input.word(), coveredPage: 0x2000)
    let translation = vcpu.linearAddressTranslation(physicalAddressWidth: 39, has1GBPages: mode & 128 != 0)
    let access = OperandAccess(address: target, linearAddress: linear, isWrite: input.byte() & 1 == 0)
    if !vcpu.moveQuickly(access, on: &device, physicalAddressWidth: 39, in: memory) {
      _ = vcpu.emulateMMIO(access, on: &device, translation, in: memory)
    }
    _ = vcpu.prepareEvents(externalInterruptRequested: false)
    processor.clearTrace()
  }

  private func setFlat(_ segment: GuestSegment, _ rights: UInt32) {
    let rights = SegmentAccessRights(rawValue: rights)
    vcpu.setDescriptor(segment, to: GuestDescriptor(base: 0, limit: ~0, accessRights: rights))
  }

  private func setSegments(_ input: inout FuzzInput, is64Bit: Bool) {
    for segment in [GuestSegment.es, .ss, .ds, .fs, .gs] {
      // Outside 64-bit mode, bases have 32 bits.
      let base = input.word(is64Bit ? 8 : 4)
      vcpu.setDescriptor(
        segment,
        to: GuestDescriptor(
          base: input.byte() & 1 == 0 ? base : 0, limit: UInt32(truncatingIfNeeded: input.word(4)),
          accessRights: SegmentAccessRights(rawValue: UInt32(truncatingIfNeeded: input.word(3)) & 0x1_F0FF)))
    }
  }
}

nonisolated(unsafe) private let guest = FuzzedGuest()
