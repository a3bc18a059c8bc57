/// What the command line says, as words `name=number`: which states are run.
struct ProbeOptions {
  var seed: UInt64 = 1
  var first: UInt64 = 0
  var count: UInt64 = 1000

  init(parsing line: UnsafeMutableRawBufferPointer) {
    var rest = line[...]
    while !rest.isEmpty {
      let word = rest.prefix { $0 != 0x20 }
      rest = rest[word.endIndex...].drop { $0 == 0x20 }
      let name = word.prefix { $0 != UInt8(ascii: "=") }
      var value: UInt64 = 0
      for digit in word[name.endIndex...].dropFirst() where digit >= 0x30 && digit <= 0x39 {
        value = value &* 10 &+ UInt64(digit - 0x30)
      }
      if Self.isEqual(name, "seed") { seed = value }
      if Self.isEqual(name, "first") { first = value }
      if Self.isEqual(name, "count") { count = value }
    }
  }

  private static func isEqual(_ word: Slice<UnsafeMutableRawBufferPointer>, _ text: StaticString) -> Bool {
    word.elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }
}
