import Boot
import CVMX
import EntryProbe
import Host
import ProbeEntry
import VMCS
import VMEntryChecks

/// Makes one state after the other, enters with it, and tells what happened.
struct ProbeRun {
  private let options: ProbeOptions
  private let processor = BareMetalProcessor()
  private let port = ProbePort()
  private let generator: ProbeGenerator
  private let registers: UnsafeMutablePointer<GuestRegisters>
  /// The fields that are written, in the SDM's order, and the base whose values the VMCS has.
  private let encodings: UnsafeMutablePointer<UInt32>
  private var base: ProbeBase?
  private var isLaunched = false

  /// Enters VMX operation with a current VMCS.
  init(_ options: ProbeOptions) {
    self.options = options
    silenceHost8259()
    loadInterruptDescriptorTable(ProbePages.interruptDescriptorTable)
    let processor = BareMetalProcessor()
    let capabilities = EntryCapabilities(of: processor)
    Self.enterVMXOperation(processor, capabilities)
    ProbePages.fill(revisionIdentifier: (capabilities[.ia32VMXBASIC] ?? 0) & 0x7FFF_FFFF)

    registers = ProbePages.registers.bindMemory(to: GuestRegisters.self, capacity: 1)
    encodings = ProbePages.encodings.bindMemory(to: UInt32.self, capacity: VMCSFieldDescription.count)
    for index in 0..<VMCSFieldDescription.count { encodings[index] = VMCSFieldDescription.all[index].encoding.rawValue }
    let environment = ProbeEnvironment(
      capabilities: capabilities, writableFields: Self.writableFields(processor, encodings),
      host: Self.hostValues(processor))
    generator = ProbeGenerator(
      environment: environment, seed: options.seed,
      storage: ProbePages.bases.bindMemory(to: UInt64.self, capacity: ProbeGenerator.storageCount))
  }

  private static func enterVMXOperation(_ processor: BareMetalProcessor, _ capabilities: EntryCapabilities) {
    let featureControl = MSR.ia32FEATURECONTROL.rawValue
    if processor.rdmsr(featureControl) & 1 == 0 { processor.wrmsr(featureControl, 5) }
    processor.cr0 = processor.cr0 | (capabilities[.ia32VMXCR0FIXED0] ?? 0)
    processor.cr4 = processor.cr4 | (capabilities[.ia32VMXCR4FIXED0] ?? 0)
    let revision = UInt32(truncatingIfNeeded: capabilities[.ia32VMXBASIC] ?? 0) & 0x7FFF_FFFF
    ProbePages.vmxon.storeBytes(of: revision, as: UInt32.self)
    ProbePages.vmcs.storeBytes(of: revision, as: UInt32.self)
    ProbePages.shadowVMCS.storeBytes(of: revision | 1 << 31, as: UInt32.self)
    guard processor.vmxon(ProbePages.address(ProbePages.vmxon)) == .succeed,
      processor.vmclear(ProbePages.address(ProbePages.vmcs)) == .succeed,
      processor.vmptrld(ProbePages.address(ProbePages.vmcs)) == .succeed
    else { fail("VMX operation cannot be entered") }
  }

  private static func writableFields(
    _ processor: BareMetalProcessor, _ encodings: UnsafeMutablePointer<UInt32>
  ) -> InlineArray<4, UInt64> {
    var result = InlineArray<4, UInt64>(repeating: 0)
    for index in 0..<VMCSFieldDescription.count where !processor.vmwrite(encodings[index], 0) {
      result[index >> 6] |= 1 << UInt64(index & 63)
    }
    return result
  }

  private static func hostValues(_ processor: BareMetalProcessor) -> InlineArray<13, UInt64> {
    let registers = UInt64(UInt(bitPattern: ProbePages.registers))
    return [
      processor.cr0, processor.cr3, processor.cr4, processor.rdmsr(MSR.ia32EFER.rawValue),
      processor.rdmsr(MSR.ia32PAT.rawValue), address_of_gdt(), cvmx_idtr_base(), address_of_task_state(),
      address_of_vmexit(), registers + UInt64(MemoryLayout<GuestRegisters>.stride),
      ProbePages.address(ProbePages.vmcs).rawValue, ProbePages.address(ProbePages.vmxon).rawValue,
      UInt64(processor.cpuid(1, 0).ecx),
    ]
  }

  /// Runs the states that the options name.
  mutating func run() {
    let port = self.port
    for _ in 0..<4 { port.write(~0) }
    generator.environment.forEachQuadword { port.write($0) }
    for number in 0..<options.count {
      if number % UInt64(ProbeOutcome.markInterval) == 0 {
        port.write(ProbeOutcome(.mark, number / UInt64(ProbeOutcome.markInterval) & 0x7FF))
      }
      port.write(outcome(of: generator.probeCase(Int(options.first + number))))
    }
    port.write(ProbeOutcome(.end))
  }

  private mutating func outcome(of probeCase: ProbeCase) -> ProbeOutcome {
    if base != probeCase.base { write(probeCase.base) }
    for index in 0..<probeCase.count {
      write(probeCase.mutations[index].field, probeCase.mutations[index].value)
    }
    let result = enter(probeCase.entry)
    if result.kind == .entered {
      // The VM exit has saved the guest's state into the VMCS.
      isLaunched = true
      base = nil
    } else {
      for index in 0..<probeCase.count {
        let field = probeCase.mutations[index].field
        write(field, generator.value(of: field, in: probeCase.base))
      }
    }
    return result
  }

  private mutating func write(_ base: ProbeBase) {
    self.base = base
    for index in 0..<VMCSFieldDescription.count
    where generator.environment.isWritable(index) && !VMCSFieldDescription.all[index].isReadOnly {
      write(index, generator.value(of: index, in: base))
    }
  }

  private func write(_ index: Int, _ value: UInt64) {
    if processor.vmwrite(encodings[index], value) { fail("VMWRITE failed") }
  }

  private mutating func enter(_ entry: ProbeEntry) -> ProbeOutcome {
    switch entry {
    case .regular: return outcome(of: processor.enter(registers, resume: isLaunched))
    case .otherLaunchState: return outcome(of: processor.enter(registers, resume: !isLaunched))
    case .blockedByMOVSS:
      return outcome(of: instructionOutcome(vmentry_blocked_by_mov_ss(registers, isLaunched)))
    case .withoutCurrentVMCS, .onShadowVMCS: return enterElsewhere(isOnShadow: entry == .onShadowVMCS)
    }
  }

  /// Enters while the VMCS is not the current one, after which it is clear, and current again.
  private mutating func enterElsewhere(isOnShadow: Bool) -> ProbeOutcome {
    let region = ProbePages.address(ProbePages.vmcs)
    let shadow = ProbePages.address(ProbePages.shadowVMCS)
    if processor.vmclear(region) != .succeed { fail("VMCLEAR failed") }
    if isOnShadow, processor.vmclear(shadow) != .succeed || processor.vmptrld(shadow) != .succeed {
      fail("VMPTRLD of a shadow VMCS failed")
    }
    let result = outcome(of: processor.enter(registers, resume: isLaunched && !isOnShadow))
    isLaunched = false
    if processor.vmptrld(region) != .succeed { fail("VMPTRLD failed") }
    return result
  }

  private func instructionOutcome(_ code: UInt8) -> VMXOutcome {
    code == 0 ? .succeed : code == 1 ? .failInvalid : .failValid
  }

  private func outcome(of instruction: VMXOutcome) -> ProbeOutcome {
    switch instruction {
    case .failInvalid: return ProbeOutcome(.failInvalid)
    case .failValid: return ProbeOutcome(.failValid, read(.vmInstructionError))
    case .succeed: break
    }
    let reason = ExitReason(rawValue: UInt32(truncatingIfNeeded: read(.exitReason)))
    let basicReason = UInt64(reason.basicReason.rawValue)
    guard reason.rawValue >> 31 == 1 else { return ProbeOutcome(.entered, basicReason) }
    let qualification = read(.exitQualification)
    switch reason.basicReason {
    case .vmEntryFailureInvalidGuestState: return ProbeOutcome(.invalidGuestState, qualification)
    case .vmEntryFailureMSRLoading: return ProbeOutcome(.msrLoading, qualification)
    default: return ProbeOutcome(.otherEntryFailure, basicReason)
    }
  }

  private func read<Value>(_ field: VMCSField<Value, ReadOnly>) -> UInt64 {
    processor.vmread(field.encoding.rawValue).value
  }
}
