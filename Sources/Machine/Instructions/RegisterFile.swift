import VMCS

/// The sixteen general-purpose registers, indexed as instructions encode them.
///
/// A view: what is written is written to the registers that it has been made of. The slot of RSP is the user's to fill
/// and to empty.
@frozen
public struct RegisterFile {
  @usableFromInline let base: UnsafeMutablePointer<UInt64>

  /// A view of `registers`.
  @inlinable
  public init(_ registers: UnsafeMutablePointer<GuestRegisters>) {
    base = UnsafeMutableRawPointer(registers).assumingMemoryBound(to: UInt64.self)
  }

  /// All bits of a register; `index` counts modulo 16.
  @inlinable
  public subscript(index: UInt8) -> UInt64 {
    get { base[Int(index & 15)] }
    nonmutating set { base[Int(index & 15)] = newValue }
  }

  /// The low `size` bytes of a register, or its second byte.
  @inlinable
  public func read(_ register: RegisterOperand, size: Int) -> UInt64 {
    (register.isHighByte ? self[register.index] >> 8 : self[register.index]) & mask(ofSize: size)
  }

  /// Writes `size` bytes of a register, as instructions do (SDM, "General-Purpose Registers in 64-Bit Mode"): a
  /// doubleword clears the upper half, a byte or word leaves the rest.
  @inlinable
  public func write(_ value: UInt64, to register: RegisterOperand, size: Int) {
    let index = register.index
    if size >= 4 {
      self[index] = value & mask(ofSize: size)
    } else if register.isHighByte {
      self[index] = self[index] & ~0xFF00 | (value & 0xFF) << 8
    } else {
      self[index] = self[index] & ~mask(ofSize: size) | value & mask(ofSize: size)
    }
  }
}
