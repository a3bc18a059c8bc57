/// A span of time, as typed on the command line: seconds, or a number with s, m or h.
public struct TimeLimit: Equatable, Sendable, CustomStringConvertible {
  /// The span in seconds, at least 1.
  public var seconds: Int

  /// Parses a whole number above zero with an optional `s`, `m` or `h`; nil for anything else or above a year.
  public init?(_ text: String) {
    var digits = Substring(text)
    var unit = 1
    if let suffix = digits.last, let factor = ["s": 1, "m": 60, "h": 3600][suffix] {
      unit = factor
      digits.removeLast()
    }
    guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(digits) else {
      return nil
    }
    let product = number.multipliedReportingOverflow(by: unit)
    guard !product.overflow, 1...31_536_000 ~= product.partialValue else { return nil }
    seconds = product.partialValue
  }

  /// The span in seconds, with its unit.
  public var description: String { "\(seconds) s" }

  /// The span as the clock counts it.
  public var duration: Duration { .seconds(seconds) }
}
