/// The texts that have to appear on the console, in order, and what is typed after each.
public struct ConsoleScript: Equatable, Sendable {
  /// A text to wait for, and the bytes to type when it has been seen.
  public struct Step: Equatable, Sendable {
    /// The text, as the guest prints it.
    public var expected: String
    /// What is typed then; nil for nothing.
    public var typed: [UInt8]?

    /// Makes a step.
    public init(expect expected: String, type typed: [UInt8]? = nil) {
      self.expected = expected
      self.typed = typed
    }
  }

  private var steps: ArraySlice<Step>
  private let endsTheRun: Bool
  private var unmatched: [UInt8] = []

  /// Makes a script of `steps`.
  ///
  /// When the last one types nothing, the run ends as soon as its text is seen.
  public init(_ steps: [Step] = []) {
    self.steps = steps[...]
    endsTheRun = steps.last.map { $0.typed == nil } ?? false
  }

  /// The text that is waited for; nil when all have been seen.
  public var awaited: String? { steps.first?.expected }

  /// Whether the run is to end because the last expected text was seen and nothing is typed after it.
  public var isOver: Bool { steps.isEmpty && endsTheRun }

  /// Takes what the guest printed and returns what to type.
  ///
  /// A text may arrive in pieces. The search for the next text begins behind the text found before.
  public mutating func consume(_ output: [UInt8]) -> [UInt8] {
    var typed: [UInt8] = []
    unmatched += output
    while let step = steps.first {
      let expected = Array(step.expected.utf8)
      guard let position = unmatched.firstPosition(of: expected) else {
        unmatched = unmatched.suffix(max(0, expected.count - 1))
        return typed
      }
      typed += step.typed ?? []
      unmatched.removeFirst(position + expected.count)
      steps.removeFirst()
    }
    unmatched.removeAll()
    return typed
  }
}

extension [UInt8] {
  /// Where `pattern` begins first; nil if it does not occur.
  fileprivate func firstPosition(of pattern: [UInt8]) -> Int? {
    if pattern.count > count { return nil }
    return (0...(count - pattern.count)).first { self[$0..<($0 + pattern.count)].elementsEqual(pattern) }
  }
}

/// Replaces `\n`, `\r`, `\t`, `\e`, `\\` and `\xHH` in `text` by the bytes that they stand for; nil for any other `\`.
public func unescape(_ text: String) -> [UInt8]? {
  let simple: [UInt8: UInt8] = [0x6e: 0x0a, 0x72: 0x0d, 0x74: 0x09, 0x65: 0x1b, 0x5c: 0x5c]
  var result: [UInt8] = []
  var rest = Array(text.utf8)[...]
  while let byte = rest.popFirst() {
    guard byte == UInt8(ascii: "\\") else {
      result.append(byte)
      continue
    }
    guard let code = rest.popFirst() else { return nil }
    if let plain = simple[code] {
      result.append(plain)
    } else if code == UInt8(ascii: "x"), rest.count >= 2,
      rest.prefix(2).allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
    {
      result.append(value)
      rest.removeFirst(2)
    } else {
      return nil
    }
  }
  return result
}
