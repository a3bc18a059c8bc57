import ProcessorModel
import Testing
import VMCS

@Suite("Trace and fault injection")
struct InstrumentationTests {
  @Test("The trace has every access in order, with operands, outcomes and circumstances")
  func order() {
    let model = ProcessorModel.inVMXOperation()
    model.checksFields = false
    model.clearTrace()
    let region = model.page()
    model.enterCritical()
    _ = model.vmclear(region)
    _ = model.vmptrld(region)
    model.enterCritical()
    _ = model.vmwrite(0x681E, 7)
    _ = model.vmread(0x681E)
    _ = model.vmread(0x7FFE)
    model.exitCritical()
    _ = model.rdmsr(0x277)
    model.cr2 = 5
    _ = model.cpuid(1, 0)
    _ = model.timestampCounter
    model.wbinvd()
    _ = model.invept(2, 0)
    _ = model.invvpid(2, 0, 0)
    model.script = [ScriptedExit(.tripleFault)]
    _ = model.enter(resume: false)
    _ = model.vmclear(region)
    model.exitCritical()
    let rip = VMCSFieldEncoding(rawValue: 0x681E)
    #expect(
      model.trace.accesses == [
        .enterCritical, .vmclear(region), .vmptrld(region), .enterCritical, .vmwrite(rip, 7), .vmread(rip, 7),
        .vmread(VMCSFieldEncoding(rawValue: 0x7FFE), 0), .exitCritical, .rdmsr(0x277, 0x0007_0406_0007_0406),
        .write(.cr2, 5), .cpuid(leaf: 1, subleaf: 0), .read(.timestampCounter, 100), .wbinvd,
        .invept(type: 2, eptPointer: 0), .invvpid(type: 2, vpid: 0, linearAddress: 0), .vmlaunch,
        .vmExit(ExitReason(rawValue: 2)), .vmclear(region), .exitCritical,
      ])
    #expect(
      model.trace.entries.map(\.criticalNesting) == [1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0])
    #expect(model.trace.entries.map(\.outcome).filter { $0 != .succeed } == [.failValid])
    #expect(model.trace.entries[6].outcome == .failValid)
    #expect(model.trace.entries[2].currentVMCS == region)
    #expect(model.trace.vmwrites.map(\.field) == [rip])
    #expect(model.trace.vmreads.count == 2)
    #expect(model.trace.loads == [region])
    #expect(model.trace.clears == [region, region])
    #expect(model.trace.count { $0 == .wbinvd } == 1)
  }

  @Test("Leaving a critical section that was not entered is a fault")
  func unbalanced() {
    let model = ProcessorModel.collecting()
    model.exitCritical()
    #expect(model.faults.count == 1)
    #expect(model.criticalNesting == 0)
  }

  /// Executes `instruction` where it would succeed.
  private func execute(_ instruction: VMXInstruction, on model: ProcessorModel, _ region: PhysicalAddress) -> VMXOutcome
  {
    switch instruction {
    case .vmxon: model.vmxon(model.page())
    case .vmxoff: model.vmxoff()
    case .vmclear: model.vmclear(model.page())
    case .vmptrld: model.vmptrld(region)
    case .vmread: model.vmread(0x681E).failed ? model.outcomeOfFailedVMREAD(0x681E) : .succeed
    case .vmwrite: model.vmwrite(0x681E, 0) ? model.outcomeOfFailedVMWRITE(0x681E, 0) : .succeed
    case .invept: model.invept(2, 0)
    case .invvpid: model.invvpid(2, 0, 0)
    case .vmlaunch: model.enter(resume: false)
    case .vmresume: model.enter(resume: true)
    }
  }

  @Test(
    "Each instruction can be made to fail both ways, at a given execution only", arguments: VMXInstruction.allCases,
    [InjectedFailure.failInvalid, .failValid(VMInstructionError(rawValue: 28))])
  func injection(_ instruction: VMXInstruction, _ failure: InjectedFailure) {
    let model = ProcessorModel.withCurrentVMCS()
    let region = model.vmptrst()
    if instruction == .vmresume {
      model.script = [ScriptedExit(.hlt)]
      _ = model.enter(resume: false)
    }
    let clean = execute(instruction, on: model, region)
    // What ends VMX operation or is not idempotent succeeds or fails once only; the rest stays as it was.
    let isRepeatable = ![.vmxon, .vmxoff, .vmlaunch, .vmresume].contains(instruction)
    if isRepeatable { #expect(clean == .succeed) }

    let again = ProcessorModel.withCurrentVMCS()
    let againRegion = again.vmptrst()
    again.inject(failure, into: instruction, occurrence: isRepeatable ? 2 : 1)
    if isRepeatable { #expect(execute(instruction, on: again, againRegion) == .succeed) }
    #expect(execute(instruction, on: again, againRegion) == (failure == .failInvalid ? .failInvalid : .failValid))
    if failure != .failInvalid { #expect(again.instructionError == 28) }
    if isRepeatable { #expect(execute(instruction, on: again, againRegion) == .succeed) }
    #expect(again.faults.isEmpty)
    #expect(again.vmptrst() == againRegion)
  }

  @Test("An injection for a field leaves other fields alone")
  func injectionByField() {
    let model = ProcessorModel.withCurrentVMCS()
    model.inject(.failInvalid, into: .vmwrite, occurrence: 2, field: VMCSField.guestRSP.encoding)
    #expect(!model.vmwrite(0x681C, 1))
    #expect(!model.vmwrite(0x681E, 1))
    #expect(model.vmwrite(0x681C, 2))
    #expect(model.contents(of: .guestRSP) == 1)
    #expect(!model.vmwrite(0x681C, 3))
  }
}
