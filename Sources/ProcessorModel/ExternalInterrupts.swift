/// The external interrupts of a `ProcessorModel`: its local APIC, as far as vectors go (SDM, "Interrupt Acceptance for
/// Fixed Interrupts").
///
/// What it is sent waits there, in VMX root operation with RFLAGS.IF = 0 too, until it is acknowledged.
public struct ExternalInterrupts: Hashable, Sendable {
  /// The vectors in IRR.
  public private(set) var requested: Set<UInt8> = []
  /// The vectors in ISR, the last one on top.
  public private(set) var inService: [UInt8] = []

  /// None.
  public init() {}

  /// Takes an interrupt; one with a vector that is requested already is the same.
  public mutating func request(_ vector: UInt8) { requested.insert(vector) }

  /// Gives the processor the vector of the highest priority, which is in service then; nil if none is above what is.
  public mutating func acknowledge() -> UInt8? {
    guard let vector = requested.max(), vector >> 4 > (inService.last ?? 0) >> 4 else { return nil }
    requested.remove(vector)
    inService.append(vector)
    return vector
  }

  /// EOI: the interrupt in service with the highest priority has ended.
  public mutating func endOfInterrupt() { _ = inService.popLast() }
}
