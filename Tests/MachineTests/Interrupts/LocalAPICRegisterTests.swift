import Machine
import Testing
import VMCS
import VMX

/// What software may do with a register: bits that it can write, whether it can be read, in each mode.
private struct RegisterRow {
  let offset: Int
  /// The bits that a write changes.
  var writable: UInt32 = 0
  /// The bits that x2APIC mode takes without #GP(0).
  var accepted: UInt64?
  var isInXAPIC = true
  var isReadableByMSR = true
  var isWritableByMSR = true
}

/// SDM, "Local APIC Register Address Map" and "x2APIC Register Address Space".
private let rows: [RegisterRow] =
  [
    RegisterRow(offset: 0x020, isWritableByMSR: false),
    RegisterRow(offset: 0x030, isWritableByMSR: false),
    RegisterRow(offset: 0x080, writable: 0xFF, accepted: 0xFF),
    RegisterRow(offset: 0x090, isReadableByMSR: false, isWritableByMSR: false),
    RegisterRow(offset: 0x0A0, isWritableByMSR: false),
    RegisterRow(offset: 0x0B0, accepted: 0, isReadableByMSR: false),
    RegisterRow(offset: 0x0C0, isReadableByMSR: false, isWritableByMSR: false),
    RegisterRow(offset: 0x0D0, writable: 0xFF00_0000, isWritableByMSR: false),
    RegisterRow(offset: 0x0E0, writable: 0xF000_0000, isReadableByMSR: false, isWritableByMSR: false),
    RegisterRow(offset: 0x0F0, writable: 0x13FF, accepted: 0x13FF),
    RegisterRow(offset: 0x280, accepted: 0),
    RegisterRow(offset: 0x300, writable: 0xC_CFFF, accepted: 0xFFFF_FFFF_000C_DFFF),
    RegisterRow(offset: 0x310, writable: 0xFF00_0000, isReadableByMSR: false, isWritableByMSR: false),
    RegisterRow(offset: 0x320, writable: 0x7_00FF, accepted: 0x7_10FF),
    RegisterRow(offset: 0x330, writable: 0x1_07FF, accepted: 0x1_17FF),
    RegisterRow(offset: 0x340, writable: 0x1_07FF, accepted: 0x1_17FF),
    RegisterRow(offset: 0x350, writable: 0x1_A7FF, accepted: 0x1_F7FF),
    RegisterRow(offset: 0x360, writable: 0x1_A7FF, accepted: 0x1_F7FF),
    RegisterRow(offset: 0x370, writable: 0x1_00FF, accepted: 0x1_10FF),
    RegisterRow(offset: 0x380, writable: 0xFFFF_FFFF, accepted: 0xFFFF_FFFF),
    RegisterRow(offset: 0x390, isWritableByMSR: false),
    RegisterRow(offset: 0x3E0, writable: 0xB, accepted: 0xB),
    RegisterRow(offset: 0x3F0, accepted: 0xFF, isInXAPIC: false, isReadableByMSR: false),
  ] + stride(from: 0x100, to: 0x280, by: 16).map { RegisterRow(offset: $0, isWritableByMSR: false) }

private let registers = Dictionary(uniqueKeysWithValues: rows.map { ($0.offset, $0) })

@Suite struct LocalAPICRegisterTests {
  @Test func `every offset of xAPIC mode keeps its writable bits and reports what does not exist`() {
    for offset in stride(from: 0, to: 0x1000, by: 16) {
      let row = registers[offset]
      let exists = row?.isInXAPIC ?? false
      withLocalAPIC(id: 3) { apic, _ in
        apic.enable()
        let before = apic.read(offset: offset, at: 0)
        #expect(apic.takeErrors() == (exists ? 0 : 0x80), "offset \(offset)")
        for value in [~0, 0x5555_5555, 0xAAAA_AAAA, 0] as [UInt32] {
          // Only enabled by software can the masks of the LVT be cleared.
          if offset == 0x0F0 && value & 0x100 == 0 { continue }
          _ = apic.write(offset: offset, value, at: 0)
          let mask = row?.writable ?? 0
          // The Initial Count Register belongs to the modes that count.
          #expect(apic.read(offset: offset, at: 0) == before & ~mask | value & mask, "offset \(offset), \(value)")
        }
        let errors = apic.takeErrors()
        // All ones in ICR and SELF IPI send nothing; 0 sends an illegal vector.
        #expect(errors == (offset == 0x300 ? 0x20 : exists ? 0 : 0x80), "offset \(offset)")
      }
    }
  }

  @Test func `every MSR of x2APIC mode is readable or #GP, and every bit of a write is taken or #GP`() {
    for index in UInt32(0x800)..<0x900 {
      let offset = Int(index & 0xFF) * 16
      let row = registers[offset]
      for bit in -1..<64 {
        withLocalAPIC(id: 3) { apic, _ in
          apic.enable(in: .x2APIC)
          let before = apic.readMSR(index, at: 0)
          #expect((before != nil) == (row?.isReadableByMSR ?? false), "MSR \(index)")
          let value: UInt64 = bit < 0 ? 0 : 1 << UInt64(bit)
          let effect = apic.writeMSR(index, value, at: 0)
          guard let row, row.isWritableByMSR, value & ~(row.accepted ?? 0) == 0 else {
            #expect(effect == .generalProtection, "MSR \(index), bit \(bit)")
            #expect(apic.readMSR(index, at: 0) == before)
            return
          }
          #expect(effect != .generalProtection, "MSR \(index), bit \(bit)")
          // Disabled by software, the masks are kept; 64 bits of ICR are compared below.
          if row.isReadableByMSR && index != 0x830 {
            #expect(apic.readMSR(index, at: 0) == before! & UInt64(~row.writable) | value & UInt64(row.writable))
          } else if index == 0x830 {
            #expect(apic.readMSR(index, at: 0) == value & 0xFFFF_FFFF_000C_CFFF)
          }
        }
      }
    }
  }

  @Test(arguments: [LocalAPICMode.disabled, .xAPIC])
  func `the MSRs exist in x2APIC mode only`(mode: LocalAPICMode) {
    withLocalAPIC { apic, _ in
      _ = apic.writeMSR(0x1B, apicBase(mode), at: 0)
      for index in UInt32(0x800)..<0x900 {
        #expect(apic.readMSR(index, at: 0) == nil)
        #expect(apic.writeMSR(index, 0, at: 0) == .generalProtection)
      }
    }
  }

  @Test func `which MSRs are the local APIC's`() {
    let own = (UInt32(0)..<0x2000).filter { MSRPolicy.isOfLocalAPIC(MSR(rawValue: $0)) }
    #expect(own == [0x1B, 0x6E0] + Array(0x800..<0x900))
    withLocalAPIC { apic, _ in
      for index in [0, 0x1A, 0x1C, 0x10, 0x7FF, 0x900, 0xC000_0080, .max] as [UInt32] {
        #expect(MSRPolicy.isOfLocalAPIC(MSR(rawValue: index)) == false)
        #expect(apic.readMSR(index, at: 0) == nil)
        #expect(apic.writeMSR(index, 0, at: 0) == .generalProtection)
      }
    }
  }

  @Test func `parts of registers are read, and only whole ones written`() {
    withLocalAPIC(id: 0x5A) { apic, _ in
      apic.enable()
      _ = apic.write(offset: 0x0D0, 0xC300_0000, at: 0)
      let values: [(offset: Int, byteCount: Int, value: UInt64)] = [
        (0x0D0, 4, 0xC300_0000), (0x0D3, 1, 0xC3), (0x0D2, 2, 0xC300), (0x0D0, 2, 0), (0x0D0, 8, 0xC300_0000),
        (0x0D1, 4, 0xC3_0000), (0x0D4, 4, 0), (0x0DC, 8, 0), (0x023, 1, 0x5A), (0xFFF, 8, 0),
      ]
      for row in values { #expect(apic.read(offset: row.offset, byteCount: row.byteCount, at: 0) == row.value) }
      for byteCount in 1...2 {
        #expect(apic.write(offset: 0x0D0, byteCount: byteCount, 0xFF, at: 0) == .none)
        #expect(apic.write(offset: 0x0D3, byteCount: byteCount, 0xFF, at: 0) == .none)
      }
      #expect(apic.write(offset: 0x0D4, byteCount: 4, 0xFFFF_FFFF, at: 0) == .none)
      #expect(apic.read(offset: 0x0D0, at: 0) == 0xC300_0000)
      #expect(apic.write(offset: 0x0D0, byteCount: 8, 0xFFFF_FFFF_0100_0000, at: 0) == .identityChanged)
      #expect(apic.read(offset: 0x0D0, at: 0) == 0x0100_0000)
    }
  }

  /// A write that the processor has made to the page, and then reports, does what an exit before the write does.
  @Test(arguments: [LocalAPICMode.xAPIC, .x2APIC])
  func `an APIC-write VM exit ends as an emulated write does`(mode: LocalAPICMode) {
    var random = RandomNumbers(seed: 5)
    let xAPIC =
      [0x020, 0x080, 0x0B0, 0x0D0, 0x0E0, 0x0F0, 0x280, 0x300, 0x310]
      + Array(stride(from: 0x320, through: 0x380, by: 16)) + [0x3E0]
    withLocalAPIC(id: 2) { emulated, emulatedPage in
      withLocalAPIC(id: 2) { virtualized, page in
        emulated.enable(in: mode)
        virtualized.enable(in: mode)
        for step in 0..<3000 {
          let offset =
            mode == .xAPIC
            ? xAPIC.randomElement(using: &random)! : [0x080, 0x0B0, 0x3F0].randomElement(using: &random)!
          var value = UInt32(truncatingIfNeeded: random.next())
          if offset == 0x0F0 { value |= 0x100 }
          if mode == .x2APIC { value &= offset == 0x0B0 ? 0 : 0xFF }
          page.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
          let now = UInt64(step) << 20
          let effect = emulated.writeRegister(offset, UInt64(value), at: now)
          #expect(virtualized.completeWrite(offset: offset, at: now) == effect, "offset \(offset), \(value)")
          // EOI and SELF IPI cannot be read.
          for word in stride(from: 0, to: 0x3F0, by: 16) where word != 0x0B0 {
            #expect(
              page.load(fromByteOffset: word, as: UInt32.self)
                == emulatedPage.load(fromByteOffset: word, as: UInt32.self), "offset \(offset) changes \(word)")
          }
          #expect(virtualized.hasDeliverableInterrupt == emulated.hasDeliverableInterrupt)
          #expect(virtualized.nextDeadline == emulated.nextDeadline)
          if step % 5 == 0 { #expect(virtualized.acknowledge() == emulated.acknowledge()) }
        }
      }
    }
  }
}
