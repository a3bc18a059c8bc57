import ProcessorModel
import VMCS

@testable import VMX

/// A processor in VMX operation, with all that a vCPU on it is made from.
struct VCPUFixture {
  struct OutOfPages: Error {}

  let processor: ProcessorModel
  let support: VMXSupport
  let memory: VCPUMemory
  let eptRoot: PhysicalAddress
  var settings: VCPUSettings
  let host: HostState

  /// The model allocates pages in order, so these addresses are the same in every test.
  static let vmcs = PhysicalAddress(0x10_2000)
  static let vpid: UInt16 = 7
  static let tscOffset: UInt64 = 0xFFFF_FFFF_0000_0000

  init(_ configuration: ProcessorModel.Configuration = .skylakeX, wanting options: OptionalControls = []) throws {
    processor = ProcessorModel(configuration)
    processor.cr4 |= configuration.cr4Fixed1 & 1 << 18
    support = try VMXSupport(of: processor, wanting: options)
    let cpuid = CPUIDTable(
      in: processor.poolPage().pointer, policy: CPUIDPolicy(support: support, tscFrequency: 0), on: processor)
    _ = VMXOperation(on: processor, support: support, region: processor.poolPage())
    let pages = processor.memory.allocatePages(5)
    var pool = PagePool(pages.pointer, at: pages.address, count: 5)
    guard let memory = VCPUMemory(from: &pool) else { throw OutOfPages() }
    self.memory = memory
    let capabilities = support.capabilities.eptAndVPID
    guard let tables = ExtendedPageTables(in: pool.takeRest(), capabilities: capabilities) else { throw OutOfPages() }
    eptRoot = PhysicalAddress(tables.pointer.rawValue & ~0xFFF)
    settings = VCPUSettings(
      capabilities: support.capabilities, controls: support.controls, options: support.options,
      supportedCR4: cpuid.supportedCR4, eptPointer: tables.pointer, vpid: Self.vpid, tscOffset: Self.tscOffset)
    processor.cr3 = 0xA_B000
    host = HostState(
      of: processor, cs: SegmentSelector(rawValue: 0x08), ds: SegmentSelector(rawValue: 0x10),
      tr: SegmentSelector(rawValue: 0x18), gdtrBase: 0x1_1000, idtrBase: 0x1_2000, trBase: 0x1_3000, rip: 0x1_4000)
    processor.clearTrace()
  }

  /// A vCPU after power-up; the trace begins with its making.
  func makeVCPU() -> VCPU<ProcessorModel> { VCPU(memory: memory, settings: settings, host: host, on: processor) }

  /// A vCPU that is loaded and has exited once, by CPUID; the trace is empty.
  func makeLoadedVCPU(after exit: ScriptedExit = .cpuid) -> LoadedVCPU<ProcessorModel> {
    var vcpu = makeVCPU().load()
    processor.script.append(exit)
    _ = vcpu.run(eptGeneration: 1)
    processor.clearTrace()
    return vcpu
  }

  /// The contents of a field of the vCPU's VMCS.
  func contents<Value, Access>(_ field: VMCSField<Value, Access>) -> Value {
    processor.contents(of: field, at: memory.vmcs.address) ?? Value(bits: 0)
  }

  /// Changes a field of the vCPU's VMCS behind its back.
  func set<Value, Access>(_ field: VMCSField<Value, Access>, _ value: Value) {
    processor.setContents(of: field, to: value, at: memory.vmcs.address)
  }
}

extension ScriptedExit {
  /// CPUID, two bytes long.
  static var cpuid: Self { Self(.cpuid, instructionLength: 2) }
}

extension ProcessorModel.Configuration {
  /// The processors that can run a guest, and that a test should not miss: with and without VPIDs, IA32_PAT, WBINVD
  /// exiting, XSAVE.
  static var usable: [Self] {
    var withoutVPID = skylakeX
    withoutVPID.name = "Skylake-X without VPID"
    withoutVPID.secondary.remove(.enableVPID)
    withoutVPID.eptAndVPID &= 0xFFFF_FFFF
    var withoutPAT = haswell
    withoutPAT.name = "Haswell without IA32_PAT controls"
    withoutPAT.exit.remove([.saveIA32PAT, .loadIA32PAT])
    withoutPAT.entry.remove(.loadIA32PAT)
    var plain = sandyBridge
    plain.name = "Sandy Bridge without any optional control"
    plain.secondary = [.enableEPT, .unrestrictedGuest]
    plain.eptAndVPID &= 0xFFFF_FFFF
    return qualifying + [withoutVPID, withoutPAT, plain]
  }
}

/// Memory for PDPTEs: quadwords by address.
struct Quadwords: GuestPhysicalMemory {
  var values: [UInt64: UInt64] = [:]

  func load<Value: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, as type: Value.Type) -> Value? {
    values[address].map { Value(truncatingIfNeeded: $0) }
  }

  func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at address: UInt64) -> Bool { false }

  func replace(_ old: UInt64, with new: UInt64, byteCount: Int, at address: UInt64) -> Bool { false }
}

/// SplitMix64: the same numbers for the same seed, so that a failure can be repeated.
struct SeededNumbers: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var bits = state
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
    return bits ^ bits >> 31
  }

  /// A value that is often small or has few bits, since these are where mistakes are.
  mutating func word() -> UInt64 {
    switch next() & 3 {
    case 0: next() & 0xFF
    case 1: 1 << (next() & 63)
    case 2: ~(1 << (next() & 63))
    default: next()
    }
  }
}
