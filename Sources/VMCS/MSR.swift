/// The index of a model-specific register, as RDMSR and WRMSR take it in ECX.
@frozen
public struct MSR: RawRepresentable, Hashable, Sendable {
  /// The index, 32 bits.
  public var rawValue: UInt32

  /// Makes an MSR from its index, known or not.
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}
