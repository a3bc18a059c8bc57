import VMCS

/// The image's command line: words like `memory=268435456` and `metered=1`, and at its end `append="…"` with the guest's
/// own command line.
struct Options {
  /// The guest's memory in bytes; nil for as much as there is.
  var memory: UInt64?
  /// Whether to count what each exit costs.
  var isMetered = false
  /// Whether guest memory is mapped by 4 KiB pages when it is first touched, instead of all at the start.
  var mapsOnDemand = false
  /// The guest's command line.
  var append = UnsafeRawBufferPointer(start: nil, count: 0)

  init(_ line: UnsafeRawBufferPointer) {
    var rest = line[...]
    while let start = rest.firstIndex(where: { $0 != Self.space }) {
      rest = rest[start...]
      if let value = Self.value(of: "append=", in: rest) {
        append = Self.unquoted(value)
        return
      }
      let end = rest.firstIndex(of: Self.space) ?? rest.endIndex
      let word = rest[..<end]
      if let value = Self.value(of: "memory=", in: word) { memory = Self.number(value) }
      if let value = Self.value(of: "metered=", in: word) { isMetered = Self.number(value) == 1 }
      if let value = Self.value(of: "on-demand=", in: word) { mapsOnDemand = Self.number(value) == 1 }
      rest = rest[end...]
    }
  }

  private static var space: UInt8 { 0x20 }
  private static var quote: UInt8 { 0x22 }

  private static func value(of name: StaticString, in word: Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer>? {
    let name = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    return word.starts(with: name) ? word.dropFirst(name.count) : nil
  }

  private static func number(_ text: Slice<UnsafeRawBufferPointer>) -> UInt64? {
    var value: UInt64 = 0
    for byte in text {
      guard byte >= 0x30, byte <= 0x39 else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      if overflow { return nil }
      value = product &+ UInt64(byte - 0x30)
    }
    return text.isEmpty ? nil : value
  }

  private static func unquoted(_ text: Slice<UnsafeRawBufferPointer>) -> UnsafeRawBufferPointer {
    guard text.count >= 2, text.first == quote, text.last == quote else { return UnsafeRawBufferPointer(rebasing: text) }
    return UnsafeRawBufferPointer(rebasing: text.dropFirst().dropLast())
  }
}
