import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite struct MeteredProcessorTests {
  @Test("The meter counts what the model's trace shows, exits by their basic reason")
  func counts() throws {
    let fixture = try VCPUFixture()
    var meter = Meter()
    try withUnsafeMutablePointer(to: &meter) { meter in
      let processor = MeteredProcessor(fixture.processor, meter: meter)
      fixture.processor.clearTrace()
      var vcpu = VCPU(
        memory: fixture.memory, settings: fixture.settings, host: fixture.host, on: processor
      ).load()
      var strange = ScriptedExit.cpuid
      strange.reason = ExitReason(rawValue: 0x7ABC)
      let reasons: [BasicExitReason] = [.cpuid, .hlt, .cpuid, .rdmsr, .tripleFault]
      fixture.processor.script = reasons.map { ScriptedExit($0, instructionLength: 2) } + [strange]
      for _ in 0..<6 {
        _ = vcpu.run(eptGeneration: 0)
        vcpu.advance()
      }
      try vcpu.setRegister(.cr3, to: 0)
      _ = vcpu.unload()
      let trace = fixture.processor.trace
      #expect(meter.pointee.vmreads == UInt64(trace.vmreads.count))
      #expect(meter.pointee.vmwrites == UInt64(trace.vmwrites.count))
      #expect(meter.pointee.exitCount == 6)
      for (reason, count) in [(10, 2), (12, 1), (31, 1), (2, 1), (86, 1), (0, 0)] as [(Int, UInt64)] {
        #expect(meter.pointee.exits[reason] == count, "\(reason)")
      }
    }
  }

  @Test("Ticks are the guest's from entry to exit, and the host's otherwise")
  func ticks() throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.timestampStep = 10
    let fixture = try VCPUFixture(configuration)
    var meter = Meter()
    try withUnsafeMutablePointer(to: &meter) { meter in
      let processor = MeteredProcessor(fixture.processor, meter: meter)
      var vcpu = VCPU(memory: fixture.memory, settings: fixture.settings, host: fixture.host, on: processor).load()
      var exit = ScriptedExit.cpuid
      // Each look at the counter takes ten ticks.
      exit.guest = { _, processor in for _ in 0..<7 { _ = processor.timestampCounter } }
      fixture.processor.script = [exit, exit]
      for _ in 0..<2 { _ = vcpu.run(eptGeneration: 0) }
      _ = try #require(meter.pointee.exits[10] == 2)
      #expect(meter.pointee.guestTicks == 2 * 80 && meter.pointee.hostTicks == 2 * 10)
    }
  }

  @Test("What the meter does not count goes to the processor unchanged")
  func passesOn() throws {
    let fixture = try VCPUFixture()
    _ = fixture.makeVCPU()
    var meter = Meter()
    withUnsafeMutablePointer(to: &meter) { meter in
      let processor = MeteredProcessor(fixture.processor, meter: meter)
      fixture.processor.clearTrace()
      _ = processor.vmclear(fixture.memory.vmcs.address)
      _ = processor.vmptrld(fixture.memory.vmcs.address)
      #expect(processor.vmptrst() == fixture.memory.vmcs.address)
      processor.enterCritical()
      processor.exitCritical()
      _ = processor.invept(1, fixture.settings.eptPointer.rawValue)
      _ = processor.invvpid(1, 3, 4)
      (processor.cr0, processor.cr2, processor.cr3, processor.cr4) = (0x8000_0031, 2, 3, 0x4_2020)
      processor.xcr0 = 7
      processor.setDebugRegister(3, to: 5)
      fixture.processor.cr4 |= 1 << 9
      processor.setXMMRegister(15, to: XMMRegister(low: 7, high: 8))
      processor.wrmsr(0x277, 6)
      processor.wbinvd()
      #expect(processor.cr0 == 0x8000_0031 && processor.cr2 == 2 && processor.cr3 == 3 && processor.cr4 == 0x4_2220)
      #expect(processor.xmmRegister(15) == XMMRegister(low: 7, high: 8))
      #expect(processor.xcr0 == 7 && processor.debugRegister(3) == 5 && processor.rdmsr(0x277) == 6)
      #expect(processor.cpuid(0, 0) == fixture.processor.cpuid(0, 0))
      #expect(processor.outcomeOfFailedVMREAD(0x800) == fixture.processor.outcomeOfFailedVMREAD(0x800))
      #expect(processor.vmxoff() == .succeed)
      #expect(!fixture.processor.isInVMXOperation && fixture.processor.faults.isEmpty)
      #expect(fixture.processor.trace.accesses.contains(.invvpid(type: 1, vpid: 3, linearAddress: 4)))
      #expect(fixture.processor.trace.accesses.contains(.wbinvd))
    }
  }
}
