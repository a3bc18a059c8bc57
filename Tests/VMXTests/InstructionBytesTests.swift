import Testing
import VMCS

@testable import VMX

extension InstructionBytes {
  /// The first of at least 16 bytes.
  init(_ bytes: [UInt8], count: Int) {
    func quadword(_ start: Int) -> UInt64 { bytes[start..<start + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    self.init(low: quadword(0), high: quadword(8), count: count)
  }
}

@Suite struct InstructionBytesTests {
  @Test("Each byte is what memory has, and those from the count on are 0", arguments: -1..<18)
  func bytes(count: Int) {
    let memory = (1...16).map { UInt8($0) }
    let bytes = InstructionBytes(memory, count: count)
    let kept = min(max(count, 0), 15)
    #expect(bytes.count == kept)
    for index in 0..<40 {
      #expect(bytes[index] == (index < kept ? memory[index] : 0))
      for byte in 0..<8 {
        let expected = index + byte < kept ? memory[index + byte] : 0
        #expect(UInt8(truncatingIfNeeded: bytes.quadword(at: index) >> UInt64(8 * byte)) == expected)
      }
      #expect(bytes.prefix(index) == InstructionBytes(memory, count: min(index, kept)))
    }
  }
}
