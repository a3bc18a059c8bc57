import Machine
import Testing
import VMX

@Suite struct LocalAPICLocalInterruptTests {
  @Test func `virtual wire mode accepts ExtINT at LINT0 and an NMI at LINT1`() {
    withLocalAPIC { apic, _ in
      #expect(apic.acceptsExtINT == false)
      apic.enterVirtualWireMode()
      #expect(apic.acceptsExtINT == true)
      #expect(apic.isSoftwareEnabled == true)
      #expect(apic.setPin(.lint0, true) == false)
      #expect(apic.hasDeliverableInterrupt == false)
      #expect(apic.setPin(.lint1, true) == true)
      #expect(apic.setPin(.lint1, true) == false)
      #expect(apic.setPin(.lint1, false) == false)
      #expect(apic.setPin(.lint1, true) == true)
      // Masked, by itself or because software disables the APIC.
      apic.writeRegister(LocalAPICRegister.lint0, 0x1_0700)
      #expect(apic.acceptsExtINT == false)
      apic.writeRegister(LocalAPICRegister.lint0, 0x0700)
      #expect(apic.acceptsExtINT == true)
      apic.writeRegister(LocalAPICRegister.spuriousInterruptVector, 0xFF)
      #expect(apic.acceptsExtINT == false)
      apic.writeRegister(LocalAPICRegister.lint0, 0x0700)
      #expect(apic.acceptsExtINT == false)
      #expect(apic.setPin(.lint1, false) == false)
      #expect(apic.setPin(.lint1, true) == false)
    }
  }

  @Test func `a disabled APIC leaves its pins to the processor`() {
    withLocalAPIC { apic, _ in
      _ = apic.writeMSR(0x1B, apicBase(.disabled), at: 0)
      #expect(apic.acceptsExtINT == true)
      #expect(apic.setPin(.lint1, true) == true)
      #expect(apic.setPin(.lint0, true) == false)
    }
  }

  /// Linux tries this with the 8259A's timer.
  @Test(arguments: LocalInterruptPin.allCases)
  func `a pin with delivery mode fixed gives a vector for each edge`(pin: LocalInterruptPin) {
    withLocalAPIC { apic, _ in
      apic.enable()
      apic.writeRegister(pin == .lint0 ? LocalAPICRegister.lint0 : LocalAPICRegister.lint1, 0x55)
      for _ in 0..<3 {
        #expect(apic.setPin(pin, true) == false)
        #expect(apic.acknowledge() == 0x55)
        #expect(apic.endOfInterrupt() == nil)
        _ = apic.setPin(pin, true)
        #expect(apic.hasDeliverableInterrupt == false)
        _ = apic.setPin(pin, false)
      }
    }
  }

  @Test func `LINT0 by level requests again until it goes low`() {
    withLocalAPIC { apic, _ in
      apic.enable()
      apic.writeRegister(LocalAPICRegister.lint0, 0x8055)
      _ = apic.setPin(.lint0, true)
      for round in 0..<3 {
        #expect(apic.readRegister(LocalAPICRegister.lint0) == 0xC055)
        #expect(apic.acknowledge() == 0x55)
        #expect(apic.hasDeliverableInterrupt == false)
        if round == 2 { _ = apic.setPin(.lint0, false) }
        #expect(apic.endOfInterrupt() == 0x55)
        #expect(apic.hasDeliverableInterrupt == (round < 2))
      }
      #expect(apic.readRegister(LocalAPICRegister.lint0) == 0x8055)
      // One that is high when it is unmasked requests, too.
      apic.writeRegister(LocalAPICRegister.lint0, 0x1_8055)
      _ = apic.setPin(.lint0, true)
      #expect(apic.hasDeliverableInterrupt == false)
      apic.writeRegister(LocalAPICRegister.lint0, 0x8055)
      #expect(apic.acknowledge() == 0x55)
    }
  }

  // MARK: Errors

  @Test(arguments: [LocalAPICMode.xAPIC, .x2APIC])
  func `ESR shows errors when it is written, and the error interrupt comes once until then`(mode: LocalAPICMode) {
    withLocalAPIC { apic, _ in
      apic.enable(in: mode)
      apic.writeRegister(LocalAPICRegister.error, 0x45)
      apic.writeRegister(LocalAPICRegister.interruptCommand, 0x4_0003)
      #expect(apic.readRegister(LocalAPICRegister.errorStatus) == 0)
      #expect(apic.acknowledge() == 0x45)
      _ = apic.endOfInterrupt()
      apic.accept(vector: 15, isLevelTriggered: false)
      #expect(apic.hasDeliverableInterrupt == false)
      #expect(apic.takeErrors() == 0x60)
      #expect(apic.takeErrors() == 0)
      apic.accept(vector: 15, isLevelTriggered: false)
      #expect(apic.acknowledge() == 0x45)
      #expect(apic.takeErrors() == 0x40)
    }
  }

  @Test func `an error interrupt with an illegal vector is one more error`() {
    withLocalAPIC { apic, _ in
      apic.enable()
      apic.writeRegister(LocalAPICRegister.error, 0x5)
      apic.writeRegister(LocalAPICRegister.interruptCommand, 0x3)
      #expect(apic.takeErrors() == 0x60)
      #expect(apic.hasDeliverableInterrupt == false)
    }
  }

  @Test func `a timer with an illegal vector is an error`() {
    withLocalAPIC { apic, _ in
      apic.enable()
      apic.writeRegister(LocalAPICRegister.timer, 0xF)
      apic.writeRegister(LocalAPICRegister.initialCount, 1)
      #expect(apic.advance(to: 100) == 1)
      #expect(apic.takeErrors() == 0x40)
    }
  }

  @Test func `the spurious vector comes when there is nothing to deliver`() {
    withLocalAPIC { apic, _ in
      apic.enable()
      for vector in [0x0F, 0x3F, 0xE7] as [UInt8] {
        apic.writeRegister(LocalAPICRegister.spuriousInterruptVector, 0x100 | UInt64(vector))
        #expect(apic.acknowledge() == vector)
        #expect(apic.vectors(LocalAPICRegister.inService) == [])
      }
    }
  }

  // MARK: Sending

  @Test(arguments: [LocalAPICMode.xAPIC, .x2APIC])
  func `every ICR sends its message or nothing`(mode: LocalAPICMode) {
    for fields in UInt64(0)..<1 << 12 {
      // Vector bit 5, delivery mode, destination mode, level, trigger, shorthand.
      let vector = fields & 1 == 0 ? 0x00 : 0x20 as UInt64
      let low =
        vector | (fields >> 1 & 7) << 8 | (fields >> 4 & 1) << 11 | (fields >> 5 & 3) << 14 | (fields >> 7 & 3) << 18
      withLocalAPIC { apic, _ in
        apic.enable(in: mode)
        var icr = low | 0x0300_0000 << 32
        if mode == .xAPIC { apic.writeRegister(LocalAPICRegister.interruptCommandHigh, 0x0300_0000) }
        if fields >> 9 & 1 != 0 {
          icr |= ~0 << 32
          if mode == .xAPIC { apic.writeRegister(LocalAPICRegister.interruptCommandHigh, 0xFF00_0000) }
        }
        let effect = apic.writeRegister(LocalAPICRegister.interruptCommand, mode == .x2APIC ? icr : low)
        let hasVector = fields >> 1 & 7 <= 1
        if hasVector && vector == 0 {
          #expect(effect == .none)
          #expect(apic.takeErrors() == 0x20)
        } else if hasVector && fields >> 7 & 3 == 1 {
          #expect(effect == .none)
          #expect(apic.acknowledge() == 0x20)
        } else {
          let message = InterruptMessage(icr: icr, isX2APIC: mode == .x2APIC)
          #expect(effect == message.map { .send($0) } ?? .none)
          #expect(apic.hasDeliverableInterrupt == false)
        }
      }
    }
  }

  @Test func `SELF IPI`() {
    withLocalAPIC { apic, _ in
      apic.enable(in: .x2APIC)
      for vector in UInt8.min...255 {
        #expect(apic.writeMSR(0x83F, UInt64(vector), at: 0) == .none)
        if vector < 16 {
          #expect(apic.takeErrors() == 0x20)
        } else {
          #expect(apic.acknowledge() == vector)
          #expect(apic.endOfInterrupt() == nil)
        }
      }
    }
  }
}
