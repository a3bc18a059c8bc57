/// A state as a base and what is changed in it, up to four fields.
public struct ProbeCase: Sendable {
  /// One field's new value.
  public struct Mutation: Sendable {
    /// The field's index in the specification.
    public var field: Int
    /// The value, in the field's width.
    public var value: UInt64
  }

  /// The state that it is made from.
  public var base: ProbeBase
  /// How the VM entry is attempted.
  public var entry = ProbeEntry.regular
  /// How many of `mutations` there are.
  public private(set) var count = 0
  /// The changes; a later one of the same field counts.
  public private(set) var mutations: InlineArray<4, Mutation>

  /// Makes a case with nothing changed.
  init(_ base: ProbeBase) {
    self.base = base
    mutations = InlineArray(repeating: Mutation(field: 0, value: 0))
  }

  /// Adds a change; the fifth is dropped.
  mutating func append(_ field: Int, _ value: UInt64) {
    if count == 4 { return }
    mutations[count] = Mutation(field: field, value: value)
    count += 1
  }

  /// The value that the case gives the field at `index` so far, if it changes it.
  func value(of field: Int) -> UInt64? {
    var result: UInt64?
    for position in 0..<count where mutations[position].field == field { result = mutations[position].value }
    return result
  }
}
