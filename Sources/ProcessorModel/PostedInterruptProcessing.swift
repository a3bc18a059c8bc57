import VMCS

/// Where a processor is in SDM, "Posted-Interrupt Processing", after it has acknowledged the notification vector.
///
/// Each step is one access to memory, or one thing that no other processor sees; others may have their turn in between.
public struct PostedInterruptProcessing: Hashable, Sendable {
  /// A step.
  public enum Step: Hashable, Sendable {
    /// Clears ON, with a locked access.
    case clearOutstandingNotification
    /// Writes zero to EOI of the local APIC.
    case endOfInterrupt
    /// Reads and clears 64 bits of PIR at once, 0 to 3, and sets what it has read in VIRR.
    case takeRequests(Int)
    /// RVI becomes the highest vector that was in PIR, if it is above what RVI was.
    case updateRVI
    /// Evaluates pending virtual interrupts.
    case evaluate
  }

  /// The SDM's order.
  public static let steps: [Step] =
    [.clearOutstandingNotification, .endOfInterrupt] + (0..<4).map(Step.takeRequests) + [.updateRVI, .evaluate]

  /// How many steps are done.
  var position = 0
  /// The highest vector that has been read from PIR.
  var highest: UInt8?
}

extension ProcessorModel {
  /// Does the next step.
  func step(_ processing: inout PostedInterruptProcessing, _ vmcs: VMCSStorage) {
    let step = postedInterruptSteps[processing.position]
    processing.position += 1
    let descriptor = vmcs[.postedInterruptDescriptorAddress]
    switch step {
    case .clearOutstandingNotification:
      // The test's processors take turns, so that every access is atomic.
      store(load(descriptor, 32) & ~1, descriptor, 32)
    case .endOfInterrupt: externalInterrupts.endOfInterrupt()
    case .takeRequests(let word):
      let requests = load(descriptor, 8 * word)
      store(0, descriptor, 8 * word)
      for bit in UInt8(0)..<64 where requests >> UInt64(bit) & 1 != 0 {
        virtualAPIC(vmcs).set(.request, UInt8(word) * 64 + bit)
        processing.highest = UInt8(word) * 64 + bit
      }
    case .updateRVI:
      var status = vmcs[.guestInterruptStatus]
      status.rvi = max(status.rvi, processing.highest ?? 0)
      vmcs[.guestInterruptStatus] = status
    case .evaluate: evaluateVirtualInterrupts(vmcs)
    }
  }

  private func load(_ address: PhysicalAddress, _ offset: Int) -> UInt64 {
    memory.load(PhysicalAddress(address.rawValue + UInt64(offset)), as: UInt64.self)
  }

  private func store(_ value: UInt64, _ address: PhysicalAddress, _ offset: Int) {
    let address = PhysicalAddress(address.rawValue + UInt64(offset))
    memory.pointer(to: address, byteCount: 8)?.storeBytes(of: value, as: UInt64.self)
  }
}
