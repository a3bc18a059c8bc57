/// Every row of every format, found by the first byte.
struct DumpRows {
  private(set) var all: [DumpRow] = []
  /// Positions in `all` by first byte, each list in order.
  private var starts: [[Int]] = Array(repeating: [], count: 256)

  init() {
    all += Self.kvmXen
    all += Self.qemu
    all += Self.bhyve
    all += Self.bhyvectl
    all += Self.ddb
    all += Self.xenRaw
    all += Self.other
    all += Self.failures
    for (position, row) in all.enumerated() {
      let first = row.text.utf8Start[0]
      if first == UInt8(ascii: "%") || first == UInt8(ascii: "#") || first == UInt8(ascii: "0") {
        for digit: UInt8 in 0x30...0x39 { starts[Int(digit)].append(position) }
        guard first == UInt8(ascii: "%") else { continue }
        for digit: UInt8 in 0x41...0x46 {
          starts[Int(digit)].append(position)
          starts[Int(digit | 0x20)].append(position)
        }
      } else {
        starts[Int(first)].append(position)
      }
    }
  }

  /// The positions of the rows that a line with this first byte can be.
  func positions(of byte: UInt8) -> [Int] { starts[Int(byte)] }
}
