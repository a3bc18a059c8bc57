/// What the specification says about a field of the VMCS, for code that knows the field only at run time.
@frozen
public struct VMCSFieldDescription: Sendable {
  /// The name of the typed field, like "guestRIP".
  public var name: StaticString
  /// The encoding, with full access.
  public var encoding: VMCSFieldEncoding
  /// The width that Appendix B's table declares.
  public var width: VMCSFieldWidth
  /// The type that Appendix B's table declares.
  public var type: VMCSFieldType
  /// Whether the field is VM-exit information, which `VMCSField` does not let be written.
  public var isReadOnly: Bool
  /// What names the value's bits.
  public var valueType: ValueType
  /// When the field exists.
  public var condition: VMCSFieldCondition
  /// The SDM's name of the field.
  public var title: StaticString

  init(
    _ name: StaticString, _ encoding: UInt32, _ width: VMCSFieldWidth, _ type: VMCSFieldType, isReadOnly: Bool,
    _ valueType: ValueType, _ condition: VMCSFieldCondition, _ title: StaticString
  ) {
    self.name = name
    self.encoding = VMCSFieldEncoding(rawValue: encoding)
    self.width = width
    self.type = type
    self.isReadOnly = isReadOnly
    self.valueType = valueType
    self.condition = condition
    self.title = title
  }

  /// Describes the field at `index` in the SDM's order, which is that of the encodings; `index` is below `count`.
  public init(at index: Int) { self = Self.description(at: index) }

  /// Describes the field with `encoding`; nil if the SDM defines none, and for the encoding of a high half.
  public init?(encoding: VMCSFieldEncoding) {
    guard let index = Self.index(of: encoding) else { return nil }
    self.init(at: index)
  }

  /// Describes the field with the name of its Swift property, in UTF-8; nil if there is none.
  public init?(name: some Collection<UInt8>) {
    for index in 0..<Self.count {
      let field = Self(at: index)
      let isEqual = field.name.withUTF8Buffer { utf8 in
        utf8.count == name.count && zip(utf8, name).allSatisfy { $0 == $1 }
      }
      if isEqual {
        self = field
        return
      }
    }
    return nil
  }

  /// The position of the field with `encoding` in the SDM's order; nil if the SDM defines none.
  public static func index(of encoding: VMCSFieldEncoding) -> Int? {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      let found = UInt32(self.encoding(at: middle))
      if found == encoding.rawValue { return middle }
      if found < encoding.rawValue { low = middle + 1 } else { high = middle }
    }
    return nil
  }

  /// Every field, in the SDM's order.
  @inlinable public static var all: VMCSFieldDescriptions { VMCSFieldDescriptions() }
}

/// Every field of the VMCS in the order of the SDM's Appendix B.
@frozen
public struct VMCSFieldDescriptions: RandomAccessCollection, Sendable {
  @inlinable init() {}
  /// Always 0.
  @inlinable public var startIndex: Int { 0 }
  /// How many fields there are.
  @inlinable public var endIndex: Int { VMCSFieldDescription.count }
  /// The field at `position`, which has to be below `endIndex`.
  public subscript(position: Int) -> VMCSFieldDescription { VMCSFieldDescription(at: position) }
}
