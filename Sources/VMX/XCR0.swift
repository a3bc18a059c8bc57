/// Decides what an XSETBV of the guest does (SDM, "XSETBV—Set Extended Control Register"; "XSAVE-Supported Features and State-Component Bitmaps").
@frozen
public struct XCR0Policy: Sendable {
  /// The bits of XCR0 that the guest may set: what the processor has and CPUID shows.
  public let supported: UInt64

  /// Makes a policy for the state components in `supported`.
  public init(supported: UInt64) { self.supported = supported }

  private static let x87: UInt64 = 1 << 0
  private static let sse: UInt64 = 1 << 1
  private static let avx: UInt64 = 1 << 2
  private static let mpx: UInt64 = 3 << 3
  private static let avx512: UInt64 = 7 << 5
  private static let amx: UInt64 = 3 << 17

  /// Whether XSETBV of XCR `index` with `value` is legal; if it is not, the guest gets #GP(0).
  public func allows(index: UInt32, value: UInt64) -> Bool {
    func allOrNone(_ components: UInt64) -> Bool { value & components == 0 || value & components == components }
    return index == 0 && value & ~supported == 0 && value & Self.x87 != 0
      && (value & Self.avx == 0 || value & Self.sse != 0)
      && allOrNone(Self.mpx) && allOrNone(Self.avx512) && allOrNone(Self.amx)
      && (value & Self.avx512 == 0 || value & Self.avx != 0)
  }
}
