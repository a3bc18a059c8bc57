import VMX

/// What has registers in the guest-physical address space.
public protocol MMIODevice: ~Copyable {
  /// Whether a page is not memory, although there may be memory at its address; the page of the exit never is.
  ///
  /// - Parameter page: the guest-physical address of a page.
  func covers(page: UInt64) -> Bool

  /// Reads `byteCount` bytes, 1, 2, 4 or 8, zero-extended.
  ///
  /// - Parameter address: any guest-physical address where there is no memory; all bytes are in one page.
  mutating func load(_ address: UInt64, byteCount: Int) -> UInt64

  /// Writes the low `byteCount` bytes, 1, 2, 4 or 8, of `value`; those above do not count.
  ///
  /// - Parameter address: any guest-physical address where there is no memory; all bytes are in one page.
  mutating func store(_ value: UInt64, at address: UInt64, byteCount: Int)

  /// Whether the guest has something more urgent to do, an interrupt perhaps, than to go on with a repeated string
  /// instruction; asked between two elements.
  var interruptsRepetition: Bool { get }
}

extension MMIODevice where Self: ~Copyable {
  /// Only the page of the exit.
  @inlinable
  public func covers(page: UInt64) -> Bool { false }

  /// Nothing is urgent.
  @inlinable
  public var interruptsRepetition: Bool { false }
}
