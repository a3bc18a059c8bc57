import Glibc
import Machine
import ProcessorModel
import Testing
import VMCS
import VMEntryChecks

/// What a drill does, for every check, on the processor model with Skep's own guest.
@Suite("Drills") struct EntryDrillTests {
  enum Effect: Equatable, CustomStringConvertible {
    /// The check fails, and no other.
    case alone
    /// The check fails, and others with it.
    case withOthers
    /// A change of one field does not make it fail.
    case impossible
    case unknown

    var description: String {
      switch self {
      case .alone: "drill"
      case .withOthers: "drill, with others that fail"
      case .impossible: "no drill"
      case .unknown: "?"
      }
    }
  }

  static let checks = EntryChecks.list(with: CollectedChecks()).checks

  /// What the table says.
  static func expectedEffect(_ id: String) -> Effect {
    EntryDrillTable.alone.contains(id) ? .alone : EntryDrillTable.withOthers.contains(id) ? .withOthers : .impossible
  }

  /// Prepares a drill, and holds what the processor then does against it.
  static func drill(_ id: String, on configuration: ProcessorModel.Configuration) throws -> Effect {
    let guest = try GuestOnModel(configuration)
    let processor = guest.processor
    let state = StateOnModel(processor: processor)
    let capabilities = EntryCapabilities(of: processor)
    let facts = EntryFacts.hypervisor(
      isVMRESUME: false, currentVMCSPointer: processor.currentVMCS)
    #expect(EntryReport(state, capabilities: capabilities, facts: facts).failures.isEmpty)
    let before = state.values
    var bytes = id
    let result = bytes.withUTF8 {
      EntryDrill.prepare(
        UnsafeRawBufferPointer($0), state, capabilities: capabilities, facts: facts, on: processor)
    }
    let failures = EntryReport(state, capabilities: capabilities, facts: facts).failures.map(\.check)
    let changes = zip(before, state.values).filter { $0 != $1 }.count
    processor.script = [ScriptedExit(.hlt)]
    var registers = GuestRegisters()
    let outcome = processor.enter(&registers, resume: false)
    let isEntered = processor.script.isEmpty
    switch result {
    case .ready:
      #expect(changes == 1, "\(id)")
      #expect(failures.contains { $0.id.description == id }, "\(id)")
      if failures.allSatisfy(\.isOptional) {
        #expect(isEntered, "\(id)")
      } else {
        #expect(!isEntered, "\(id)")
        let decisive = processor.failedCheck?.id.description
        #expect(failures.contains { $0.id.description == decisive }, "\(id)")
        // The processor's answer is that of the check: VMfail for controls and host state, a VM exit for the guest's.
        let isInstructionFailure = if case .vmFailValid = processor.failedCheck?.outcome { true } else { false }
        #expect((outcome == .failValid) == isInstructionFailure, "\(id)")
      }
      return failures.count == 1 ? .alone : .withOthers
    case .impossible, .unknownCheck:
      #expect(changes == 0, "\(id) is left as it was")
      #expect(isEntered, "\(id)")
      if case .unknownCheck = result { return .unknown }
      return .impossible
    }
  }

  @Test("Each drill has the effect that the table says", arguments: checks.map(\.id.description))
  func effect(_ id: String) throws {
    #expect(try Self.drill(id, on: .skylakeX) == Self.expectedEffect(id))
  }

  @Test("The table is about checks that there are")
  func table() {
    let ids = Set(Self.checks.map(\.id.description))
    #expect(EntryDrillTable.alone.union(EntryDrillTable.withOthers).subtracting(ids) == [])
    #expect(EntryDrillTable.alone.intersection(EntryDrillTable.withOthers) == [])
  }

  @Test(
    "What is not the identifier of a check is said to be unknown",
    arguments: ["", "guest", "guest.rflags.reserve", "é"])
  func unknown(_ id: String) throws {
    #expect(try Self.drill(id, on: .skylakeX) == .unknown)
  }

  @Test(
    "Print the drill of each check",
    .enabled(if: getenv("SKEP_PRINT_CHECKS") != nil, "set SKEP_PRINT_CHECKS to print the table"))
  func printTheCheckTable() {
    for check in Self.checks {
      let id = check.id.description
      print("\(id): \(Self.expectedEffect(id))")
    }
  }
}

/// The current VMCS of a model and its memory.
struct StateOnModel: VMCSState {
  let processor: ProcessorModel

  func value(of field: VMCSFieldEncoding) -> UInt64? { processor.contents(of: field) }
  func quadword(at address: PhysicalAddress) -> UInt64? { processor.memory.load(address, as: UInt64.self) }

  /// The values of all fields that can be written.
  var values: [UInt64?] { VMCSFieldDescription.all.map { $0.isReadOnly ? nil : value(of: $0.encoding) } }
}

/// All checks.
private struct CollectedChecks: EntryCheckVisitor {
  var checks: [EntryCheck] = []
  mutating func visit(_ check: EntryCheck, verdict: () -> EntryVerdict) { checks.append(check) }
}
