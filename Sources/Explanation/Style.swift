/// How text for people is set off: with colours on a terminal, plainly elsewhere.
public struct Style: Sendable {
  /// Whether colours are used.
  public var hasColours: Bool

  /// Makes a style.
  public init(hasColours: Bool) { self.hasColours = hasColours }

  private func apply(_ code: String, _ text: String) -> String { hasColours ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }

  /// What is wrong.
  func bad(_ text: String) -> String { apply("1;31", text) }
  /// What is right.
  func good(_ text: String) -> String { apply("1;32", text) }
  /// What cannot be said.
  func unsure(_ text: String) -> String { apply("1;33", text) }
  /// What is in the background.
  func faint(_ text: String) -> String { apply("2", text) }
  /// What is in the foreground.
  func strong(_ text: String) -> String { apply("1", text) }
}
