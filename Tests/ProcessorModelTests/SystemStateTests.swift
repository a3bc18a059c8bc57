import ProcessorModel
import Testing
import VMCS

@Suite("System state and capabilities")
struct SystemStateTests {
  /// Capability MSRs as listed in the sources of Bochs, files `corei7_skylake-x.cc` and `core2_penryn_t9600.cc`.
  static let published: [(ProcessorModel.Configuration, [UInt32: UInt64], absent: ClosedRange<UInt32>)] = [
    (
      .skylakeX,
      [
        0x480: 0x00DA_0400_0000_0004, 0x481: 0x0000_00FF_0000_0016, 0x482: 0xFFF9_FFFE_0401_E172,
        0x483: 0x01FF_FFFF_0003_6DFF, 0x484: 0x0003_FFFF_0000_11FF, 0x485: 0x7004_C1E7, 0x486: 0x8000_0021,
        0x487: 0xFFFF_FFFF, 0x488: 0x2000, 0x489: 0x37_27FF, 0x48B: 0x025D_3FFF_0000_0000, 0x48C: 0xF01_0673_4141,
        0x48D: 0x0000_00FF_0000_0016, 0x48E: 0xFFF9_FFFE_0400_6172, 0x48F: 0x01FF_FFFF_0003_6DFB,
        0x490: 0x0003_FFFF_0000_11FB,
      ], absent: 0x492...0x493
    ),
    (
      .penryn,
      [
        0x480: 0x005A_0800_0000_000D, 0x481: 0x0000_003F_0000_0016, 0x482: 0xF7F9_FFFE_0401_E172,
        0x483: 0x0003_FFFF_0003_6DFF, 0x484: 0x0000_3FFF_0000_11FF, 0x485: 0x0004_03C0, 0x486: 0x8000_0021,
        0x487: 0xFFFF_FFFF, 0x488: 0x2000, 0x489: 0x4_67FF, 0x48B: 0x0000_0041_0000_0000,
      ], absent: 0x48C...0x493
    ),
  ]

  @Test("Presets of processors whose capability MSRs are published have these values", arguments: [0, 1])
  func publishedCapabilities(_ index: Int) {
    let (configuration, msrs, absent) = Self.published[index]
    let model = ProcessorModel.collecting(configuration)
    for (msr, value) in msrs { #expect(model.rdmsr(msr) == value, "MSR \(String(msr, radix: 16))") }
    #expect(model.faults.isEmpty)
    for msr in absent { _ = model.rdmsr(msr) }
    #expect(model.faults.count == absent.count)
  }

  @Test(
    "What a capability MSR requires to be 1 it also allows to be 1", arguments: ProcessorModel.Configuration.presets)
  func consistentCapabilities(_ configuration: ProcessorModel.Configuration) {
    for msr in [0x481, 0x482, 0x483, 0x484, 0x48D, 0x48E, 0x48F, 0x490] as [UInt32] {
      guard let value = configuration.capabilityMSR(msr) else {
        #expect(!configuration.hasTRUECapabilityMSRs && msr >= 0x48D)
        continue
      }
      #expect(value & 0xFFFF_FFFF & ~(value >> 32) == 0)
    }
    let highest = (configuration.capabilityMSR(0x48A) ?? 0) >> 1
    let model = ProcessorModel.withCurrentVMCS(configuration)
    #expect(VMCSFieldDescription.all.filter { model.hasField($0.encoding) }.allSatisfy { $0.encoding.index <= highest })
  }

  @Test("MSRs: unknown, read-only and locked ones fault, others keep what was written")
  func msrs() {
    let model = ProcessorModel.collecting()
    model.wrmsr(0x277, 0x0606)
    #expect(model.rdmsr(0x277) == 0x0606)
    #expect(model.faults.isEmpty)
    _ = model.rdmsr(0xDEAD)
    model.wrmsr(0xDEAD, 0)
    model.wrmsr(0x480, 0)
    model.wrmsr(0x3A, 0)
    #expect(model.faults.count == 4)
    #expect(model.rdmsr(0x3A) == 5)
  }

  @Test("The time-stamp counter grows by the configured step with each read")
  func time() {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.timestampStep = 7
    let model = ProcessorModel.collecting(configuration)
    #expect(model.timestampCounter == 7)
    #expect(model.rdmsr(0x10) == 14)
    model.wrmsr(0x10, 1000)
    #expect(model.timestampCounter == 1007)
  }

  @Test("Control registers: VMX operation and the processor limit them")
  func controlRegisters() {
    let model = ProcessorModel.inVMXOperation()
    model.cr4 = 0x20
    model.cr0 = 0x8000_0011
    model.cr0 = 0x0000_0031
    #expect(model.faults.count == 3)
    #expect(model.cr4 == 0x2020)
    #expect(model.cr0 == 0x8000_0031)
    _ = model.vmxoff()
    model.cr4 = 0x20
    #expect(model.faults.count == 3)
    model.cr4 = 1 << 23
    #expect(model.faults.count == 4)
  }

  @Test("DR0 to DR3 and DR6 are apart; others do not exist here")
  func debugRegisters() {
    let model = ProcessorModel.collecting()
    #expect(model.debugRegister(6) == 0xFFFF_0FF0)
    for number in [0, 1, 2, 3, 6] { model.setDebugRegister(number, to: UInt64(100 + number)) }
    for number in [0, 1, 2, 3, 6] { #expect(model.debugRegister(number) == UInt64(100 + number)) }
    #expect(model.faults.isEmpty)
    model.setDebugRegister(4, to: 0)
    #expect(model.debugRegister(7) == 0)
    #expect(model.faults.count == 2)
  }

  @Test("XMM0 to XMM15 are apart; they need CR4.OSFXSR, and CR0.EM and CR0.TS to be 0")
  func xmmRegisters() {
    let model = ProcessorModel.collecting()
    let values = (0..<16).map { XMMRegister(low: UInt64($0), high: ~UInt64($0)) }
    model.setXMMRegister(0, to: values[1])
    #expect(model.faults.count == 1 && model.xmmRegister(0) == XMMRegister(low: 0, high: 0))
    model.cr4 |= 1 << 9
    for number in 0..<16 { model.setXMMRegister(number, to: values[number]) }
    #expect((0..<16).map { model.xmmRegister($0) } == values && model.faults.count == 2)
    for bit in [2, 3] as [UInt64] {
      model.cr0 = 0x8000_0031 | 1 << bit
      model.setXMMRegister(3, to: values[4])
    }
    model.cr0 = 0x8000_0031
    model.setXMMRegister(16, to: values[0])
    #expect(model.xmmRegister(3) == values[3] && model.faults.count == 5)
  }

  @Test("XCR0 needs CR4.OSXSAVE, which CPUID shows")
  func xcr0() {
    let model = ProcessorModel.collecting()
    model.xcr0 = 3
    _ = model.xcr0
    #expect(model.faults.count == 2)
    #expect(model.cpuid(1, 0).ecx & 1 << 27 == 0)
    model.cr4 |= 1 << 18
    model.xcr0 = 3
    #expect(model.xcr0 == 3)
    #expect(model.faults.count == 2)
    #expect(model.cpuid(1, 0).ecx & 1 << 27 != 0)
  }

  @Test("CPUID beyond the highest leaf gives the highest basic leaf, and unknown subleaves give zeros")
  func cpuid() {
    let zero = CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0)
    let penryn = ProcessorModel.collecting(.penryn)
    #expect(penryn.cpuid(0x4000_0000, 0) == penryn.cpuid(0xD, 0))
    #expect(penryn.cpuid(0x8000_0009, 0) == penryn.cpuid(0xD, 0))
    #expect(penryn.cpuid(0xD, 9) == zero)
    #expect(penryn.cpuid(1, 9) == penryn.cpuid(1, 0))
    #expect(penryn.cpuid(1, 0).ecx & 1 << 5 != 0)
    #expect(penryn.cpuid(0x8000_0008, 0).eax == 0x3024)
  }

  /// Type, descriptor, and whether it is valid on Skylake-X.
  @Test("INVEPT and INVVPID check type and descriptor")
  func invalidation() {
    let invept: [(UInt64, UInt64, Bool)] = [
      (0, 0x1E, false), (1, 0x101E, true), (2, 0, true), (3, 0, false), (1, 0x101D, false), (1, 0x1016, false),
      (1, 0x105E, true), (1, 0x109E, false), (1, 0x111E, false), (1, 1 << 46 | 0x1E, false), (1, 0x1018, true),
    ]
    for (type, pointer, isValid) in invept {
      let model = ProcessorModel.withCurrentVMCS()
      #expect(model.invept(type, pointer) == (isValid ? .succeed : .failValid), "INVEPT \(type) \(pointer)")
      if !isValid { #expect(model.instructionError == 28) }
    }
    let invvpid: [(UInt64, UInt16, UInt64, Bool)] = [
      (0, 1, 0x1000, true), (0, 0, 0x1000, false), (0, 1, 0x8000_0000_0000, false),
      (0, 1, 0xFFFF_8000_0000_0000, true), (1, 1, 0, true), (1, 0, 0, false), (2, 0, 0, true), (3, 1, 0, true),
      (3, 0, 0, false), (4, 1, 0, false),
    ]
    for (type, vpid, address, isValid) in invvpid {
      let model = ProcessorModel.withCurrentVMCS()
      #expect(model.invvpid(type, vpid, address) == (isValid ? .succeed : .failValid), "INVVPID \(type) \(vpid)")
      if !isValid { #expect(model.instructionError == 28) }
    }
    let penryn = ProcessorModel.withCurrentVMCS(.penryn)
    #expect(penryn.invept(2, 0) == .failInvalid)
    #expect(penryn.invvpid(2, 0, 0) == .failInvalid)
    #expect(penryn.faults.count == 2)
  }

  @Test("Memory: pages are distinct and zero, foreign memory can be mapped, and elsewhere reads give ones")
  func memory() {
    let memory = ModelMemory()
    let first = memory.allocatePages(2)
    let second = memory.allocatePages()
    #expect(second.address.rawValue == first.address.rawValue + 8192)
    #expect(memory.load(first.address, as: UInt64.self) == 0)
    first.pointer.storeBytes(of: 0x1234, toByteOffset: 4096, as: UInt32.self)
    #expect(memory.load(PhysicalAddress(first.address.rawValue + 4096), as: UInt32.self) == 0x1234)
    #expect(memory.load(PhysicalAddress(second.address.rawValue + 4092), as: UInt64.self) == .max)
    let foreign = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 16)
    defer { foreign.deallocate() }
    foreign.storeBytes(of: 77, as: UInt64.self)
    memory.map(foreign, byteCount: 16, at: PhysicalAddress(0xF000_0000))
    #expect(memory.load(PhysicalAddress(0xF000_0000), as: UInt64.self) == 77)
  }
}
