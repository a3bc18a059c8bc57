import ProcessorModel
import Testing
import VMCS

@Suite("CurrentVMCS")
struct CurrentVMCSTests {
  private static let values: [UInt64] =
    [0, 1, 0x21, 0x6000_0010, 0x8000_0031, 0xFFFF_FFFF, 0x5555_5555_5555_5555, .max]
    + (0..<64).map { 1 << $0 }

  private func withVMCS(_ body: (ProcessorModel, borrowing CurrentVMCS<ProcessorModel>) -> Void) {
    let (model, _) = processorWithOtherVMCS()
    let (pointer, address) = model.memory.allocatePages()
    let vmcs = VMCSRegion(initializing: pointer, at: address, revisionIdentifier: 4, on: model).load()
    body(model, vmcs)
    _ = vmcs.clear()
  }

  @Test("D1 CR0 and CR4 are stored as they are given, and nothing else is touched")
  func verbatim() {
    withVMCS { model, vmcs in
      for value in Self.values {
        model.clearTrace()
        vmcs[.guestCR0] = CR0(rawValue: value)
        vmcs[.guestCR4] = CR4(rawValue: value)
        #expect(
          model.trace.accesses == [
            .vmwrite(VMCSField.guestCR0.encoding, value), .vmwrite(VMCSField.guestCR4.encoding, value),
          ])
        #expect(model.contents(of: .guestCR0)?.rawValue == value)
        #expect(vmcs[.guestCR0].rawValue == value)
        #expect(vmcs[.guestCR4].rawValue == value)
      }
    }
  }

  @Test("A read is one VMREAD and a write one VMWRITE, in every width, and the value keeps every bit")
  func oneInstruction() {
    withVMCS { model, vmcs in
      for value in Self.values {
        model.clearTrace()
        vmcs[.guestESSelector] = SegmentSelector(rawValue: UInt16(truncatingIfNeeded: value))
        #expect(vmcs[.guestESSelector].rawValue == UInt16(truncatingIfNeeded: value))
        vmcs[.guestCSAccessRights] = SegmentAccessRights(rawValue: UInt32(truncatingIfNeeded: value))
        #expect(vmcs[.guestCSAccessRights].rawValue == UInt32(truncatingIfNeeded: value))
        vmcs[.vmcsLinkPointer] = PhysicalAddress(value)
        #expect(vmcs[.vmcsLinkPointer].rawValue == value)
        vmcs[.guestRIP] = value
        #expect(vmcs[.guestRIP] == value)
        #expect(model.trace.vmwrites.count == 4)
        #expect(model.trace.vmreads.count == 4)
        #expect(model.trace.entries.count == 8)
      }
    }
  }

  @Test("The exit reason keeps bit 31")
  func exitReason() {
    withVMCS { model, vmcs in
      model.setContents(of: .exitReason, to: ExitReason(rawValue: 0x8000_0021))
      #expect(vmcs[.exitReason].rawValue == 0x8000_0021)
      #expect(vmcs[.exitReason].vmEntryFailure)
      #expect(vmcs[.exitReason].basicReason == .vmEntryFailureInvalidGuestState)
    }
  }

  /// Neither throws nor returns an optional nor a status: this compiles only while that is so.
  private func everyOperation(
    _ pointer: UnsafeMutableRawPointer, _ address: PhysicalAddress, _ model: ProcessorModel
  ) -> VMCSRegion<ProcessorModel> {
    let region: VMCSRegion<ProcessorModel> = VMCSRegion(
      initializing: pointer, at: address, revisionIdentifier: 4, on: model)
    let vmcs: CurrentVMCS<ProcessorModel> = region.load()
    vmcs[.guestRIP] = 0x1234
    let rip: UInt64 = vmcs[.guestRIP]
    #expect(rip == 0x1234)
    return vmcs.clear()
  }

  @Test("B1 No operation has an error in its type")
  func infallible() {
    let (model, _) = processorWithOtherVMCS()
    let (pointer, address) = model.memory.allocatePages()
    let region = everyOperation(pointer, address, model)
    #expect(region.address == address)
    #expect(model.trace.entries.count { $0.outcome == .succeed } == model.trace.entries.count)
  }
}
