import ProcessorModel
import Testing
import VMCS

@Suite("VM entries and VM exits")
struct VMEntryAndExitTests {
  @Test("A VM exit records what the script says, and clears what has no information")
  func exitInformation() {
    let model = ProcessorModel.withGuest()
    var first = ScriptedExit(.exceptionOrNMI, qualification: 0x1234)
    first.interruptionInformation = .init(rawValue: 0x8000_0B0E)
    first.interruptionErrorCode = 5
    first.idtVectoringInformation = .init(rawValue: 0x8000_0020)
    first.idtVectoringErrorCode = 7
    first.instructionLength = 3
    first.instructionInformation = 9
    first.guestPhysicalAddress = 0xABC000
    first.guestLinearAddress = 0xDEF000
    model.script = [first, ScriptedExit(.hlt)]
    #expect(model.enter(resume: false) == .succeed)
    #expect(model.contents(of: .exitReason)?.rawValue == 0)
    #expect(model.contents(of: .exitQualification) == 0x1234)
    #expect(model.contents(of: .vmExitInterruptionInformation)?.rawValue == 0x8000_0B0E)
    #expect(model.contents(of: .vmExitInterruptionErrorCode) == 5)
    #expect(model.contents(of: .idtVectoringInformation)?.rawValue == 0x8000_0020)
    #expect(model.contents(of: .idtVectoringErrorCode) == 7)
    #expect(model.contents(of: .vmExitInstructionLength) == 3)
    #expect(model.contents(of: .vmExitInstructionInformation) == 9)
    #expect(model.contents(of: .guestPhysicalAddress) == 0xABC000)
    #expect(model.contents(of: .guestLinearAddress) == 0xDEF000)

    #expect(model.enter(resume: true) == .succeed)
    #expect(model.contents(of: .exitReason)?.rawValue == 12)
    #expect(model.contents(of: .exitQualification) == 0)
    #expect(model.contents(of: .vmExitInterruptionInformation)?.rawValue == 0)
    #expect(model.contents(of: .idtVectoringInformation)?.rawValue == 0)
    #expect(model.contents(of: .vmExitInstructionLength) != 3)
    #expect(model.script.isEmpty)
  }

  @Test("The guest sees and changes its registers, and the processor")
  func guestRuns() {
    let model = ProcessorModel.withGuest()
    var exit = ScriptedExit(.cpuid)
    exit.guest = { registers, model in
      registers.rax = registers.rbx + 1
      model.cr2 = 0x99
    }
    exit[.guestRIP] = 0x7C00
    model.script = [exit]
    var registers = GuestRegisters()
    registers.rbx = 41
    #expect(model.enter(&registers, resume: false) == .succeed)
    #expect(registers.rax == 42)
    #expect(model.cr2 == 0x99)
    #expect(model.contents(of: .guestRIP) == 0x7C00)
  }

  @Test(
    "Guest state is saved only where the VM-exit controls say so",
    arguments: [PrimaryVMExitControls.saveDebugControls, .saveIA32PAT, .saveIA32EFER, .saveVMXPreemptionTimerValue, []])
  func savedState(_ control: PrimaryVMExitControls) {
    let model = ProcessorModel.withGuest(exit: control)
    model.setContents(of: .guestDR7, to: DR7(rawValue: 1))
    model.setContents(of: .guestIA32PAT, to: IA32PAT(rawValue: 1))
    model.setContents(of: .guestIA32EFER, to: IA32EFER(rawValue: 1))
    model.setContents(of: .vmxPreemptionTimerValue, to: 1)
    var exit = ScriptedExit(.hlt)
    exit[.guestDR7] = DR7(rawValue: 2)
    exit[.guestIA32PAT] = IA32PAT(rawValue: 2)
    exit[.guestIA32EFER] = IA32EFER(rawValue: 2)
    exit[.vmxPreemptionTimerValue] = 2
    model.script = [exit]
    _ = model.enter(resume: false)
    #expect(model.contents(of: .guestDR7)?.rawValue == (control == .saveDebugControls ? 2 : 1))
    #expect(model.contents(of: .guestIA32PAT)?.rawValue == (control == .saveIA32PAT ? 2 : 1))
    #expect(model.contents(of: .guestIA32EFER)?.rawValue == (control == .saveIA32EFER ? 2 : 1))
    #expect(model.contents(of: .vmxPreemptionTimerValue) == (control == .saveVMXPreemptionTimerValue ? 2 : 1))
  }

  @Test("A VM exit stores IA32_EFER.LMA into the VM-entry controls where IA32_VMX_MISC says so")
  func longModeActive() {
    for (configuration, stores) in [(ProcessorModel.Configuration.skylakeX, true), (.nehalem, false)] {
      let model = ProcessorModel.withGuest(configuration)
      var enabling = ScriptedExit(.hlt)
      enabling[.guestIA32EFER] = IA32EFER(rawValue: 0x500)
      var disabling = ScriptedExit(.hlt)
      disabling[.guestIA32EFER] = IA32EFER(rawValue: 0)
      model.script = [enabling, ScriptedExit(.hlt), disabling]
      _ = model.enter(resume: false)
      #expect(model.contents(of: .vmEntryControls)?.contains(.ia32eModeGuest) == stores)
      _ = model.enter(resume: true)
      #expect(model.contents(of: .vmEntryControls)?.contains(.ia32eModeGuest) == stores)
      _ = model.enter(resume: true)
      #expect(model.contents(of: .vmEntryControls)?.contains(.ia32eModeGuest) == false)
    }
  }

  @Test("A VM exit loads the host state")
  func hostState() {
    let model = ProcessorModel.withGuest(exit: .loadIA32PAT)
    // ET, CD and NW keep their values, which are 1, 0 and 0.
    model.setContents(of: .hostCR0, to: CR0(rawValue: 0xE001_0023))
    model.setContents(of: .hostIA32PAT, to: IA32PAT(rawValue: 0x0606))
    model.setContents(of: .hostGSBase, to: 0x8888)
    model.setContents(of: .hostIA32EFER, to: IA32EFER(rawValue: 0x999))
    let efer = model.rdmsr(0xC000_0080)
    model.script = [ScriptedExit(.hlt)]
    _ = model.enter(resume: false)
    #expect(model.cr0 == 0x8001_0033)
    #expect(model.cr3 == 0x5000)
    #expect(model.cr4 == 0x2020)
    #expect(model.rdmsr(0x277) == 0x0606)
    #expect(model.rdmsr(0xC000_0101) == 0x8888)
    #expect(model.rdmsr(0xC000_0080) == efer)
  }

  @Test("Delivering an event wakes the guest and ends its blocking, and an NMI blocks NMIs")
  func eventInjection() {
    // Interruption information, blocking before, interrupted, and the activity state and blocking after.
    let table: [(UInt32, UInt32, Bool, UInt32, UInt32)] = [
      (0x0000_0020, 0b0011, false, 1, 0b0011),
      (0x8000_0020, 0b0001, false, 0, 0b0000),
      (0x8000_0020, 0b0010, false, 0, 0b0000),
      (0x8000_0202, 0b0000, false, 0, 0b1000),
      (0x8000_0202, 0b0000, true, 0, 0b0000),
      (0x8000_0306, 0b1001, false, 0, 0b1000),
    ]
    for (information, before, isInterrupted, activity, after) in table {
      let model = ProcessorModel.withGuest()
      model.setContents(of: .vmEntryInterruptionInformation, to: .init(rawValue: information))
      model.setContents(of: .guestInterruptibilityState, to: .init(rawValue: before))
      model.setContents(of: .guestActivityState, to: .hlt)
      var exit = ScriptedExit(.tripleFault)
      if isInterrupted { exit.idtVectoringInformation = .init(rawValue: information) }
      model.script = [exit]
      _ = model.enter(resume: false)
      #expect(model.contents(of: .vmEntryInterruptionInformation)?.rawValue == information & 0x7FFF_FFFF)
      #expect(model.contents(of: .guestActivityState)?.rawValue == activity)
      #expect(model.contents(of: .guestInterruptibilityState)?.rawValue == after)
    }
  }

  @Test(
    "A VM-entry failure after loading guest state sets bit 31, loads host state and does nothing else",
    arguments: [
      (BasicExitReason.vmEntryFailureInvalidGuestState, UInt64(4)), (.vmEntryFailureMSRLoading, 2),
      (.vmEntryFailureMachineCheck, 0),
    ])
  func lateFailure(_ reason: BasicExitReason, _ qualification: UInt64) {
    let model = ProcessorModel.withGuest()
    model.setContents(of: .vmEntryInterruptionInformation, to: .init(rawValue: 0x8000_0020))
    model.script = [ScriptedExit(.hlt)]
    model.inject(.entryFailure(reason, qualification: qualification), into: .vmlaunch)
    #expect(model.enter(resume: false) == .succeed)
    #expect(model.contents(of: .exitReason)?.rawValue == 0x8000_0000 | UInt32(reason.rawValue))
    #expect(model.contents(of: .exitQualification) == qualification)
    #expect(model.contents(of: .vmEntryInterruptionInformation)?.rawValue == 0x8000_0020)
    #expect(model.currentVMCS.flatMap { model.isLaunched($0) } == false)
    #expect(model.script.count == 1)
    #expect(model.cr3 == 0x5000)
  }

  @Test("A scripted change of a field that the processor does not have is a fault")
  func impossibleChange() {
    let model = ProcessorModel.withGuest(.nehalem)
    var exit = ScriptedExit(.hlt)
    exit[.guestUINV] = GuestUINV(rawValue: 1)
    exit[.hostCR3] = 1
    model.script = [exit]
    _ = model.enter(resume: false)
    #expect(model.faults.count == 2)
  }

  @Test("A scripted exit that the controls do not cause is a fault")
  func impossibleExit() {
    // Each with the controls that make it possible, in a processor with every control.
    let table: [(BasicExitReason, (ProcessorModel) -> Void)] = [
      (.nmiWindow, { $0.add(.nmiWindowExiting) }), (.interruptWindow, { $0.add(.interruptWindowExiting) }),
      (.rdtsc, { $0.add(.rdtscExiting) }), (.movDR, { $0.add(.movDRExiting) }),
      (.ioInstruction, { $0.add(.useIOBitmaps) }), (.ioInstruction, { $0.add(.unconditionalIOExiting) }),
      (.monitorTrapFlag, { $0.add(.monitorTrapFlag) }), (.tprBelowThreshold, { $0.add(.useTPRShadow) }),
      (.eptViolation, { $0.add(secondary: .enableEPT) }), (.rdseed, { $0.add(secondary: .rdseedExiting) }),
      (.pageModificationLogFull, { $0.add(secondary: .enablePML) }),
      (.externalInterrupt, { $0.setContents(of: .pinBasedVMExecutionControls, to: .externalInterruptExiting) }),
    ]
    for (reason, enable) in table {
      for isEnabled in [false, true] {
        let model = ProcessorModel.withGuest(.everything)
        if isEnabled { enable(model) }
        model.script = [ScriptedExit(reason)]
        #expect(model.enter(resume: false) == .succeed)
        #expect(model.faults.isEmpty == isEnabled, "exit reason \(reason.rawValue)")
      }
    }
  }

  @Test("An external interrupt has a vector exactly if the VM exit acknowledges it")
  func acknowledgement() {
    for (acknowledges, hasVector) in [(false, false), (false, true), (true, false), (true, true)] {
      let model = ProcessorModel.withGuest(exit: acknowledges ? .acknowledgeInterruptOnExit : [])
      model.setContents(of: .pinBasedVMExecutionControls, to: .externalInterruptExiting)
      var exit = ScriptedExit(.externalInterrupt)
      if hasVector { exit.interruptionInformation = .init(rawValue: 0x8000_0020) }
      model.script = [exit]
      _ = model.enter(resume: false)
      #expect(model.faults.isEmpty == (acknowledges == hasVector))
    }
  }
}

extension ProcessorModel {
  fileprivate func add(_ control: PrimaryProcessorBasedVMExecutionControls) {
    let field = VMCSField.primaryProcessorBasedVMExecutionControls
    setContents(of: field, to: (contents(of: field) ?? []).union(control))
  }

  fileprivate func add(secondary control: SecondaryProcessorBasedVMExecutionControls) {
    add(.activateSecondaryControls)
    setContents(of: .secondaryProcessorBasedVMExecutionControls, to: control)
  }
}
