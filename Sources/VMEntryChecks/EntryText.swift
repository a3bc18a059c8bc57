import VMCS

/// A text without a heap, in which "%" stands for the name of a register.
///
/// Rules that the SDM gives for several registers are written once, so their texts are too.
@frozen
public struct EntryText: Sendable {
  var template: StaticString
  var name: StaticString
  /// Whether the name is written in lower case, as identifiers are.
  var isLowercased: Bool
  /// What follows after a space; nothing if it is empty.
  var suffix: StaticString = ""

  /// The length of the text in bytes.
  public var count: Int {
    var counter = Counter()
    write(to: &counter)
    return counter.count
  }

  /// Writes the text, which is UTF-8, to `output`.
  public func write<Output: ByteOutput>(to output: inout Output) {
    for index in 0..<template.utf8CodeUnitCount {
      let byte = template.utf8Start[index]
      if byte != UInt8(ascii: "%") {
        output.write(byte)
        continue
      }
      for position in 0..<name.utf8CodeUnitCount {
        let byte = name.utf8Start[position]
        output.write(isLowercased && byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte)
      }
    }
    if suffix.utf8CodeUnitCount == 0 { return }
    output.write(" ")
    output.write(suffix)
  }

  /// Whether the text is `bytes`.
  public func isEqual(to bytes: some Collection<UInt8>) -> Bool {
    var comparison = Comparison(rest: bytes[...], isEqual: true)
    write(to: &comparison)
    return comparison.isEqual && comparison.rest.isEmpty
  }

  private struct Counter: ByteOutput {
    var count = 0
    mutating func write(_ byte: UInt8) { count += 1 }
  }

  private struct Comparison<Rest: Collection<UInt8>>: ByteOutput where Rest.SubSequence == Rest {
    var rest: Rest
    var isEqual: Bool
    mutating func write(_ byte: UInt8) { isEqual = isEqual && rest.popFirst() == byte }
  }
}

#if !hasFeature(Embedded)
  extension EntryText: CustomStringConvertible {
    /// The text.
    public var description: String {
      struct Bytes: ByteOutput {
        var bytes: [UInt8] = []
        mutating func write(_ byte: UInt8) { bytes.append(byte) }
      }
      var output = Bytes()
      write(to: &output)
      return String(decoding: output.bytes, as: UTF8.self)
    }
  }
#endif
