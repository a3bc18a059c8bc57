import ProcessorModel
import Testing
import VMCS

@Suite("Launch states")
struct LaunchStateTests {
  /// The SDM's figure "States of VMCS X", for three VMCSs on one processor, and nothing else.
  struct Reference {
    var current: Int?
    var active: Set<Int> = []
    var launched: Set<Int> = []

    mutating func clear(_ vmcs: Int) {
      if current == vmcs { current = nil }
      active.remove(vmcs)
      launched.remove(vmcs)
    }

    mutating func load(_ vmcs: Int) {
      current = vmcs
      active.insert(vmcs)
    }

    mutating func enter(resume: Bool) -> (VMXOutcome, UInt32?) {
      guard let current else { return (.failInvalid, nil) }
      if resume != launched.contains(current) { return (.failValid, resume ? 5 : 4) }
      launched.insert(current)
      return (.succeed, nil)
    }
  }

  @Test("Random sequences agree with the SDM's state diagram", arguments: UInt64(0)..<50)
  func randomSequences(_ seed: UInt64) {
    let model = ProcessorModel.inVMXOperation()
    model.checksFields = false
    let regions = (0..<3).map { _ in model.page() }
    for region in regions { _ = model.vmclear(region) }
    var reference = Reference()
    var generator = SeededGenerator(state: seed)
    for _ in 0..<200 {
      let vmcs = Int.random(in: 0..<3, using: &generator)
      switch Int.random(in: 0..<5, using: &generator) {
      case 0:
        reference.clear(vmcs)
        #expect(model.vmclear(regions[vmcs]) == .succeed)
      case 1, 2:
        reference.load(vmcs)
        #expect(model.vmptrld(regions[vmcs]) == .succeed)
      case let choice:
        let (outcome, error) = reference.enter(resume: choice == 3)
        model.script = [ScriptedExit(.cpuid, instructionLength: 2)]
        #expect(model.enter(resume: choice == 3) == outcome)
        if let error { #expect(model.instructionError == error) }
      }
      #expect(model.currentVMCS == reference.current.map { regions[$0] })
      #expect(model.activeVMCSs == Set(reference.active.map { regions[$0] }))
      #expect(regions.map { model.isLaunched($0) } == (0..<3).map { reference.launched.contains($0) })
    }
    #expect(model.faults.isEmpty)
  }
}
