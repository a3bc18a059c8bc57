import ProcessorModel
import Testing
import VMCS

/// One instruction in one situation, and what the SDM says about it.
struct InstructionCase: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var outcome: VMXOutcome
  var error: UInt32?
  var fault: String?
  var execute: @Sendable () -> (ProcessorModel, VMXOutcome)

  init(
    _ name: String, _ outcome: VMXOutcome, error: UInt32? = nil, fault: String? = nil,
    _ execute: @escaping @Sendable () -> (ProcessorModel, VMXOutcome)
  ) {
    (testDescription, self.outcome, self.error, self.fault, self.execute) = (name, outcome, error, fault, execute)
  }

  /// A case on `model`.
  init(
    _ name: String, on model: @escaping @Sendable () -> ProcessorModel, _ outcome: VMXOutcome, error: UInt32? = nil,
    fault: String? = nil, _ execute: @escaping @Sendable (ProcessorModel) -> VMXOutcome
  ) {
    self.init(name, outcome, error: error, fault: fault) {
      let model = model()
      return (model, execute(model))
    }
  }
}

private let off: @Sendable () -> ProcessorModel = {
  let model = ProcessorModel.collecting()
  model.cr4 |= 1 << 13
  return model
}
private let root: @Sendable () -> ProcessorModel = { .inVMXOperation() }
private let loaded: @Sendable () -> ProcessorModel = { .withCurrentVMCS() }
private let launched: @Sendable () -> ProcessorModel = {
  let model = ProcessorModel.withGuest()
  model.script = [ScriptedExit(.hlt)]
  _ = model.enter(resume: false)
  return model
}

@Suite("VMX instructions")
struct VMXInstructionTests {
  static let tooWide = PhysicalAddress(1 << 46)

  static let cases: [InstructionCase] = vmxon + vmclear + vmptrld + access + entry + outsideVMXOperation

  static let vmxon: [InstructionCase] = [
    .init("VMXON", on: off, .succeed) { $0.vmxon($0.page()) },
    .init("VMXON misaligned", on: off, .failInvalid) { $0.vmxon(PhysicalAddress($0.page().rawValue + 8)) },
    .init("VMXON too wide", on: off, .failInvalid) { $0.vmxon(tooWide) },
    .init("VMXON wrong revision", on: off, .failInvalid) { $0.vmxon($0.page(revision: 5)) },
    .init("VMXON bit 31", on: off, .failInvalid) { $0.vmxon($0.page(revision: 0x8000_0004)) },
    .init("VMXON without memory", on: off, .failInvalid) { $0.vmxon(PhysicalAddress(0x7000_0000)) },
    .init("VMXON in root, no VMCS", on: root, .failInvalid) { $0.vmxon($0.page()) },
    .init("VMXON in root", on: loaded, .failValid, error: 15) { $0.vmxon($0.page()) },
    .init("VMXON without CR4.VMXE", on: { .collecting() }, .failInvalid, fault: "#UD") { $0.vmxon($0.page()) },
    .init("VMXON without CR0.NE", on: off, .failInvalid, fault: "#GP") {
      $0.cr0 = 0x8000_0011
      return $0.vmxon($0.page())
    },
    .init("VMXON, FEATURE_CONTROL unlocked", .failInvalid, fault: "#GP") { vmxon(featureControl: 0b100) },
    .init("VMXON, FEATURE_CONTROL disabled", .failInvalid, fault: "#GP") { vmxon(featureControl: 0b001) },
    .init("VMXOFF", on: loaded, .succeed) { $0.vmxoff() },
    .init("VMXON after VMXOFF", on: loaded, .succeed) {
      _ = $0.vmxoff()
      return $0.vmxon($0.page())
    },
  ]

  static let vmclear: [InstructionCase] = [
    .init("VMCLEAR", on: root, .succeed) { $0.vmclear($0.page()) },
    .init("VMCLEAR misaligned", on: loaded, .failValid, error: 2) { $0.vmclear(PhysicalAddress(0x1001)) },
    .init("VMCLEAR too wide", on: loaded, .failValid, error: 2) { $0.vmclear(tooWide) },
    .init("VMCLEAR misaligned, no VMCS", on: root, .failInvalid) { $0.vmclear(PhysicalAddress(0x1001)) },
    .init("VMCLEAR of the VMXON region", on: off, .failInvalid) {
      let region = $0.page()
      _ = $0.vmxon(region)
      return $0.vmclear(region)
    },
    .init("VMCLEAR of the VMXON region, with a VMCS", on: off, .failValid, error: 3) {
      let region = withVMXONRegion($0)
      return $0.vmclear(region)
    },
    .init("VMCLEAR without memory", on: loaded, .failInvalid, fault: "undefined") {
      $0.vmclear(PhysicalAddress(0x7000_0000))
    },
    .init("VMCLEAR active elsewhere", .failInvalid, fault: "undefined") { elsewhere { $0.vmclear($1) } },
  ]

  static let vmptrld: [InstructionCase] = [
    .init("VMPTRLD misaligned", on: loaded, .failValid, error: 9) { $0.vmptrld(PhysicalAddress(0x1001)) },
    .init("VMPTRLD too wide", on: loaded, .failValid, error: 9) { $0.vmptrld(tooWide) },
    .init("VMPTRLD too wide, no VMCS", on: root, .failInvalid) { $0.vmptrld(tooWide) },
    .init("VMPTRLD of the VMXON region", on: off, .failValid, error: 10) {
      let region = withVMXONRegion($0)
      return $0.vmptrld(region)
    },
    .init("VMPTRLD wrong revision", on: loaded, .failValid, error: 11) { $0.vmptrld($0.page(revision: 5)) },
    .init("VMPTRLD shadow without shadowing", on: loaded, .failValid, error: 11) {
      $0.vmptrld($0.page(revision: 0x8000_0004))
    },
    .init("VMPTRLD shadow with shadowing", on: { .inVMXOperation(.haswell) }, .succeed) {
      let region = $0.page(revision: 0x8000_0012)
      _ = $0.vmclear(region)
      return $0.vmptrld(region)
    },
    .init("VMPTRLD without memory", on: loaded, .failValid, error: 11) { $0.vmptrld(PhysicalAddress(0x7000_0000)) },
    .init("VMPTRLD never cleared", on: root, .failInvalid, fault: "undefined") { $0.vmptrld($0.page()) },
    .init("VMPTRLD active elsewhere", .failInvalid, fault: "undefined") { elsewhere { $0.vmptrld($1) } },
  ]

  static let access: [InstructionCase] = [
    .init("VMREAD, no VMCS", on: root, .failInvalid) { read($0, 0x681E) },
    .init("VMREAD unsupported", on: loaded, .failValid, error: 12) { read($0, 0x6C80) },
    .init("VMREAD high half of 32 bits", on: loaded, .failValid, error: 12) { read($0, 0x4001) },
    .init("VMREAD high half of natural width", on: loaded, .failValid, error: 12) { read($0, 0x681F) },
    .init("VMREAD reserved bits", on: loaded, .failValid, error: 12) { read($0, 0x1_681E) },
    .init("VMREAD of a field of EPT", on: { .withCurrentVMCS(.penryn) }, .failValid, error: 12) { read($0, 0x201A) },
    .init("VMWRITE, no VMCS", on: root, .failInvalid) { write($0, 0x681E, 0) },
    .init("VMWRITE unsupported", on: loaded, .failValid, error: 12) { write($0, 0x6C80, 0) },
    .init("VMWRITE read-only", on: { .withCurrentVMCS(.sandyBridge) }, .failValid, error: 13) { write($0, 0x4402, 0) },
    .init("VMWRITE read-only, allowed by IA32_VMX_MISC", on: loaded, .succeed) { write($0, 0x4402, 0) },
  ]

  static let entry: [InstructionCase] = [
    .init("VMLAUNCH, no VMCS", on: root, .failInvalid) { $0.enter(resume: false) },
    .init("VMLAUNCH of launched", on: launched, .failValid, error: 4) { $0.enter(resume: false) },
    .init("VMRESUME of clear", on: loaded, .failValid, error: 5) { $0.enter(resume: true) },
    .init("VMRESUME after VMXOFF", on: launched, .failValid, error: 6) {
      let region = $0.vmptrst()
      _ = $0.vmxoff()
      _ = $0.vmxon($0.page())
      _ = $0.vmptrld(region)
      return $0.enter(resume: true)
    },
    .init("VMLAUNCH blocked by MOV SS", on: loaded, .failValid, error: 26) {
      $0.isBlockedByMOVSS = true
      return $0.enter(resume: false)
    },
    .init("VMLAUNCH without a script", on: { .withGuest() }, .failInvalid, fault: "the guest was entered") {
      $0.enter(resume: false)
    },
  ]

  static let outsideVMXOperation: [InstructionCase] = [
    .init("VMXOFF outside", on: off, .failInvalid, fault: "#UD") { $0.vmxoff() },
    .init("VMCLEAR outside", on: off, .failInvalid, fault: "#UD") { $0.vmclear($0.page()) },
    .init("VMPTRLD outside", on: off, .failInvalid, fault: "#UD") { $0.vmptrld($0.page()) },
    .init("VMREAD outside", on: off, .failInvalid, fault: "#UD") { read($0, 0x681E) },
    .init("VMWRITE outside", on: off, .failInvalid, fault: "#UD") { write($0, 0x681E, 0) },
    .init("VMLAUNCH outside", on: off, .failInvalid, fault: "#UD") { $0.enter(resume: false) },
    .init("VMRESUME outside", on: off, .failInvalid, fault: "#UD") { $0.enter(resume: true) },
    .init("INVEPT outside", on: off, .failInvalid, fault: "#UD") { $0.invept(2, 0) },
    .init("INVVPID outside", on: off, .failInvalid, fault: "#UD") { $0.invvpid(2, 0, 0) },
  ]

  @Test("Each instruction ends as the SDM says", arguments: cases)
  func outcome(_ instruction: InstructionCase) {
    let (model, outcome) = instruction.execute()
    #expect(outcome == instruction.outcome)
    if let error = instruction.error { #expect(model.instructionError == error) }
    if let fault = instruction.fault {
      #expect(model.faults.count == 1)
      #expect(model.faults.first?.description.hasPrefix(fault) == true)
    } else {
      #expect(model.faults.isEmpty)
    }
  }

  @Test("VMPTRST gives the current VMCS, or all ones")
  func vmptrst() {
    let model = ProcessorModel.inVMXOperation()
    #expect(model.vmptrst().rawValue == .max)
    let region = model.page()
    _ = model.vmclear(region)
    _ = model.vmptrld(region)
    #expect(model.vmptrst() == region)
    _ = model.vmclear(region)
    #expect(model.vmptrst().rawValue == .max)
  }

  @Test("A failure leaves the current VMCS and its contents alone but for the VM-instruction error")
  func failureChangesNothing() {
    let model = ProcessorModel.withCurrentVMCS()
    let region = model.vmptrst()
    _ = model.vmwrite(0x681E, 0x1234)
    _ = model.vmptrld(PhysicalAddress(1))
    _ = model.vmclear(PhysicalAddress(1))
    #expect(model.vmptrst() == region)
    #expect(model.contents(of: .guestRIP) == 0x1234)
  }

  private static func read(_ model: ProcessorModel, _ encoding: UInt32) -> VMXOutcome {
    model.vmread(encoding).failed ? model.outcomeOfFailedVMREAD(encoding) : .succeed
  }

  private static func write(_ model: ProcessorModel, _ encoding: UInt32, _ value: UInt64) -> VMXOutcome {
    model.vmwrite(encoding, value) ? model.outcomeOfFailedVMWRITE(encoding, value) : .succeed
  }

  private static func vmxon(featureControl: UInt64) -> (ProcessorModel, VMXOutcome) {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.featureControl = featureControl
    let model = ProcessorModel.collecting(configuration)
    model.cr4 |= 1 << 13
    return (model, model.vmxon(model.page()))
  }

  /// Enters VMX operation and loads a VMCS; gives the VMXON region.
  private static func withVMXONRegion(_ model: ProcessorModel) -> PhysicalAddress {
    let vmxonRegion = model.page()
    _ = model.vmxon(vmxonRegion)
    let region = model.page()
    _ = model.vmclear(region)
    _ = model.vmptrld(region)
    return vmxonRegion
  }

  /// Executes `instruction` on a VMCS that is active on another processor with the same memory.
  private static func elsewhere(
    _ instruction: (ProcessorModel, PhysicalAddress) -> VMXOutcome
  ) -> (ProcessorModel, VMXOutcome) {
    let memory = ModelMemory()
    let other = ProcessorModel.withCurrentVMCS(memory: memory)
    let model = ProcessorModel.inVMXOperation(memory: memory)
    let outcome = instruction(model, other.vmptrst())
    return (model, outcome)
  }
}
