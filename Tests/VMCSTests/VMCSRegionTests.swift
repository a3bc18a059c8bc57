import ProcessorModel
import Testing
import VMCS

@Suite("VMCSRegion")
struct VMCSRegionTests {
  @Test("E1 A region is one page: revision identifier with bit 31 zero, VMX-abort indicator zero, nothing else written")
  func initialization() {
    let (model, _) = processorWithOtherVMCS()
    let (pointer, address) = model.memory.allocatePages(2)
    pointer.initializeMemory(as: UInt8.self, repeating: 0xA5, count: 8192)
    let region = VMCSRegion(initializing: pointer, at: address, revisionIdentifier: 0x8000_0004, on: model)
    #expect(VMCSRegion<ProcessorModel>.byteCount == 4096)
    #expect(region.address == address)
    #expect(pointer.load(as: UInt32.self) == 4)
    #expect(pointer.load(fromByteOffset: 4, as: UInt32.self) == 0)
    #expect((8..<8192).allSatisfy { pointer.load(fromByteOffset: $0, as: UInt8.self) == 0xA5 })
  }

  @Test("E1 The region size that every preset asks for fits in the page")
  func regionSize() {
    for configuration in ProcessorModel.Configuration.presets {
      let basic = configuration.capabilityMSR(MSR.ia32VMXBASIC.rawValue) ?? 0
      #expect(Int(basic >> 32 & 0x1FFF) <= VMCSRegion<ProcessorModel>.byteCount)
    }
  }

  @Test("C1 load enters the critical section before VMPTRLD, clear leaves it after VMCLEAR, initialize does neither")
  func criticalSections() {
    let (model, _) = processorWithOtherVMCS()
    let (pointer, address) = model.memory.allocatePages()
    model.clearTrace()
    let region = VMCSRegion(initializing: pointer, at: address, revisionIdentifier: 4, on: model)
    let vmcs = region.load()
    vmcs[.guestRIP] = 1
    let region2 = vmcs.clear()
    #expect(region2.address == address)
    #expect(
      model.trace.accesses == [
        .vmclear(address), .enterCritical, .vmptrld(address), .vmwrite(VMCSField.guestRIP.encoding, 1),
        .vmclear(address), .exitCritical,
      ])
    #expect(model.trace.entries.map(\.criticalNesting) == [0, 1, 1, 1, 1, 0])
    #expect(model.activeVMCSs.contains(address) == false)
  }

  @Test("C1 Any sequence of loads and clears of several regions leaves the critical sections balanced")
  func balance() {
    let (model, _) = processorWithOtherVMCS()
    for _ in 0..<20 {
      let (pointer, address) = model.memory.allocatePages()
      var region = VMCSRegion(initializing: pointer, at: address, revisionIdentifier: 4, on: model)
      for _ in 0..<3 {
        let vmcs = region.load()
        #expect(model.criticalNesting == 1)
        #expect(model.currentVMCS == address)
        region = vmcs.clear()
        #expect(model.criticalNesting == 0)
        #expect(model.currentVMCS == nil)
      }
    }
    #expect(model.faults.isEmpty)
  }
}
