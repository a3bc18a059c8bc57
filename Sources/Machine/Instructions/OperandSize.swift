/// The bits of an operand of `size` bytes: 1, 2, 4 or 8.
@inlinable @inline(__always)
func mask(ofSize size: Int) -> UInt64 { ~0 &>> (64 &- 8 &* UInt64(truncatingIfNeeded: size)) }

/// The operand of `size` bytes, 1, 2, 4 or 8, in the low bits of `value`, sign-extended.
@inlinable @inline(__always)
func signExtended(_ value: UInt64, fromSize size: Int) -> UInt64 {
  let shift = 64 &- 8 &* Int64(size)
  return UInt64(bitPattern: (Int64(bitPattern: value) &<< shift) &>> shift)
}
