import Machine
import Testing

@Suite struct PostedInterruptDescriptorTests {
  private func withDescriptor(_ body: (PostedInterruptDescriptor, UnsafeMutablePointer<UInt64>) -> Void) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: PostedInterruptDescriptor.byteCount, alignment: 64)
    defer { memory.deallocate() }
    let descriptor = PostedInterruptDescriptor(at: memory)
    descriptor.clear()
    body(descriptor, memory.assumingMemoryBound(to: UInt64.self))
  }

  @Test func `the first 64 bytes are the SDM's`() {
    withDescriptor { descriptor, words in
      descriptor.setNotification(vector: 0xE1, destination: 0x0102_0304)
      #expect(words[4] == 0x0102_0304_00E1_0000)
      for vector in UInt8.min...255 {
        #expect(descriptor.post(vector: vector, isLevelTriggered: false) == (vector == 0))
        #expect(words[Int(vector) / 64] >> UInt64(vector % 64) == 1)
      }
      #expect((0..<4).allSatisfy { words[$0] == ~0 })
      #expect(words[4] == 0x0102_0304_00E1_0001)
      #expect((5..<14).allSatisfy { words[$0] == 0 })
      descriptor.setNotification(vector: 0xE2, destination: 5)
      #expect(words[4] == 0x0000_0005_00E2_0001)
    }
  }

  @Test func `with SN nobody is kicked for an edge`() {
    withDescriptor { descriptor, words in
      descriptor.setSuppressesNotification(true)
      #expect(descriptor.post(vector: 0x40, isLevelTriggered: false) == false)
      #expect(descriptor.hasPosted == true)
      #expect(descriptor.post(vector: 0x41, isLevelTriggered: true) == true)
      descriptor.setSuppressesNotification(false)
      #expect(words[4] == 1)
    }
  }

  @Test(arguments: 0..<8)
  func `what is posted is accepted as if it had come at once`(seed: Int) {
    var random = RandomNumbers(seed: UInt64(seed))
    withDescriptor { descriptor, _ in
      withLocalAPIC { posted, _ in
        withLocalAPIC { direct, _ in
          posted.enable()
          direct.enable()
          for _ in 0..<200 {
            #expect(descriptor.hasPosted == false)
            var isFirst = [true, true]
            let vectors = Set(
              (0..<Int.random(in: 0...12, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
            for vector in vectors {
              let isLevelTriggered = vector % 3 == 0
              let message = InterruptMessage(destination: 0, vector: vector, isLevelTriggered: isLevelTriggered)
              // The error that a vector below 16 is has no place in PIR.
              let channel = isLevelTriggered || vector < 16 ? 1 : 0
              #expect(descriptor.post(message) == isFirst[channel])
              isFirst[channel] = false
              direct.accept(vector: vector, isLevelTriggered: isLevelTriggered)
            }
            #expect(descriptor.hasPosted == !vectors.isEmpty)
            #expect(descriptor.drain(into: &posted).isEmpty == true)
            for first in [LocalAPICRegister.interruptRequest, LocalAPICRegister.triggerMode] {
              #expect(posted.vectors(first) == direct.vectors(first))
            }
            for _ in 0..<4 { #expect(posted.acknowledge() == direct.acknowledge()) }
          }
        }
      }
    }
  }

  /// What a processor makes of events: whether it gets an NMI, an INIT, a SIPI.
  private static let sequences:
    [(posted: [PostedEvents.Event], kicks: [Bool], nmi: Bool, initialize: Bool, startUp: UInt8?)] =
      [
        ([.nmi], [true], true, false, nil),
        ([.nmi, .nmi], [true, false], true, false, nil), ([.nmi, .nmi, .nmi], [true, false, false], true, false, nil),
        ([.initialize, .startUp(vector: 9), .startUp(vector: 9)], [true, false, false], false, true, 9),
        ([.startUp(vector: 9), .startUp(vector: 7)], [true, false], false, false, 9),
        // A processor that is not waiting for a SIPI loses the first one.
        ([.startUp(vector: 9), .initialize], [true, false], false, true, nil),
        ([.startUp(vector: 9), .initialize, .startUp(vector: 0)], [true, false, false], false, true, 0),
        ([.initialize, .nmi], [true, false], true, true, nil),
      ]

  @Test(arguments: sequences.indices)
  func `events add up`(index: Int) {
    let row = Self.sequences[index]
    withDescriptor { descriptor, _ in
      withLocalAPIC { apic, _ in
        for (event, kick) in zip(row.posted, row.kicks) { #expect(descriptor.post(event) == kick) }
        let events = descriptor.drain(into: &apic)
        #expect(events.nmi == row.nmi)
        #expect(events.secondNMI == (row.posted.filter { $0 == .nmi }.count > 1))
        #expect(events.initialize == row.initialize)
        #expect(events.startUp == row.startUp)
        #expect(events.extINT == false)
        #expect(descriptor.hasPosted == false)
        #expect(descriptor.drain(into: &apic).isEmpty == true)
      }
    }
  }

  @Test func `messages are posted by their delivery mode`() {
    for mode in InterruptMessage.DeliveryMode.allCases {
      withDescriptor { descriptor, _ in
        withLocalAPIC { apic, _ in
          apic.enable()
          let message = InterruptMessage(destination: 0, vector: 0x99, deliveryMode: mode)
          #expect(descriptor.post(message) == (mode != .smi))
          let events = descriptor.drain(into: &apic)
          #expect(events.nmi == (mode == .nmi))
          #expect(events.initialize == (mode == .initialize))
          #expect(events.startUp == (mode == .startUp ? 0x99 : nil))
          #expect(events.extINT == (mode == .extINT))
          #expect(apic.hasDeliverableInterrupt == (mode == .fixed || mode == .lowestPriority))
        }
      }
    }
  }

  @Test func `an identity is published as it is`() {
    withDescriptor { descriptor, _ in
      #expect(descriptor.identity.mode == .disabled)
      withLocalAPIC(id: 6) { apic, _ in
        apic.enable()
        apic.writeRegister(LocalAPICRegister.logicalDestination, 0x4000_0000)
        descriptor.publish(apic.identity)
        #expect(descriptor.identity == apic.identity)
        #expect(descriptor.identity.id == 6)
        #expect(descriptor.identity.isSoftwareEnabled == true)
      }
    }
  }
}
