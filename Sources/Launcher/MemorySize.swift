/// An amount of memory, as typed on the command line: bytes, or a number with K, M or G (powers of 1024).
public struct MemorySize: Equatable, Comparable, Sendable, CustomStringConvertible {
  /// By how many bits a letter behind a number shifts it.
  private static let shifts: [Character: UInt64] = ["K": 10, "k": 10, "M": 20, "m": 20, "G": 30, "g": 30]

  /// The amount in bytes.
  public var bytes: UInt64

  /// Makes an amount of `bytes` bytes.
  public init(bytes: UInt64) {
    self.bytes = bytes
  }

  /// Makes an amount of `mebibytes` MiB.
  public static func mebibytes(_ mebibytes: UInt64) -> MemorySize {
    MemorySize(bytes: mebibytes << 20)
  }

  /// Parses decimal digits with an optional K, M or G, in either case; nil for anything else or above 64 bits.
  public init?(_ text: String) {
    var digits = Substring(text)
    var shift: UInt64 = 0
    if let suffix = digits.last, let unit = Self.shifts[suffix] {
      shift = unit
      digits.removeLast()
    }
    guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = UInt64(digits) else {
      return nil
    }
    let scaled = number.multipliedReportingOverflow(by: 1 << shift)
    if scaled.overflow { return nil }
    bytes = scaled.partialValue
  }

  /// The amount rounded up to whole MiB, the unit of the emulator's configuration.
  public var roundedUpMebibytes: UInt64 {
    (bytes >> 20) + (bytes & 0xf_ffff == 0 ? 0 : 1)
  }

  /// The amount in the largest unit that it fills; in MiB or KiB with one decimal unless it is exact.
  public var description: String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] as [(UInt64, String)] where bytes >> shift != 0 {
      let whole = bytes >> shift
      let rest = bytes & ((1 << shift) - 1)
      if rest == 0 { return "\(whole) \(unit)" }
      if shift == 30 { continue }
      let tenths = whole * 10 + ((rest * 10 + (1 << (shift - 1))) >> shift)
      return "\(tenths / 10).\(tenths % 10) \(unit)"
    }
    return "\(bytes) bytes"
  }

  /// Whether `a` is less than `b`.
  public static func < (a: MemorySize, b: MemorySize) -> Bool { a.bytes < b.bytes }
}
