import Testing
import VMCS

@testable import VMX

@Suite struct QuickFetchTests {
  @Test(
    "The quick translation of a fetch says what the whole walk says, and changes nothing",
    arguments: 0..<16 as Range<UInt64>)
  func quickFetch(seed: UInt64) {
    var numbers = SeededNumbers(state: seed)
    let memory = FlatMemory(byteCount: 0x1_0000)
    // Any entry refers to any table or page; most of them as a running system has them.
    for location in stride(from: 0 as UInt64, to: 0x1_0000, by: 8) {
      var entry = (numbers.next() % 20) << 12 | 0x63
      entry ^= numbers.next() % 3 == 0 ? 0x04 : 0
      entry ^= numbers.next() % 4 == 0 ? 0x80 : 0
      entry ^= numbers.next() % 8 == 0 ? 1 << (numbers.next() & 63) : 0
      if entry & 0x80 != 0 && numbers.next() % 3 != 0 { entry &= ~0xF_E000 }
      _ = memory.store(entry, at: location)
    }
    var quickCount = 0
    for _ in 0..<4000 {
      var state = PagingMode.fourLevel.state
      state.cr3 = numbers.next() & 0xF000
      state.cr4.smep = numbers.next() & 1 == 0
      state.efer.nxe = numbers.next() & 1 == 0
      state.isUserMode = numbers.next() & 1 == 0
      let address = numbers.next()
      let before = memory.bytes
      let fetch = QuickFetch(
        cr3: state.cr3, isUserMode: state.isUserMode, smep: state.cr4.smep,
        physicalAddressWidth: state.physicalAddressWidth)
      guard let quick = fetch.address(of: address, in: memory) else { continue }
      quickCount += 1
      #expect(state.translate(address, for: .fetch, in: memory) == .address(quick))
      #expect(memory.bytes == before)
    }
    #expect(quickCount > 200)
  }

  @Test("A byte that has come to be there since the fetch is no fault: the guest executes the instruction again")
  func laterByte() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    vcpu.setDescriptor(
      .cs, to: GuestDescriptor(base: 0, limit: 0xFFFF, accessRights: SegmentAccessRights(rawValue: 0x9B)))
    fixture.set(.guestRIP, 0xFFF)
    let translation = vcpu.linearAddressTranslation(physicalAddressWidth: 39, has1GBPages: false)
    let (short, long) = (FlatMemory(byteCount: 0x1000), FlatMemory(byteCount: 0x2000))
    let (missing, changed) = (
      vcpu.fetchFault(ofByte: 1, translation, in: short), vcpu.fetchFault(ofByte: 1, translation, in: long)
    )
    #expect(missing == .missingMemory(guestPhysicalAddress: 0x1000, isWrite: false) && changed == .changed)
  }
}
