import ProcessorModel
import Testing
import VMCS
import VMEntryChecks

@testable import VMX

/// A VMWRITE: which field, and what.
struct FieldWrite: Equatable, CustomStringConvertible {
  var field: VMCSFieldEncoding
  var value: UInt64

  init<Value>(_ field: VMCSField<Value, ReadWrite>, _ value: UInt64) {
    (self.field, self.value) = (field.encoding, value)
  }

  init(_ write: (field: VMCSFieldEncoding, value: UInt64)) { (field, value) = (write.field, write.value) }

  var description: String {
    "\(VMCSFieldDescription(encoding: field)?.title ?? "?") = 0x\(String(value, radix: 16))"
  }

  /// What the making of a vCPU writes on a Skylake-X.
  static let hostState: [FieldWrite] = [
    .init(.hostIA32PAT, 0x0007_0406_0007_0406), .init(.hostIA32EFER, 0xD01), .init(.hostCR0, 0x8000_0031),
    .init(.hostCR3, 0xA_B000), .init(.hostCR4, 0x4_2020), .init(.hostCSSelector, 0x08), .init(.hostESSelector, 0x10),
    .init(.hostSSSelector, 0x10), .init(.hostDSSelector, 0x10), .init(.hostFSSelector, 0), .init(.hostGSSelector, 0),
    .init(.hostTRSelector, 0x18), .init(.hostFSBase, 0), .init(.hostGSBase, 0), .init(.hostTRBase, 0x1_3000),
    .init(.hostGDTRBase, 0x1_1000), .init(.hostIDTRBase, 0x1_2000), .init(.hostIA32SYSENTERCS, 0),
    .init(.hostIA32SYSENTERESP, 0), .init(.hostIA32SYSENTEREIP, 0),
  ]
  static let controls: [FieldWrite] = [
    .init(.pinBasedVMExecutionControls, 0x3F), .init(.primaryProcessorBasedVMExecutionControls, 0xB518_6DFA),
    .init(.secondaryProcessorBasedVMExecutionControls, 0x10EA), .init(.primaryVMExitControls, 0x3F_EFFF),
    .init(.vmEntryControls, 0xD1FF), .init(.virtualProcessorIdentifier, 7), .init(.msrBitmapsAddress, 0x10_3000),
    .init(.tscOffset, 0xFFFF_FFFF_0000_0000), .init(.eptPointer, 0x10_605E),
    .init(.exceptionBitmap, 1 << 1 | 1 << 17 | 1 << 18),
    .init(.pageFaultErrorCodeMask, 0), .init(.pageFaultErrorCodeMatch, 0), .init(.cr3TargetCount, 0),
    .init(.vmExitMSRStoreCount, 0), .init(.vmExitMSRLoadCount, 0), .init(.vmEntryMSRLoadCount, 0),
    .init(.vmEntryInterruptionInformation, 0),
  ]
  static let guestState: [FieldWrite] = [
    // CR0 reads 0x60000010 as after power-up; in the processor CD and NW are 0, and NE is 1.
    .init(.guestCR0, 0x30), .init(.cr0ReadShadow, 0x6000_0010), .init(.guestCR3, 0), .init(.guestCR4, 0x2000),
    .init(.cr4ReadShadow, 0), .init(.guestDR7, 0x400), .init(.guestRSP, 0), .init(.guestRIP, 0xFFF0),
    .init(.guestRFLAGS, 2),
    .init(.guestESBase, 0), .init(.guestESLimit, 0xFFFF), .init(.guestESAccessRights, 0x93),
    .init(.guestSSBase, 0), .init(.guestSSLimit, 0xFFFF), .init(.guestSSAccessRights, 0x93),
    .init(.guestDSBase, 0), .init(.guestDSLimit, 0xFFFF), .init(.guestDSAccessRights, 0x93),
    .init(.guestFSBase, 0), .init(.guestFSLimit, 0xFFFF), .init(.guestFSAccessRights, 0x93),
    .init(.guestGSBase, 0), .init(.guestGSLimit, 0xFFFF), .init(.guestGSAccessRights, 0x93),
    .init(.guestCSBase, 0xFFFF_0000), .init(.guestCSLimit, 0xFFFF), .init(.guestCSAccessRights, 0x9B),
    .init(.guestLDTRBase, 0), .init(.guestLDTRLimit, 0xFFFF), .init(.guestLDTRAccessRights, 0x82),
    .init(.guestTRBase, 0), .init(.guestTRLimit, 0xFFFF), .init(.guestTRAccessRights, 0x8B),
    .init(.guestGDTRBase, 0), .init(.guestGDTRLimit, 0xFFFF), .init(.guestIDTRBase, 0),
    .init(.guestIDTRLimit, 0xFFFF),
    .init(.guestESSelector, 0), .init(.guestCSSelector, 0xF000), .init(.guestSSSelector, 0),
    .init(.guestDSSelector, 0), .init(.guestFSSelector, 0), .init(.guestGSSelector, 0), .init(.guestLDTRSelector, 0),
    .init(.guestTRSelector, 0),
    .init(.guestIA32DEBUGCTL, 0), .init(.guestIA32SYSENTERCS, 0), .init(.guestIA32SYSENTERESP, 0),
    .init(.guestIA32SYSENTEREIP, 0), .init(.guestIA32EFER, 0), .init(.guestIA32PAT, 0x0007_0406_0007_0406),
    .init(.vmcsLinkPointer, ~0), .init(.guestActivityState, 0), .init(.guestInterruptibilityState, 0),
    .init(.guestPendingDebugExceptions, 0), .init(.guestPDPTE0, 0), .init(.guestPDPTE1, 0), .init(.guestPDPTE2, 0),
    .init(.guestPDPTE3, 0),
  ]
}

@Suite("The making of a vCPU") struct VCPUSetupTests {
  @Test("D8 a vCPU is made with one load and one clear, and these VMWRITEs in this order")
  func golden() throws {
    let fixture = try VCPUFixture()
    _ = fixture.makeVCPU()
    let trace = fixture.processor.trace
    let stack = UInt64(UInt(bitPattern: fixture.memory.registers.pointer)) + 128
    let cr4 = fixture.settings.cr4.owned
    let expected =
      FieldWrite.hostState + [.init(.hostRSP, stack), .init(.hostRIP, 0x1_4000)] + FieldWrite.controls
      + [.init(.cr0GuestHostMask, 0xFFFF_FFFF_7FFA_FFE0), .init(.cr4GuestHostMask, cr4)]
      + FieldWrite.guestState
    #expect(trace.vmwrites.map { FieldWrite($0) } == expected)
    #expect(trace.loads == [VCPUFixture.vmcs])
    #expect(trace.clears == [VCPUFixture.vmcs, VCPUFixture.vmcs], "the first is that of the initialization")
    #expect(trace.vmreads.isEmpty)
  }

  @Test(
    "B6 on every processor that qualifies, no field is touched that it does not have, and the guest is entered",
    arguments: ProcessorModel.Configuration.usable)
  func everyProcessor(_ configuration: ProcessorModel.Configuration) throws {
    let fixture = try VCPUFixture(configuration)
    var vcpu = fixture.makeVCPU().load()
    fixture.processor.script = [.cpuid]
    let exit = vcpu.run(eptGeneration: 0)
    vcpu.advance()
    _ = vcpu.unload()
    guard case .cpuid = exit else {
      Issue.record("\(exit)")
      return
    }
    #expect(fixture.processor.faults.isEmpty)
    #expect(fixture.processor.trace.entries.allSatisfy { $0.outcome == .succeed })
    let usesVPID = configuration.secondary.contains(.enableVPID)
    let vpids = fixture.processor.trace.vmwrites.count { $0.field == VMCSField.virtualProcessorIdentifier.encoding }
    #expect(vpids == (usesVPID ? 1 : 0))
    #expect(fixture.processor.trace.count { if case .invvpid = $0 { true } else { false } } == (usesVPID ? 1 : 0))
  }

  @Test(
    "D8 a vCPU after power-up passes every VM-entry check that can be made",
    arguments: ProcessorModel.Configuration.usable)
  func entryChecks(_ configuration: ProcessorModel.Configuration) throws {
    let fixture = try VCPUFixture(configuration)
    let vcpu = fixture.makeVCPU().load()
    #expect(fixture.entryFailures() == [])
    _ = vcpu.unload()
  }

  @Test("F12 the host-state area is what the processor uses, and nothing writes to it later")
  func hostState() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU().load()
    #expect(fixture.contents(.hostCR0).rawValue == fixture.processor.cr0)
    #expect(fixture.contents(.hostCR3) == fixture.processor.cr3)
    #expect(fixture.contents(.hostCR4).rawValue == fixture.processor.cr4)
    #expect(fixture.contents(.hostIA32EFER).rawValue == fixture.processor.rdmsr(MSR.ia32EFER.rawValue))
    #expect(fixture.contents(.hostIA32PAT).rawValue == fixture.processor.rdmsr(MSR.ia32PAT.rawValue))
    fixture.processor.clearTrace()
    fixture.processor.script = [.cpuid, .cpuid]
    for _ in 0..<2 {
      _ = vcpu.run(eptGeneration: 0)
      vcpu.advance()
    }
    vcpu = vcpu.unload().load()
    #expect(fixture.processor.trace.vmwrites.allSatisfy { $0.field.type != .hostState })
  }

  @Test("F12 a vCPU that is loaded on a processor other than the one whose host state it has panics")
  func otherProcessor() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let fixture = try VCPUFixture()
      var configuration = fixture.processor.configuration
      configuration.cpuid[ProcessorModel.CPUIDLeaf(1)]?.ebx ^= 5 << 24
      let host = HostState(
        of: ProcessorModel(configuration), cs: fixture.host.cs, ds: fixture.host.ds, tr: fixture.host.tr,
        gdtrBase: fixture.host.gdtrBase, idtrBase: fixture.host.idtrBase, trBase: fixture.host.trBase,
        rip: fixture.host.rip)
      let vcpu = VCPU(memory: fixture.memory, settings: fixture.settings, host: host, on: fixture.processor)
      _ = vcpu.load()
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("loaded on another processor than the one whose host state it has: 0x"), "\(text)")
  }

  @Test("E2 a vCPU has four pages: its VMCS, its MSR bitmaps, its registers, and its virtual-APIC page")
  func pages() throws {
    let model = ProcessorModel()
    let (pointer, address) = model.memory.allocatePages(4)
    for count in 0..<4 {
      var pool = PagePool(pointer, at: address, count: count)
      let memory = VCPUMemory(from: &pool)
      #expect(memory == nil, "\(count) pages are too few")
    }
    var pool = PagePool(pointer, at: address, count: 4)
    let taken = VCPUMemory(from: &pool)
    let memory = try #require(taken)
    let remaining = pool.remaining
    #expect(remaining == 0)
    #expect(memory.vmcs.address.rawValue == address.rawValue)
    #expect(memory.msrBitmaps.address.rawValue == address.rawValue + 4096)
    #expect(memory.registers.address.rawValue == address.rawValue + 8192)
    #expect(memory.virtualAPIC.address.rawValue == address.rawValue + 12288)
    #expect(MemoryLayout<GuestRegisters>.size == 128, "half of the registers' page is enough for the stub")
    #expect(MemoryLayout<VCPUState<ProcessorModel>>.size <= 1024)
  }

  @Test("E3 the pages are aligned, and no processor-owned page but the first eight bytes of the VMCS is written")
  func alignment() throws {
    let fixture = try VCPUFixture()
    for page in [
      fixture.memory.vmcs, fixture.memory.msrBitmaps, fixture.memory.registers, fixture.memory.virtualAPIC,
    ] {
      #expect(page.address.rawValue % 4096 == 0 && UInt(bitPattern: page.pointer) % 4096 == 0)
    }
    var vcpu = fixture.makeVCPU().load()
    fixture.processor.script = [.cpuid]
    _ = vcpu.run(eptGeneration: 0)
    _ = vcpu.unload()
    let bytes = UnsafeRawBufferPointer(start: fixture.memory.vmcs.pointer, count: 4096)
    #expect(bytes.dropFirst(8).allSatisfy { $0 == 0 })
    #expect(fixture.processor.trace.loads.allSatisfy { $0 == fixture.memory.vmcs.address })
  }
}

extension VCPUFixture {
  /// The VM-entry checks that the loaded VMCS fails.
  func entryFailures() -> [String] {
    // Another processor of the same kind, since reading an MSR that does not exist is a fault of a test's own.
    let reader = ProcessorModel(processor.configuration)
    reader.onFault = { _ in }
    let report = EntryReport(
      ModelState(processor: processor), capabilities: EntryCapabilities(of: reader),
      facts: .hypervisor(isVMRESUME: false, currentVMCSPointer: memory.vmcs.address))
    return report.failures.map { $0.check.id.description }
  }

  private struct ModelState: VMCSState {
    let processor: ProcessorModel
    func value(of field: VMCSFieldEncoding) -> UInt64? { processor.contents(of: field) }
    func quadword(at address: PhysicalAddress) -> UInt64? { processor.memory.load(address, as: UInt64.self) }
  }
}
