import VMCS

/// What is done with each check: print it, collect what failed, stop at the first failure.
public protocol EntryCheckVisitor {
  /// Takes a check. `verdict` evaluates it when it is called, and only then.
  mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict)
}

/// Every check that a VM entry makes (SDM, chapter "VM Entries"), in the order in which the processor makes them.
///
/// The SDM lets a processor check the controls and the host state in any order, and the guest state in any order after
/// these; the order here is that of its text.
public enum EntryChecks {
  /// Shows every check to `visitor` and returns it.
  ///
  /// - Parameters:
  ///   - state: the VMCS, and the memory that it refers to.
  ///   - capabilities: what is known of the processor.
  ///   - facts: what is known of the logical processor at the moment of the VM entry.
  public static func visit<State: VMCSState, Visitor: EntryCheckVisitor>(
    _ state: State, capabilities: EntryCapabilities, facts: EntryFacts, with visitor: consuming Visitor
  ) -> Visitor {
    var checks = EntryCheckPass(
      inputs: EntryInputs(state: state, capabilities: capabilities, facts: facts), visitor: visitor)
    checks.basicVMEntryChecks()
    checks.vmExecutionControlFields()
    checks.vmExitControlFields()
    checks.vmEntryControlFields()
    checks.executiveVMCSPointer()
    checks.hostControlRegistersMSRsAndSSP()
    checks.hostSegmentAndDescriptorTableRegisters()
    checks.addressSpaceSize()
    checks.guestControlRegistersDebugRegistersAndMSRs()
    checks.guestSegmentRegisters()
    checks.guestDescriptorTableRegisters()
    checks.guestRIPRFLAGSAndSSP()
    checks.guestNonRegisterState()
    checks.guestPageDirectoryPointerTableEntries()
    checks.loadingMSRs()
    return checks.visitor
  }

  /// Shows every check to `visitor` without a VMCS, so that every verdict would be undecidable, and returns it.
  public static func list<Visitor: EntryCheckVisitor>(with visitor: consuming Visitor) -> Visitor {
    visit(NothingKnown(), capabilities: EntryCapabilities(), facts: EntryFacts(), with: visitor)
  }

  private struct NothingKnown: VMCSState {
    func value(of field: VMCSFieldEncoding) -> UInt64? { nil }
  }
}

/// One way through all checks.
struct EntryCheckPass<State: VMCSState, Visitor: EntryCheckVisitor> {
  typealias Inputs = EntryInputs<State>

  let inputs: Inputs
  var visitor: Visitor
  /// The section of the checks that follow.
  var section = EntryCheckSection.basicVMEntryChecks

  /// Makes a check: `body` returns what is wrong, or nil if nothing is.
  ///
  /// - Parameters:
  ///   - names: what the check may read (see `EntryCheck.inputs`), and `moreNames` too.
  ///   - name: the register that "%" stands for.
  ///   - outcome: what happens on failure, if it is not what the section says.
  ///   - isOptional: whether the SDM lets a processor not make the check.
  mutating func check(
    _ id: StaticString, _ statement: StaticString, reads names: StaticString,
    and moreNames: StaticString = "", for name: StaticString = "",
    outcome: EntryOutcome? = nil, isOptional: Bool = false, _ body: (inout Inputs) -> EntryFinding?
  ) {
    let check = EntryCheck(
      id: EntryText(template: id, name: name, isLowercased: true), section: section,
      statement: EntryText(template: statement, name: name, isLowercased: false),
      inputs: EntryText(template: names, name: name, isLowercased: false, suffix: moreNames),
      outcome: outcome ?? section.outcome,
      isOptional: isOptional)
    let inputs = self.inputs
    visitor.visit(check) {
      var inputs = inputs
      let finding = body(&inputs)
      if let unknown = inputs.unknown { return .undecidable(unknown) }
      return finding.map { .failed($0) } ?? .passed
    }
  }
}
