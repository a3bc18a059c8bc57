import Machine
import Testing
import VMX

/// IRR, ISR, TMR and priorities by the SDM's sentences, slowly.
private struct ReferenceLocalAPIC {
  var requests: Set<UInt8> = []
  var services: Set<UInt8> = []
  var levels: Set<UInt8> = []
  var tpr: UInt8 = 0
  var isEnabled = true
  var suppressesBroadcast = false

  var ppr: UInt8 {
    let highest = services.max() ?? 0
    return tpr >> 4 >= highest >> 4 ? tpr : highest & 0xF0
  }

  var deliverable: UInt8? {
    guard let highest = requests.max(), highest >> 4 > ppr >> 4 else { return nil }
    return highest
  }

  mutating func accept(_ vector: UInt8, isLevelTriggered: Bool) {
    guard isEnabled, vector >= 16 else { return }
    requests.insert(vector)
    if isLevelTriggered { levels.insert(vector) } else { levels.remove(vector) }
  }

  mutating func acknowledge() -> UInt8 {
    guard let vector = deliverable else { return 0xFF }
    requests.remove(vector)
    services.insert(vector)
    return vector
  }

  mutating func endOfInterrupt() -> UInt8? {
    guard let vector = services.max() else { return nil }
    services.remove(vector)
    return levels.contains(vector) && !suppressesBroadcast ? vector : nil
  }
}

@Suite struct LocalAPICPriorityTests {
  @Test(arguments: 0..<24)
  func `random sequences do what the SDM's sentences say`(seed: Int) {
    var random = RandomNumbers(seed: UInt64(seed))
    let mode: LocalAPICMode = seed % 2 == 0 ? .xAPIC : .x2APIC
    withLocalAPIC { apic, _ in
      apic.enable(in: mode)
      var reference = ReferenceLocalAPIC()
      for step in 0..<2000 {
        let vector = UInt8.random(in: 0...255, using: &random)
        let bit = Bool.random(using: &random)
        switch Int.random(in: 0..<16, using: &random) {
        case 0..<5:
          apic.accept(vector: vector, isLevelTriggered: bit)
          reference.accept(vector, isLevelTriggered: bit)
        case 5..<9:
          #expect(apic.acknowledge() == reference.acknowledge(), "step \(step)")
        case 9..<13:
          let effect = apic.writeRegister(LocalAPICRegister.endOfInterrupt, 0)
          #expect(effect == reference.endOfInterrupt().map { .endOfInterrupt(vector: $0) } ?? .none, "step \(step)")
        case 13:
          // Low, so that something is still delivered.
          reference.tpr = bit ? vector & 0x3F : 0
          #expect(apic.writeRegister(LocalAPICRegister.taskPriority, UInt64(reference.tpr)) == .none)
        case 14:
          reference.tpr = vector & 0x30
          #expect(apic.writeRegister(LocalAPICRegister.taskPriority, UInt64(reference.tpr)) == .none)
        default:
          reference.isEnabled = random.chance(80)
          reference.suppressesBroadcast = bit
          apic.writeRegister(
            LocalAPICRegister.spuriousInterruptVector,
            0xFF | (reference.isEnabled ? 0x100 : 0) | (bit ? 0x1000 : 0))
        }
        #expect(apic.hasDeliverableInterrupt == (reference.deliverable != nil), "step \(step)")
        #expect(apic.readRegister(LocalAPICRegister.processorPriority) == UInt64(reference.ppr), "step \(step)")
        #expect(apic.readRegister(LocalAPICRegister.taskPriority) == UInt64(reference.tpr))
        #expect(apic.requestingVirtualInterrupt == reference.requests.max() ?? 0)
        #expect(apic.servicingVirtualInterrupt == reference.services.max() ?? 0)
        if step % 64 == 0 {
          #expect(apic.vectors(LocalAPICRegister.interruptRequest) == reference.requests)
          #expect(apic.vectors(LocalAPICRegister.inService) == reference.services)
          #expect(apic.vectors(LocalAPICRegister.triggerMode) == reference.levels)
        }
      }
    }
  }

  @Test func `every vector is accepted, delivered and ended alone`() {
    withLocalAPIC { apic, _ in
      apic.enable()
      for vector in UInt8.min...255 {
        apic.accept(vector: vector, isLevelTriggered: true)
        guard vector >= 16 else {
          #expect(apic.hasDeliverableInterrupt == false)
          #expect(apic.takeErrors() == 0x40)
          continue
        }
        #expect(apic.vectors(LocalAPICRegister.interruptRequest) == [vector])
        #expect(apic.acknowledge() == vector)
        #expect(apic.vectors(LocalAPICRegister.inService) == [vector])
        #expect(apic.vectors(LocalAPICRegister.interruptRequest) == [])
        #expect(apic.endOfInterrupt() == vector)
        #expect(apic.vectors(LocalAPICRegister.inService) == [])
        #expect(apic.acknowledge() == 0xFF)
      }
    }
  }

  /// The meaning of the threshold: the interrupt is held back by TPR alone exactly while TPR's class is not below it.
  @Test(arguments: [UInt8](arrayLiteral: 0, 0x25, 0x71))
  func `the task priority threshold says when TPR lets an interrupt through`(inService: UInt8) {
    for request in stride(from: UInt8(0x10), through: 0xF0, by: 16) {
      for tpr in stride(from: UInt8(0), through: 0xF0, by: 16) {
        withLocalAPIC { apic, _ in
          apic.enable()
          if inService != 0 {
            apic.accept(vector: inService, isLevelTriggered: false)
            #expect(apic.acknowledge() == inService)
          }
          apic.accept(vector: request, isLevelTriggered: false)
          apic.writeRegister(LocalAPICRegister.taskPriority, UInt64(tpr))
          let threshold = apic.taskPriorityThreshold
          let wakes = !apic.hasDeliverableInterrupt && request >> 4 > inService >> 4
          #expect(threshold == (wakes ? request >> 4 : 0))
          guard threshold > 0 else { return }
          apic.writeRegister(LocalAPICRegister.taskPriority, UInt64(threshold) << 4)
          #expect(apic.hasDeliverableInterrupt == false)
          apic.writeRegister(LocalAPICRegister.taskPriority, UInt64(threshold - 1) << 4)
          #expect(apic.hasDeliverableInterrupt == true)
        }
      }
    }
  }

  @Test func `a TPR that the processor wrote to the page counts once it is noticed`() {
    withLocalAPIC { apic, page in
      apic.enable()
      apic.accept(vector: 0x51, isLevelTriggered: false)
      page.storeBytes(of: 0x50, toByteOffset: LocalAPICRegister.taskPriority, as: UInt32.self)
      apic.synchronizeTaskPriority()
      #expect(apic.hasDeliverableInterrupt == false)
      page.storeBytes(of: 0x4F, toByteOffset: LocalAPICRegister.taskPriority, as: UInt32.self)
      #expect(apic.read(offset: LocalAPICRegister.processorPriority, at: 0) == 0x4F)
      #expect(apic.hasDeliverableInterrupt == true)
    }
  }

  // MARK: Virtual-interrupt delivery

  @Test func `with virtual-interrupt delivery the page says it all`() {
    withLocalAPIC { apic, page in
      apic.enable()
      apic.setVirtualInterruptDelivery(true)
      #expect(apic.takeTriggerModeChange() == true)
      apic.accept(vector: 0x31, isLevelTriggered: false)
      #expect(apic.takeTriggerModeChange() == false)
      apic.accept(vector: 0x62, isLevelTriggered: true)
      #expect(apic.takeTriggerModeChange() == true)
      #expect(apic.takeTriggerModeChange() == false)
      #expect(apic.hasDeliverableInterrupt == false)
      #expect(apic.requestingVirtualInterrupt == 0x62)
      #expect((0..<4).map { apic.endOfInterruptExitBitmap($0) } == [0, 1 << (0x62 - 64), 0, 0])
      #expect(apic.hasRecognizableVirtualInterrupt() == true)

      // What the processor does to deliver 62H.
      func toggle(_ first: Int, _ vector: Int) {
        let offset = first + vector / 32 * 16
        let word = page.load(fromByteOffset: offset, as: UInt32.self) ^ 1 << UInt32(vector % 32)
        page.storeBytes(of: word, toByteOffset: offset, as: UInt32.self)
      }
      toggle(LocalAPICRegister.interruptRequest, 0x62)
      toggle(LocalAPICRegister.inService, 0x62)
      #expect(apic.requestingVirtualInterrupt == 0x31)
      #expect(apic.servicingVirtualInterrupt == 0x62)
      // The guest's TPR, too, which the processor stores without an exit.
      page.storeBytes(of: 0x20, toByteOffset: LocalAPICRegister.taskPriority, as: UInt32.self)
      #expect(apic.read(offset: LocalAPICRegister.processorPriority, at: 0) == 0x60)
      page.storeBytes(of: 0, toByteOffset: LocalAPICRegister.taskPriority, as: UInt32.self)
      #expect(apic.hasRecognizableVirtualInterrupt() == false)

      // An EOI that is emulated, and one that the processor has virtualized.
      #expect(apic.write(offset: LocalAPICRegister.endOfInterrupt, 0, at: 0) == .endOfInterrupt(vector: 0x62))
      #expect(apic.servicingVirtualInterrupt == 0)
      #expect(apic.virtualEOI(vector: 0x62) == .endOfInterrupt(vector: 0x62))
      apic.writeRegister(LocalAPICRegister.spuriousInterruptVector, 0x11FF)
      #expect(apic.virtualEOI(vector: 0x62) == .none)

      apic.setVirtualInterruptDelivery(false)
      #expect(apic.hasDeliverableInterrupt == true)
      #expect(apic.acknowledge() == 0x31)
    }
  }
}
