/// A bit of a control word.
@frozen
public struct ControlBit: Hashable, Sendable {
  /// The control word.
  public var word: ControlWord
  /// The number of the bit.
  public var bit: UInt8

  /// Makes a bit from its word and number.
  @inlinable
  public init(_ word: ControlWord, _ bit: UInt8) {
    self.word = word
    self.bit = bit
  }

  /// The bit's name; nil if the SDM does not define it.
  public var name: StaticString? {
    for field in word.valueType.bitFields where field.low == bit { return field.name }
    return nil
  }
}

/// When a field exists: on processors that support the 1-setting of any of its controls.
@frozen
public struct VMCSFieldCondition: Sendable {
  /// The control that makes the field exist, nil if none does.
  public var control: ControlBit?
  /// Another control that makes it exist, nil if there is none.
  public var alternative: ControlBit?
  /// A feature of the processor that makes the field exist and has no control, in the SDM's words, like "APX".
  public var feature: StaticString?

  init(_ control: ControlBit, _ alternative: ControlBit? = nil) {
    self.control = control
    self.alternative = alternative
  }

  init(feature: StaticString) { self.feature = feature }

  private init() {}

  /// The condition of a field that exists on every processor with VMX.
  static var always: Self { Self() }

  /// Whether the field exists on every processor with VMX.
  @inlinable public var isAlways: Bool { control == nil && feature == nil }

  /// Whether the field exists on a processor on which `supports` says whether a control can be 1, and that has none of
  /// the features that have no control.
  @inlinable
  public func holds(_ supports: (ControlBit) -> Bool) -> Bool {
    if let control, supports(control) { return true }
    if let alternative, supports(alternative) { return true }
    return isAlways
  }
}
