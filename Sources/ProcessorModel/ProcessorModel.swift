import VMCS
import VMEntryChecks

/// A VMX processor in software: a logical processor with its VMX instructions, for tests on a host.
///
/// It is strict. What the SDM answers with CF or ZF gets exactly that; what it answers with an exception, or leaves
/// undefined, becomes a ``ModelFault``. A guest is a list of ``ScriptedExit``s. Everything that software does is recorded
/// in ``trace``, and every VMX instruction can be made to fail.
///
/// An instance belongs to one thread at a time.
public final class ProcessorModel: @unchecked Sendable {
  /// What the processor can do.
  public let configuration: Configuration
  /// The physical memory, which other processors may share.
  public let memory: ModelMemory

  /// Everything that software has done, in order.
  public internal(set) var trace = AccessTrace()
  /// The faults so far, oldest first.
  public private(set) var faults: [ModelFault] = []
  /// What happens on a fault.
  ///
  /// Without a handler, a message goes to standard error and the process ends.
  /// If the handler returns, the instruction that faulted has no effect and reports VMfailInvalid, or gives zero.
  public var onFault: ((ModelFault) -> Void)?
  /// What the guest does, oldest first; each VM entry that succeeds takes one away.
  public var script: [ScriptedExit] = []
  /// What the guest executes in place of `script`.
  public var program: GuestProgram?
  /// The external interrupts that wait, or are in service.
  ///
  /// Only a `program` is interrupted.
  public var externalInterrupts = ExternalInterrupts()
  /// The NMIs that wait while a `program` is executed, or are blocked.
  public internal(set) var nonMaskableInterrupts = NonMaskableInterrupts()
  /// The host's handler of NMIs, which come while it has a `program` executed.
  public var onNMI: (() -> Void)?
  /// The order of the steps of "Posted-Interrupt Processing": the SDM's, unless a test wants a processor that is wrong.
  public var postedInterruptSteps = PostedInterruptProcessing.steps
  /// Called where other processors may have done something: before a VM entry, before each step of a `program`, and after
  /// its VM exit.
  public var onStep: (() -> Void)?
  /// Called before a VMREAD and a VMWRITE.
  public var onAccess: (() -> Void)?
  /// Whether VM entries check the fields of the VMCS; if not, they make only the basic VM-entry checks.
  public var checksFields = true
  /// The check that made the last VM entry fail; nil if that entry did not fail by a check.
  public internal(set) var failedCheck: EntryCheck?

  /// Whether an instruction that loaded SS precedes the next VM entry.
  public var isBlockedByMOVSS = false
  /// How many critical sections the code is in.
  public internal(set) var criticalNesting = 0

  var vmxonPointer: PhysicalAddress?
  var current: VMCSStorage?
  var active: Set<PhysicalAddress> = []
  var injections: [FaultInjection] = []
  var outcomeOfLastFailure = VMXOutcome.succeed
  lazy var capabilities = EntryCapabilities(of: ProcessorModel(configuration))
  let fields: [VMCSFieldEncoding: VMCSFieldDescription]

  var msrs: [UInt32: UInt64]
  var time: UInt64 = 0
  var xmmRegisters = [XMMRegister](repeating: XMMRegister(low: 0, high: 0), count: 16)
  var systemRegisters: [SystemRegister: UInt64] = [.cr0: 0x8000_0031, .cr4: 0x20, .xcr0: 1, .dr6: 0xFFFF_0FF0]

  /// Makes a processor after reset and firmware: in 64-bit mode, not in VMX operation.
  public init(_ configuration: Configuration = .skylakeX, memory: ModelMemory = ModelMemory()) {
    self.configuration = configuration
    self.memory = memory
    msrs = configuration.msrs
    msrs[MSR.ia32FEATURECONTROL.rawValue] = configuration.featureControl
    fields = Dictionary(
      uniqueKeysWithValues: VMCSFieldDescription.all.filter(configuration.supports).map { ($0.encoding, $0) })
  }

  // MARK: What tests see without a trace

  /// Whether the processor is in VMX root operation.
  public var isInVMXOperation: Bool { vmxonPointer != nil }

  /// The current-VMCS pointer; nil if there is no current VMCS.
  public var currentVMCS: PhysicalAddress? { current?.address }

  /// The VMCSs that are active on this processor.
  public var activeVMCSs: Set<PhysicalAddress> { active }

  /// Whether the launch state of the VMCS at `address` is "launched"; nil if no VMCLEAR ever made it a VMCS.
  public func isLaunched(_ address: PhysicalAddress) -> Bool? {
    memory.storages[address].map { $0.launchState == .launched }
  }

  /// Whether the processor has the field with the full-access encoding `field`.
  public func hasField(_ field: VMCSFieldEncoding) -> Bool { fields[field] != nil }

  /// The contents of `field` in the VMCS at `address`, or the current one; nil without VMCS or field.
  public func contents(of field: VMCSFieldEncoding, at address: PhysicalAddress? = nil) -> UInt64? {
    guard hasField(field), let storage = storage(at: address) else { return nil }
    return storage[field]
  }

  /// The contents of `field` in the VMCS at `address`, or the current one; nil without VMCS or field.
  public func contents<Value, Access>(of field: VMCSField<Value, Access>, at address: PhysicalAddress? = nil) -> Value?
  {
    contents(of: field.encoding, at: address).map { Value(bits: Value.Bits(truncatingIfNeeded: $0)) }
  }

  /// Changes `field` in the VMCS at `address`, or the current one, behind software's back.
  ///
  /// Does nothing without VMCS or field.
  public func setContents<Value, Access>(
    of field: VMCSField<Value, Access>, to value: Value, at address: PhysicalAddress? = nil
  ) {
    guard hasField(field.encoding), let storage = storage(at: address) else { return }
    storage[field.encoding] = UInt64(truncatingIfNeeded: value.bits)
  }

  /// Forgets the trace so far.
  public func clearTrace() { trace = AccessTrace() }

  // MARK: What instructions share

  func record(_ access: ProcessorAccess, _ outcome: VMXOutcome = .succeed) {
    trace.append(
      TraceEntry(
        access: access, outcome: outcome, criticalNesting: criticalNesting,
        currentVMCS: current?.address ?? .noCurrentVMCS))
  }

  func fault(_ fault: ModelFault) {
    faults.append(fault)
    if let onFault { return onFault(fault) }
    endProcess("ProcessorModel \(configuration.name): \(fault)\n")
  }

  /// VMfail: VMfailValid with `error` if there is a current VMCS, otherwise VMfailInvalid.
  func fail(_ error: VMInstructionError) -> VMXOutcome {
    guard let current else { return .failInvalid }
    current[.vmInstructionError] = error
    return .failValid
  }

  private func storage(at address: PhysicalAddress?) -> VMCSStorage? {
    address.map { memory.storages[$0] } ?? current
  }
}

extension PhysicalAddress {
  /// The current-VMCS pointer of a processor without current VMCS.
  static var noCurrentVMCS: Self { Self(~0) }
}
