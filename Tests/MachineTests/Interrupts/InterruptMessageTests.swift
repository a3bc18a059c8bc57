import Machine
import Testing
import VMX

@Suite struct InterruptMessageTests {
  private static let commands: [(icr: UInt64, isX2APIC: Bool, message: InterruptMessage?)] = [
    (0x0300_0000_0000_4041, false, InterruptMessage(destination: 3, vector: 0x41)),
    (0x0000_0003_0000_4041, true, InterruptMessage(destination: 3, vector: 0x41)),
    (0xFF00_0000_0000_4041, false, InterruptMessage(destination: ~0, vector: 0x41)),
    (0xFFFF_FFFF_0000_4041, true, InterruptMessage(destination: ~0, vector: 0x41)),
    (0x0000_00FF_0000_4041, true, InterruptMessage(destination: 0xFF, vector: 0x41)),
    (
      0x0300_0000_0000_4941, false,
      InterruptMessage(destination: 3, vector: 0x41, deliveryMode: .lowestPriority, isLogical: true)
    ),
    (0x0100_0000_0000_4400, false, InterruptMessage(destination: 1, vector: 0, deliveryMode: .nmi)),
    (0x0100_0000_0000_4200, false, InterruptMessage(destination: 1, vector: 0, deliveryMode: .smi)),
    (0x0100_0000_0000_C500, false, InterruptMessage(destination: 1, vector: 0, deliveryMode: .initialize)),
    (0x0100_0000_0000_4500, false, InterruptMessage(destination: 1, vector: 0, deliveryMode: .initialize)),
    // The INIT level de-assert.
    (0x0100_0000_0000_8500, false, nil),
    (0x0100_0000_0000_469A, false, InterruptMessage(destination: 1, vector: 0x9A, deliveryMode: .startUp)),
    // To all but self, as small kernels start processors.
    (
      0x0000_0000_000C_4500, false,
      InterruptMessage(destination: 0, vector: 0, deliveryMode: .initialize, shorthand: .allExcludingSelf)
    ),
    (0x0000_0000_0008_4500, false, nil), (0x0000_0000_0008_4600, false, nil), (0x0000_0000_0004_4200, false, nil),
    (
      0x0000_0000_0008_4400, false,
      InterruptMessage(destination: 0, vector: 0, deliveryMode: .nmi, shorthand: .allIncludingSelf)
    ),
    // Reserved delivery modes.
    (0x0100_0000_0000_4300, false, nil), (0x0100_0000_0000_4700, false, nil),
    // The trigger mode of an IPI has no meaning.
    (0x0300_0000_0000_C041, false, InterruptMessage(destination: 3, vector: 0x41)),
  ]

  @Test(arguments: commands)
  func `the message of an ICR`(icr: UInt64, isX2APIC: Bool, message: InterruptMessage?) {
    #expect(InterruptMessage(icr: icr, isX2APIC: isX2APIC) == message)
  }

  private static let interrupts: [(address: UInt64, data: UInt32, message: InterruptMessage?)] = [
    (0xFEE0_1000, 0x4041, InterruptMessage(destination: 1, vector: 0x41)),
    (0xFEE0_1000, 0xFFFF_0041, InterruptMessage(destination: 1, vector: 0x41)),
    (0xFEEF_F000, 0x0041, InterruptMessage(destination: ~0, vector: 0x41)),
    (0xFEE0_3004, 0x0041, InterruptMessage(destination: 3, vector: 0x41, isLogical: true)),
    (0xFEE0_3008, 0x0041, InterruptMessage(destination: 3, vector: 0x41)),
    (
      0xFEE0_300C, 0x0041,
      InterruptMessage(destination: 3, vector: 0x41, deliveryMode: .lowestPriority, isLogical: true)
    ),
    (
      0xFEE0_3004, 0x0141,
      InterruptMessage(destination: 3, vector: 0x41, deliveryMode: .lowestPriority, isLogical: true)
    ),
    (0xFEE0_3000, 0xC041, InterruptMessage(destination: 3, vector: 0x41, isLevelTriggered: true)),
    (0xFEE0_3000, 0xC441, InterruptMessage(destination: 3, vector: 0x41, deliveryMode: .nmi)),
    (0xFEE0_3000, 0x0741, InterruptMessage(destination: 3, vector: 0x41, deliveryMode: .extINT)),
    (0xFEE0_3000, 0x0341, nil), (0xFEE0_3000, 0x0641, nil),
    (0xFED0_3000, 0x0041, nil), (0xFEF0_0000, 0x0041, nil), (0x1_FEE0_3000, 0x0041, nil), (0, 0x0041, nil),
  ]

  @Test(arguments: interrupts)
  func `the message of a message-signaled interrupt`(address: UInt64, data: UInt32, message: InterruptMessage?) {
    #expect(InterruptMessage(messageAddress: address, data: data) == message)
  }

  @Test func `a redirection entry is the same message as the MSI with its fields`() {
    for fields in UInt64(0)..<1 << 16 {
      let entry = fields & ~0x7000 | 0x0500_0000_0000_0000
      let address = 0xFEE0_5000 | (fields >> 11 & 1) << 2
      #expect(
        InterruptMessage(redirectionEntry: entry)
          == InterruptMessage(messageAddress: address, data: UInt32(fields & 0xF7FF)))
    }
  }

  // MARK: Destinations

  /// Local APICs with IDs 0 to 7 and LDR as Linux programs them, with DFR as given.
  private func matching(
    _ message: InterruptMessage, _ mode: LocalAPICMode, dfr: UInt64 = 0xFFFF_FFFF, cluster: Bool = false,
    isEnabled: Bool = true
  ) -> [UInt32] {
    (0..<8).filter { id in
      var matches = false
      withLocalAPIC(id: id) { apic, _ in
        apic.enable(in: mode)
        if mode == .xAPIC {
          let logical: UInt64 = cluster ? UInt64(id / 4) << 4 | 1 << UInt64(id % 4) : 1 << UInt64(id)
          #expect(apic.writeRegister(LocalAPICRegister.logicalDestination, logical << 24) == .identityChanged)
          #expect(apic.writeRegister(LocalAPICRegister.destinationFormat, dfr) == .identityChanged)
        }
        if !isEnabled {
          #expect(apic.writeRegister(LocalAPICRegister.spuriousInterruptVector, 0xFF) == .identityChanged)
        }
        matches = message.matches(LocalAPICIdentity(rawValue: apic.identity.rawValue), isSender: id == 2)
      }
      return matches
    }
  }

  private static let everyone: [UInt32] = Array(0..<8)

  @Test func `physical destinations`() {
    for mode in [LocalAPICMode.xAPIC, .x2APIC] {
      for id in UInt32(0)..<300 {
        #expect(matching(InterruptMessage(destination: id, vector: 0x40), mode) == (id < 8 ? [id] : []))
      }
      #expect(matching(InterruptMessage(destination: ~0, vector: 0x40), mode) == Self.everyone)
    }
  }

  @Test func `logical destinations of the flat model`() {
    for destination in UInt32(0)..<256 {
      let message = InterruptMessage(destination: destination, vector: 0x40, isLogical: true)
      let expected = Self.everyone.filter { destination >> $0 & 1 != 0 }
      #expect(matching(message, .xAPIC) == expected)
      // The first cluster of x2APIC mode has the same form.
      #expect(matching(message, .x2APIC) == expected)
    }
    #expect(matching(InterruptMessage(destination: ~0, vector: 0x40, isLogical: true), .xAPIC) == Self.everyone)
    #expect(matching(InterruptMessage(destination: 0x101, vector: 0x40, isLogical: true), .xAPIC) == [])
    #expect(matching(InterruptMessage(destination: 0x1_0001, vector: 0x40, isLogical: true), .x2APIC) == [])
  }

  @Test func `logical destinations of the cluster model`() {
    for destination in UInt32(0)..<255 {
      let message = InterruptMessage(destination: destination, vector: 0x40, isLogical: true)
      #expect(
        matching(message, .xAPIC, dfr: 0x0FFF_FFFF, cluster: true)
          == Self.everyone.filter { $0 / 4 == destination >> 4 && destination >> ($0 % 4) & 1 != 0 })
    }
    #expect(matching(InterruptMessage(destination: 1, vector: 0x40, isLogical: true), .xAPIC, dfr: 0x7FFF_FFFF) == [])
  }

  @Test func `shorthands`() {
    let expected: [(InterruptMessage.Shorthand, [UInt32])] = [
      (.selfOnly, [2]), (.allIncludingSelf, Self.everyone), (.allExcludingSelf, [0, 1, 3, 4, 5, 6, 7]),
    ]
    for mode in [LocalAPICMode.xAPIC, .x2APIC] {
      for (shorthand, ids) in expected {
        #expect(matching(InterruptMessage(destination: 0, vector: 0x40, shorthand: shorthand), mode) == ids)
      }
    }
  }

  @Test(arguments: InterruptMessage.DeliveryMode.allCases)
  func `one that software has disabled takes no vectors`(deliveryMode: InterruptMessage.DeliveryMode) {
    let message = InterruptMessage(destination: ~0, vector: 0x40, deliveryMode: deliveryMode)
    let takesAnyway = [.smi, .nmi, .initialize, .startUp].contains(deliveryMode)
    #expect(matching(message, .xAPIC, isEnabled: false) == (takesAnyway ? Self.everyone : []))
    #expect(matching(message, .disabled) == [])
  }
}
