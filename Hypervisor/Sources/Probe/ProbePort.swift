import CVMX
import EntryProbe

/// Port 0xE9, which Bochs copies to its standard output at once.
///
/// Bit 7 of every byte is 1, so that the other side can tell them
/// from what else is printed there.
struct ProbePort {
  /// Writes 14 bits.
  @inline(__always)
  func write(_ outcome: ProbeOutcome) {
    put(outcome.rawValue >> 7)
    put(outcome.rawValue)
  }

  /// Writes 64 bits in ten bytes, the lowest first.
  func write(_ value: UInt64) {
    for index in 0..<UInt64(10) { put(UInt16(truncatingIfNeeded: value >> (7 * index))) }
  }

  @inline(__always)
  private func put(_ bits: UInt16) { cvmx_out8(0xE9, UInt8(truncatingIfNeeded: bits) | 0x80) }
}
