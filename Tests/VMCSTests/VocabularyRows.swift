import Testing

@testable import VMCS

/// A typed field with its types taken apart, to compare with its description.
struct TypedField: Sendable, CustomTestStringConvertible {
  var name: String
  var encoding: VMCSFieldEncoding
  var valueType: String
  var bitWidth: Int
  var isReadOnly: Bool

  init<Value, Access>(_ name: String, _ field: VMCSField<Value, Access>) {
    self.name = name
    encoding = field.encoding
    valueType = "\(Value.self)"
    bitWidth = Value.Bits.bitWidth
    isReadOnly = Access.self == ReadOnly.self
  }

  var testDescription: String { name }
}

/// A property of a word, on plain integers: how it reads, and what setting it does to the word.
struct WordProperty {
  var name: String
  var get: (_ word: UInt64) -> UInt64
  var set: (_ word: UInt64, _ value: UInt64) -> UInt64

  static func bit<Word: BitWord>(_ path: WritableKeyPath<Word, Bool>, _ name: String) -> Self {
    make(path, name, to: { $0 ? 1 : 0 }, from: { $0 & 1 != 0 })
  }

  static func range<Word: BitWord, Value: FixedWidthInteger>(
    _ path: WritableKeyPath<Word, Value>, _ name: String
  ) -> Self {
    make(path, name, to: { UInt64($0) }, from: { Value(truncatingIfNeeded: $0) })
  }

  static func values<Word: BitWord, Value: BitWord>(_ path: WritableKeyPath<Word, Value>, _ name: String) -> Self {
    make(path, name, to: { UInt64($0.rawValue) }, from: { Value(rawValue: .init(truncatingIfNeeded: $0)) })
  }

  static func option<Word: BitWord & OptionSet>(_ option: Word, _ name: String) -> Self where Word.Element == Word {
    Self(
      name: name, get: { word in Word(rawValue: .init(truncatingIfNeeded: word)).contains(option) ? 1 : 0 },
      set: { word, value in
        var set = Word(rawValue: .init(truncatingIfNeeded: word))
        if value & 1 != 0 { set.formUnion(option) } else { set.subtract(option) }
        return UInt64(set.rawValue)
      })
  }

  private static func make<Word: BitWord, Value>(
    _ path: WritableKeyPath<Word, Value>, _ name: String, to: @escaping (Value) -> UInt64,
    from: @escaping (UInt64) -> Value
  ) -> Self {
    Self(
      name: name, get: { to(Word(rawValue: .init(truncatingIfNeeded: $0))[keyPath: path]) },
      set: { word, value in
        var result = Word(rawValue: .init(truncatingIfNeeded: word))
        result[keyPath: path] = from(value)
        return UInt64(result.rawValue)
      })
  }
}
