import ProcessorModel
import Testing
import VMCS

@testable import VMX

extension OptionalControls {
  /// Every set of them.
  static var allSets: [Self] { (0..<128).map { Self(rawValue: $0) } }
}

@Suite("The processor's help with the local APIC") struct LocalAPICControlsTests {
  private static let processors: [ProcessorModel.Configuration] = [.sandyBridge, .haswell, .everything]

  /// A fixture whose addresses are those of pages that exist.
  private func fixture(
    _ configuration: ProcessorModel.Configuration = .everything, wanting options: OptionalControls
  ) throws -> VCPUFixture {
    var fixture = try VCPUFixture(configuration, wanting: options)
    fixture.settings.apicAccessAddress = fixture.processor.poolPage().address
    fixture.settings.postedInterruptDescriptorAddress = fixture.processor.poolPage().address
    fixture.settings.postedInterruptNotificationVector = 0xF2
    return fixture
  }

  @Test("Of what is wanted, those are used that the processor has and that work without the others")
  func dependencies() throws {
    let processors = [.penryn] + Self.processors
    for configuration in processors {
      let processor = ProcessorModel(configuration)
      let capabilities = VMXCapabilities(of: processor)
      for wanted in OptionalControls.allSets {
        let options = wanted.supported(by: capabilities)
        #expect(wanted.isSuperset(of: options))
        let needTPRShadow: OptionalControls = [
          .virtualizeX2APICMode, .apicRegisterVirtualization, .virtualInterruptDelivery,
        ]
        #expect(options.contains(.useTPRShadow) || options.isDisjoint(with: needTPRShadow))
        #expect(options.contains(.virtualInterruptDelivery) || !options.contains(.processPostedInterrupts))
        #expect(options.contains(.activateVMXPreemptionTimer) || !options.contains(.virtualInterruptDelivery))
        #expect(options.supported(by: capabilities) == options)
        if configuration.name == "everything" && wanted == .all { #expect(options == .all) }
      }
    }
  }

  @Test(
    "F2 with every set of optional controls, in every mode and with the timer on and off, the guest is entered",
    arguments: processors)
  func entries(_ configuration: ProcessorModel.Configuration) throws {
    var seen = Set<UInt8>()
    for wanted in OptionalControls.allSets {
      let fixture = try fixture(configuration, wanting: wanted)
      guard seen.insert(fixture.support.options.rawValue).inserted else { continue }
      let options = fixture.support.options
      var vcpu = fixture.makeVCPU().load()
      for mode in [LocalAPICMode.xAPIC, .x2APIC, .xAPIC, .disabled, .x2APIC] {
        for deadline in [UInt64.max, 1 << 30] {
          vcpu.setLocalAPICMode(mode)
          vcpu.setPreemptionTimer(until: deadline)
          vcpu.setTPRThreshold(15)
          vcpu.setGuestInterruptStatus(rvi: 0x51, svi: 0x31)
          vcpu.setEOIExitBitmap([1, 2, 3, 4])
          fixture.processor.script = [.cpuid]
          let exit = vcpu.run(eptGeneration: 1)
          guard case .cpuid = exit else {
            Issue.record("\(options.rawValue): \(exit)")
            continue
          }
          #expect(fixture.entryFailures() == [])
          let secondary = fixture.contents(.secondaryProcessorBasedVMExecutionControls)
          let accesses = mode == .xAPIC && options.contains(.virtualizeAPICAccesses)
          let x2APIC = mode == .x2APIC && options.contains(.virtualizeX2APICMode)
          #expect(secondary.contains(.virtualizeAPICAccesses) == accesses)
          #expect(secondary.contains(.virtualizeX2APICMode) == x2APIC)
          #expect(
            secondary.contains(.apicRegisterVirtualization) == options.contains(.apicRegisterVirtualization))
          #expect(secondary.contains(.virtualInterruptDelivery) == options.contains(.virtualInterruptDelivery))
          let pinBased = fixture.contents(.pinBasedVMExecutionControls)
          #expect(pinBased.contains(.processPostedInterrupts) == options.contains(.processPostedInterrupts))
          #expect(
            pinBased.contains(.activateVMXPreemptionTimer) == options.contains(.activateVMXPreemptionTimer))
          let primary = fixture.contents(.primaryProcessorBasedVMExecutionControls)
          #expect(primary.contains(.useTPRShadow) == options.contains(.useTPRShadow))
          #expect(primary.contains(.cr8LoadExiting) == !options.contains(.useTPRShadow))
          #expect(primary.contains(.cr8StoreExiting) == !options.contains(.useTPRShadow))
          let shadow = vcpu.state.secondaryControls
          #expect(shadow == secondary, "D9")
        }
      }
      #expect(fixture.processor.faults.isEmpty, "B6 no field that is not there was touched")
    }
  }

  @Test("B6 without its control, a function touches no field")
  func absent() throws {
    let fixture = try fixture(.sandyBridge, wanting: [])
    var vcpu = fixture.makeLoadedVCPU()
    vcpu.setTPRThreshold(3)
    vcpu.setGuestInterruptStatus(rvi: 1, svi: 2)
    vcpu.setEOIExitBitmap([1, 2, 3, 4])
    vcpu.setPreemptionTimer(until: 5)
    vcpu.setLocalAPICMode(.x2APIC)
    let status = vcpu.guestInterruptStatus
    #expect(status.rawValue == 0 && fixture.processor.trace.vmwrites.isEmpty && fixture.processor.trace.vmreads.isEmpty)
  }

  @Test("The TPR threshold is never above the task priority, so that an entry takes it", arguments: 0...255)
  func tprThreshold(taskPriority: Int) throws {
    let fixture = try fixture(wanting: .useTPRShadow)
    var vcpu = fixture.makeLoadedVCPU()
    vcpu.taskPriority = UInt8(taskPriority)
    for priority in 0...255 as ClosedRange<UInt8> {
      vcpu.setTPRThreshold(priority)
      #expect(fixture.contents(.tprThreshold).rawValue == min(UInt32(priority), UInt32(taskPriority) >> 4))
    }
    #expect(fixture.processor.trace.vmwrites.count == taskPriority >> 4, "what it is already is not written again")
  }

  @Test("CR8 is bits 7:4 of the task priority in the virtual-APIC page", arguments: 0..<16 as Range<UInt64>)
  func cr8(value: UInt64) throws {
    let fixture = try fixture(wanting: [])
    var vcpu = fixture.makeLoadedVCPU()
    try vcpu.setRegister(.rbx, to: value)
    vcpu.emulate(.init(rawValue: 0x308), memory: Quadwords(), physicalAddressWidth: 46)
    #expect(vcpu.taskPriority == UInt8(value) << 4)
    #expect(fixture.memory.virtualAPIC.pointer.load(fromByteOffset: 0x80, as: UInt32.self) == UInt32(value) << 4)
    vcpu.taskPriority |= 0xF
    vcpu.emulate(.init(rawValue: 0x118), memory: Quadwords(), physicalAddressWidth: 46)
    let rcx = vcpu.register(.rcx)
    #expect(rcx == value)
  }

  @Test("EOI-exit bitmaps: the words that change are written, and no other", arguments: 0..<16)
  func eoiExitBitmap(changes: Int) throws {
    let fixture = try fixture(wanting: .all)
    var vcpu = fixture.makeLoadedVCPU()
    vcpu.setEOIExitBitmap([1, 2, 3, 4])
    fixture.processor.clearTrace()
    var bitmap: InlineArray<4, UInt64> = [1, 2, 3, 4]
    for word in 0..<4 where changes >> word & 1 != 0 { bitmap[word] |= 1 << 63 }
    vcpu.setEOIExitBitmap(bitmap)
    let fields = [
      VMCSField.eoiExitBitmap0, .eoiExitBitmap1, .eoiExitBitmap2, .eoiExitBitmap3,
    ]
    for word in 0..<4 { #expect(fixture.contents(fields[word]) == bitmap[word]) }
    let written = (0..<4).filter { changes >> $0 & 1 != 0 }.map { fields[$0].encoding }
    #expect(fixture.processor.trace.vmwrites.map(\.field) == written)
  }

  @Test("RVI and SVI are where the SDM puts them")
  func guestInterruptStatus() throws {
    let fixture = try fixture(wanting: .all)
    let vcpu = fixture.makeLoadedVCPU()
    vcpu.setGuestInterruptStatus(rvi: 0x51, svi: 0xE2)
    #expect(fixture.contents(.guestInterruptStatus).rawValue == 0xE251)
    #expect(vcpu.guestInterruptStatus.rvi == 0x51 && vcpu.guestInterruptStatus.svi == 0xE2)
  }

  @Test(
    "The preemption timer counts at its rate, from now to the deadline, never too short by more than a count",
    arguments: [0, 1, 5, 31] as [UInt64])
  func preemptionTimer(rate: UInt64) throws {
    var configuration = ProcessorModel.Configuration.everything
    configuration.misc = configuration.misc & ~0x1F | rate
    let fixture = try fixture(configuration, wanting: .activateVMXPreemptionTimer)
    var vcpu = fixture.makeLoadedVCPU()
    for distance in [0, 1, 1000, 1 << 20, 1 << 36, 1 << 62] as [UInt64] {
      let before = fixture.processor.timestampCounter
      vcpu.setPreemptionTimer(until: before + distance)
      let elapsed = fixture.processor.timestampCounter - before
      let counts = UInt64(fixture.contents(.vmxPreemptionTimerValue))
      if counts == UInt64(UInt32.max), distance >> rate >= counts { continue }
      let ticks = counts << rate
      #expect(ticks <= distance + (1 << rate) && ticks + elapsed >= distance)
    }
    vcpu.setPreemptionTimer(until: 0)
    #expect(fixture.contents(.vmxPreemptionTimerValue) == 0)
    vcpu.setPreemptionTimer(until: .max)
    #expect(fixture.contents(.vmxPreemptionTimerValue) == .max)
  }

  @Test("An NMI of the host's that came before the preemption timer is set makes the guest exit at once")
  func hostNMI() throws {
    let fixture = try fixture(wanting: .activateVMXPreemptionTimer)
    var vcpu = fixture.makeLoadedVCPU()
    let flag = vcpu.hostNMI
    #expect(fixture.contents(.vmxPreemptionTimerValue) == .max && !flag.hasCome)
    for deadline in [UInt64.max, 0, 1 << 40] {
      flag.note(on: fixture.processor)
      #expect(fixture.contents(.vmxPreemptionTimerValue) == 0)
      vcpu.setPreemptionTimer(until: deadline)
      #expect(fixture.contents(.vmxPreemptionTimerValue) == 0)
      vcpu.beginAfterHostNMI()
      vcpu.setPreemptionTimer(until: deadline)
      #expect((fixture.contents(.vmxPreemptionTimerValue) == 0) == (deadline == 0))
    }
  }

  @Test("F11 translations from before a change of mode are dropped before the next entry")
  func invalidation() throws {
    let fixture = try fixture(wanting: .all)
    var vcpu = fixture.makeLoadedVCPU()
    for (mode, isChange) in [(LocalAPICMode.x2APIC, true), (.x2APIC, false), (.xAPIC, true)] {
      vcpu.setLocalAPICMode(mode)
      fixture.processor.clearTrace()
      fixture.processor.script = [.cpuid]
      _ = vcpu.run(eptGeneration: 1)
      #expect(fixture.processor.trace.count { if case .invept = $0 { true } else { false } } == (isChange ? 1 : 0))
    }
  }

  @Test("F8 the x2APIC's MSRs are open as far as the processor virtualizes them, in x2APIC mode only")
  func passThrough() throws {
    let registers = [0x802, 0x803, 0x808, 0x80D, 0x80F] + Array(0x810...0x828) + Array(0x832...0x838) + [0x83E]
    for wanted in OptionalControls.allSets {
      let fixture = try fixture(wanting: wanted)
      let bitmap = MSRBitmap(in: fixture.memory.msrBitmaps)
      bitmap.allowPassThrough(with: fixture.support.controls)
      let options = fixture.support.options
      var vcpu = fixture.makeLoadedVCPU()
      for mode in [LocalAPICMode.x2APIC, .xAPIC, .x2APIC, .disabled] {
        vcpu.setLocalAPICMode(mode)
        let isVirtualized = mode == .x2APIC && options.contains(.virtualizeX2APICMode)
        var readable: Set<Int> = isVirtualized ? [0x808] : []
        if isVirtualized && options.contains(.apicRegisterVirtualization) { readable = Set(registers) }
        var writable: Set<Int> = isVirtualized ? [0x808] : []
        if isVirtualized && options.contains(.virtualInterruptDelivery) { writable.formUnion([0x80B, 0x83F]) }
        let found = { (access: MSRBitmap.Access) in
          Set((0x800...0x8FF).filter { !bitmap.exits(on: access, of: MSR(rawValue: UInt32($0))) })
        }
        #expect(found(.read) == readable && found(.write) == writable)
        #expect(!bitmap.exits(on: .write, of: .ia32EFER) && bitmap.exits(on: .read, of: .ia32APICBASE))
      }
    }
  }
}
