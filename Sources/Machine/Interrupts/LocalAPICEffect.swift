/// What a write to a register of a local APIC asks of its surroundings.
@frozen
public enum LocalAPICEffect: Equatable, Sendable {
  /// Nothing; what was written may have changed `LocalAPIC.hasDeliverableInterrupt`.
  case none
  /// The message goes to the local APICs that it names, the sender's own among them if it names that.
  case send(InterruptMessage)
  /// A level-triggered interrupt has ended: every I/O APIC hears of its vector.
  case endOfInterrupt(vector: UInt8)
  /// `LocalAPIC.nextDeadline` has changed.
  case deadlineChanged
  /// `LocalAPIC.identity` may have changed and has to be published.
  case identityChanged
  /// IA32_APIC_BASE has changed: `mode`, `identity`, `nextDeadline` and where the registers are in memory.
  case baseChanged
  /// The write causes #GP(0) and has changed nothing.
  case generalProtection
}
