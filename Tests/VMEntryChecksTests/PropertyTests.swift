import Testing
import VMCS
import VMEntryChecks

@Suite struct PropertyTests {
  @Test func identifiersAreUniqueAndSpelledTheSameWay() {
    let ids = CheckList.all.map(\.id.description)
    #expect(Set(ids).count == ids.count)
    for id in ids {
      let parts = id.split(separator: ".", omittingEmptySubsequences: false)
      #expect(parts.count >= 2, "\(id)")
      #expect(parts.allSatisfy { part in !part.isEmpty && part.allSatisfy { isLowercase($0) } }, "\(id)")
    }
    func isLowercase(_ c: Character) -> Bool { c == "-" || c.isASCII && (c.isLowercase || c.isNumber) }
  }

  @Test func checksFollowTheSectionsOfTheSDM() {
    let sections = CheckList.all.map(\.section.rawValue)
    #expect(sections == sections.sorted())
    #expect(Set(sections).count == EntryCheckSection.allCases.count)
  }

  @Test func statementsAreSentences() {
    for check in CheckList.all {
      let statement = check.statement.description
      #expect(statement.hasSuffix(".") && !statement.contains("%") && !statement.contains("\n"), "\(check.id)")
    }
  }

  @Test func identifiersCompareByBytes() {
    for check in CheckList.all {
      let id = check.id.description
      #expect(check.id.isEqual(to: id.utf8))
      #expect(!check.id.isEqual(to: (id + "x").utf8))
      #expect(!check.id.isEqual(to: id.dropLast().utf8))
      #expect(check.id.count == id.utf8.count)
    }
  }

  @Test func nothingIsDecidedWhereNothingIsKnown() {
    let state = TestState().with {
      $0.capabilities = EntryCapabilities()
      $0.facts = EntryFacts()
    }
    #expect(state.report.undecidable.count == CheckList.all.count)
    // What is missing is the first of several inputs.
    let launch = state.report.undecidable.first { $0.check.id.description == "basic.vmlaunch-launch-state" }
    #expect(launch?.missing == .fact(.isVMRESUME))
    #expect(!state.report.prediction.isDecided)
  }

  /// What a check is said to read is what it reads in some state, and nothing else.
  @Test func inputsAreThoseThatAreRead() {
    var tracer = InputTracer()
    for state in BaseState.allCases.map(\.state) + unknownWidths { tracer.trace(state, of: nil) }
    for failing in FailingState.all { tracer.trace(failing.state, of: failing.id) }
    for check in CheckList.all {
      let declared = Set(check.inputs.description.split(separator: " ").map(String.init))
      #expect(tracer.read[check.id.description] == declared, "\(check.id)")
    }
  }

  /// States in which the widths of addresses matter to every check of an address.
  private var unknownWidths: [TestState] {
    [BaseState.long, .real, .rich, .pae, .paeInMemory].map { base in
      base.state.with { state in
        for field in VMCSFieldDescription.all where field.width == .natural || field.width == .bits64 {
          if field.type == .control, field.valueType != .physicalAddress { continue }
          if let value = state.fields[field.encoding] { state.fields[field.encoding] = value ^ 1 << 50 }
        }
        state[.vmcsLinkPointer] = 1 << 50
        state[.guestCR3] = 3 << 61
        state[.hostCR3] = 3 << 61 | 1 << 50
      }
    }
  }

  /// A field that is not known makes checks undecidable; it never makes one pass or fail that did not.
  @Test(arguments: BaseState.allCases)
  func unknownFieldsOnlyMakeChecksUndecidable(_ base: BaseState) {
    let state = base.state
    for field in VMCSFieldDescription.all {
      expectSameOrUndecidable(state, state.with { $0.fields[field.encoding] = nil }, "\(field.name)")
    }
    for capability in EntryCapability.allCases {
      expectSameOrUndecidable(state, state.with { $0.capabilities[capability] = nil }, "\(capability)")
    }
    expectSameOrUndecidable(state, state.with { $0.facts = EntryFacts() }, "facts")
    expectSameOrUndecidable(state, state.with { $0.memory = [:] }, "memory")
  }

  @Test(arguments: FailingState.all)
  func unknownInputsOfAFailingStateOnlyMakeChecksUndecidable(_ failing: FailingState) throws {
    let state = failing.state
    let check = try #require(CheckList.all.first { $0.id.description == failing.id })
    for name in check.inputs.description.split(separator: " ") {
      if let field = VMCSFieldDescription(name: name.utf8) {
        expectSameOrUndecidable(state, state.with { $0.fields[field.encoding] = nil }, name)
      } else if let capability = EntryCapability.allCases.first(where: { "\($0)" == name }) {
        expectSameOrUndecidable(state, state.with { $0.capabilities[capability] = nil }, name)
      }
    }
    expectSameOrUndecidable(state, state.with { $0.facts = EntryFacts() }, "facts")
    expectSameOrUndecidable(state, state.with { $0.memory = [:] }, "memory")
  }

  private func expectSameOrUndecidable(_ known: TestState, _ unknown: TestState, _ what: some StringProtocol) {
    for (id, (before, after)) in zip(CheckList.ids, zip(known.verdicts, unknown.verdicts))
    where after != .undecidable && after != before {
      Issue.record("\(id) became \(after) without \(what)")
    }
  }

  /// Whatever is wrong with a field, the smallest change mends it, and no value makes a check trap.
  @Test(arguments: BaseState.allCases)
  func everySmallestChangeMends(_ base: BaseState) {
    for field in VMCSFieldDescription.all where !field.isReadOnly {
      guard let value = base.state.fields[field.encoding] else { continue }
      let width = UInt64(field.width.bitWidth)
      // Every bit in the state that has everything on, some bits in the others: they share most checks.
      let bits =
        base == .rich ? Array(0..<width) : Array(stride(from: UInt64(field.encoding.index) % 11, to: width, by: 11))
      for bit in bits { expectMended(base.state.with { $0.fields[field.encoding] = value ^ 1 << bit }, field, bit) }
      expectMended(base.state.with { $0.fields[field.encoding] = ~0 >> (64 - width) }, field, 64)
      expectMended(base.state.with { $0.fields[field.encoding] = 0 }, field, 65)
    }
  }

  private func expectMended(_ state: TestState, _ field: VMCSFieldDescription, _ bit: UInt64) {
    for (check, finding) in state.report.failures {
      let mended = state.with { $0.apply(finding) }.report.failures
      #expect(
        finding.change != 0 && !mended.contains { $0.check.id.description == check.id.description },
        "\(field.name) \(bit) \(check.id)")
    }
  }
}

/// A verdict without its reason.
enum BareVerdict { case passed, failed, undecidable }

extension TestState {
  /// The verdict of every check, in the order of `CheckList.all`.
  var verdicts: [BareVerdict] {
    struct Verdicts: EntryCheckVisitor {
      var verdicts: [BareVerdict] = []
      mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
        switch verdict() {
        case .passed: verdicts.append(.passed)
        case .failed: verdicts.append(.failed)
        case .undecidable: verdicts.append(.undecidable)
        }
      }
    }
    return EntryChecks.visit(self, capabilities: capabilities, facts: facts, with: Verdicts()).verdicts
  }
}

/// Finds out what each check reads, by making its inputs unknown one after the other as it asks for them.
struct InputTracer {
  var read: [String: Set<String>] = [:]

  /// Notes what is read in `state`: of capabilities and facts, only those that the check `id` declares, if it is given.
  mutating func trace(_ state: TestState, of id: String?) {
    let log = ReadLog(state)
    let visitor = EntryChecks.visit(
      log, capabilities: state.capabilities, facts: state.facts, with: Visitor(log: log, read: read))
    read = visitor.read
    let declared = id.flatMap { id in CheckList.all.first { $0.id.description == id } }
    let names = declared.map { Set($0.inputs.description.split(separator: " ").map(String.init)) }
    traceKnown(state, names)
  }

  /// Capabilities and facts are values, so that they are read cannot be seen: but that a verdict changes without them can.
  private mutating func traceKnown(_ state: TestState, _ names: Set<String>?) {
    let known = state.verdicts
    for capability in EntryCapability.allCases where names?.contains("\(capability)") ?? true {
      note("\(capability)", known, state.with { $0.capabilities[capability] = nil })
    }
    for fact in EntryFact.allCases where names?.contains("\(fact)") ?? true {
      note("\(fact)", known, state.with { $0.facts.forget(fact) })
    }
  }

  private mutating func note(_ name: String, _ known: [BareVerdict], _ state: TestState) {
    for (id, (before, after)) in zip(CheckList.ids, zip(known, state.verdicts)) where after != before {
      read[id, default: []].insert(name)
    }
  }

  private struct Visitor: EntryCheckVisitor {
    let log: ReadLog
    var read: [String: Set<String>]
    mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) {
      log.names = []
      _ = verdict()
      read[check.id.description, default: []].formUnion(log.names)
    }
  }

  private final class ReadLog: VMCSState {
    let state: TestState
    var names: Set<String> = []

    init(_ state: TestState) { self.state = state }

    func value(of field: VMCSFieldEncoding) -> UInt64? {
      if let name = VMCSFieldDescription(encoding: field)?.name { names.insert("\(name)") }
      return state.value(of: field)
    }

    func quadword(at address: PhysicalAddress) -> UInt64? {
      names.insert("memory")
      return state.quadword(at: address)
    }
  }
}

extension EntryFacts {
  fileprivate mutating func forget(_ fact: EntryFact) {
    switch fact {
    case .isVMRESUME: isVMRESUME = nil
    case .isLaunched: isLaunched = nil
    case .hasCurrentVMCS: hasCurrentVMCS = nil
    case .isShadowVMCS: isShadowVMCS = nil
    case .currentVMCSPointer: currentVMCSPointer = nil
    case .vmxonPointer: vmxonPointer = nil
    case .isInVirtual8086OrCompatibilityMode: isInVirtual8086OrCompatibilityMode = nil
    case .cpl: cpl = nil
    case .isBlockedByMOVSS: isBlockedByMOVSS = nil
    case .isInIA32eMode: isInIA32eMode = nil
    case .isInSMM: isInSMM = nil
    case .isTracingEnabled: isTracingEnabled = nil
    }
  }
}
