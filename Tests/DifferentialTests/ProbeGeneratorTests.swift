import EntryProbe
import Testing
import VMCS

@testable import VMEntryChecks
@testable import differential

/// The states of the probe and what is said about them.
struct ProbeGeneratorTests {
  private let storage = UnsafeMutablePointer<UInt64>.allocate(capacity: ProbeGenerator.storageCount)

  /// A processor that has every field.
  private var environment: ProbeEnvironment {
    var capabilities = EntryCapabilities()
    for capability in EntryCapability.allCases { capabilities[capability] = 0xFFFF_FFFF_0000_0000 }
    capabilities[.cpuid80000008EAX] = 0x3028
    return ProbeEnvironment(
      capabilities: capabilities, writableFields: InlineArray(repeating: ~0), host: InlineArray(repeating: 0x1000))
  }

  private func description(_ probeCase: ProbeCase) -> [UInt64] {
    [UInt64(probeCase.base.rawValue)]
      + (0..<probeCase.count).flatMap { [UInt64(probeCase.mutations[$0].field), probeCase.mutations[$0].value] }
  }

  @Test("The same seed and number make the same state, another seed others")
  func determinism() {
    let cases = [1, 1, 2].map { (seed: UInt64) in
      let generator = ProbeGenerator(environment: environment, seed: seed, storage: storage)
      return (0..<2000).map { description(generator.probeCase($0)) }
    }
    #expect(cases[0] == cases[1])
    #expect(cases[0] != cases[2])
    storage.deallocate()
  }

  @Test("The walk changes each bit at most once, one at a time, and almost all of them")
  func walk() {
    let generator = ProbeGenerator(environment: environment, seed: 7, storage: storage)
    var seen: Set<[UInt64]> = []
    var unchanged = 0
    for number in 0..<generator.walkCount {
      let probeCase = generator.probeCase(
        ProbeBase.allCases.count + generator.targetCount + 2 * number)
      if probeCase.count == 0 {
        unchanged += 1
        continue
      }
      let mutation = probeCase.mutations[0]
      #expect(probeCase.count == 1)
      #expect((mutation.value ^ generator.value(of: mutation.field, in: probeCase.base)).nonzeroBitCount == 1)
      #expect(seen.insert(description(probeCase)).inserted)
    }
    // What would end the probe is left out: bits of the host's CR3, RIP and RSP, and large counts.
    #expect(unchanged * 10 < generator.walkCount)
    storage.deallocate()
  }

  @Test("An environment survives its way as quadwords")
  func environmentAsQuadwords() {
    var quadwords: [UInt64] = []
    environment.forEachQuadword { quadwords.append($0) }
    #expect(quadwords.count == ProbeEnvironment.quadwordCount)
    var rest = quadwords[...]
    let copy = ProbeEnvironment { rest.removeFirst() }
    var again: [UInt64] = []
    copy.forEachQuadword { again.append($0) }
    #expect(again == quadwords)
    storage.deallocate()
  }

  @Test("The listener finds environment, outcomes and log between other output")
  func listener() {
    var bytes: [UInt8] = Array("\u{1B}[H Booting...\n".utf8) + [0xFF, 0xFF, 0x80]
    func append(_ value: UInt64) {
      for index in 0..<10 { bytes.append(UInt8(value >> UInt64(7 * index) & 0x7F) | 0x80) }
    }
    func append(_ outcome: ProbeOutcome) {
      bytes += [UInt8(outcome.rawValue >> 7) | 0x80, UInt8(outcome.rawValue & 0x7F) | 0x80]
    }
    for _ in 0..<4 { append(~0) }
    environment.forEachQuadword { append($0) }
    append(ProbeOutcome(.mark))
    append(ProbeOutcome(.entered, 52))
    bytes += Array("00012345e[CPU0  ] VMFAIL: VMCS\n".utf8)
    append(ProbeOutcome(.failValid, 7))
    append(ProbeOutcome(.end))
    var heard: [String] = []
    var listener = ProbeListener()
    // One byte at a time, as a pipe may give them.
    for byte in bytes {
      withUnsafeBytes(of: byte) { buffer in
        listener.take(buffer) { event in
          switch event {
          case .environment: heard.append("environment")
          case .outcome(let outcome, let log): heard.append("\(outcome.kind) \(outcome.number) \(log)")
          case .end: heard.append("end")
          }
        }
      }
    }
    #expect(heard == ["environment", "entered 52 []", "failValid 7 [\"VMFAIL: VMCS\"]", "end"])
    #expect(!listener.isOutOfStep)
    storage.deallocate()
  }

  @Test("Every deviation of Bochs omits checks that there are, or adds an outcome")
  func deviations() {
    for deviation in BochsDeviation.all {
      #expect(!deviation.omitted.isEmpty || deviation.added != nil)
      for id in deviation.omitted { #expect(CheckList.ids.contains(id), "\(id)") }
    }
    storage.deallocate()
  }

  @Test("A deviation explains what it omits, and nothing else")
  func explanation() {
    let values = UnsafeMutablePointer<UInt64>.allocate(capacity: VMCSFieldDescription.count)
    defer { values.deallocate() }
    values.initialize(repeating: 0, count: VMCSFieldDescription.count)
    let state = ProbedState(environment: environment, fields: ProbeState(values))
    func explains(_ ids: [String], _ observed: ProbeOutcome) -> Bool {
      var checks = FailedChecks()
      for (check, id) in zip(CheckList.all, CheckList.ids) {
        checks.visit(check) {
          ids.contains(id)
            ? .failed(EntryFinding(subject: .fact(.cpl), mask: 1, found: 1, required: 0)) : .passed
        }
      }
      return BochsDeviation.explanation(of: observed, checks: checks, state: state) != nil
    }
    let invalidState = ProbeOutcome(.invalidGuestState, 0)
    #expect(explains(["guest.debugctl.reserved"], ProbeOutcome(.entered)))
    #expect(explains(["guest.debugctl.reserved", "guest.rip.bits-63-32"], invalidState))
    // A check that a processor need not make counts or does not.
    #expect(explains(["guest.debugctl.reserved", "msr-load.model-specific"], ProbeOutcome(.entered)))
    #expect(explains(["guest.debugctl.reserved", "msr-load.model-specific"], ProbeOutcome(.msrLoading, 1)))
    #expect(!explains(["guest.debugctl.reserved", "msr-load.reserved"], ProbeOutcome(.entered)))
    #expect(!explains(["guest.rflags.reserved"], ProbeOutcome(.entered)))
    #expect(!explains(["guest.debugctl.reserved", "guest.rflags.reserved"], ProbeOutcome(.entered)))
    #expect(!explains(["guest.debugctl.reserved"], ProbeOutcome(.failValid, 7)))
    #expect(!explains([], invalidState))
    storage.deallocate()
  }
}
