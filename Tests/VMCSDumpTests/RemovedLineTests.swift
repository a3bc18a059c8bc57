import Testing
import VMCS

@testable import VMCSDump

/// A line that is missing takes values away and changes none.
@Suite("Missing lines")
struct RemovedLineTests {
  @Test("Real dumps", arguments: SharedDumps.names)
  func real(name: String) {
    check(SharedDumps.bytes(name))
  }

  @Test("Printed dumps", arguments: DumpWriter.Form.allCases)
  func printed(form: DumpWriter.Form) {
    var random = RandomNumbers(seed: UInt64(form.rawValue))
    let writer = DumpWriter()
    check(writer.text(of: random.dump(of: writer.fields(of: form), as: form), as: form))
  }

  private func check(_ bytes: [UInt8]) {
    let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    let whole = dumps(in: bytes).first
    for removed in lines.indices {
      var rest = lines
      rest.remove(at: removed)
      for dump in dumps(in: Array(rest.joined(separator: [0x0A]))) {
        for index in 0..<VMCSFieldDescription.count {
          guard let value = dump[at: index], value.quality == .exact else { continue }
          #expect(value.bits == whole?[at: index]?.bits, "line \(removed + 1), \(VMCSFieldDescription(at: index).name)")
        }
      }
    }
  }
}
