import Testing
import VMCS

@testable import VMCSDump

/// What is printed in a form is read back without loss.
@Suite("Print and read back")
struct RoundTripTests {
  @Test("Random states", arguments: DumpWriter.Form.allCases, 0..<20 as Range<UInt64>)
  func roundTrip(form: DumpWriter.Form, seed: UInt64) throws {
    var random = RandomNumbers(seed: seed &* 64 &+ UInt64(form.rawValue))
    let writer = DumpWriter()
    let printed = random.dump(of: writer.fields(of: form), as: form)
    let text = writer.text(of: printed, as: form)
    let all = dumps(in: text)
    let read = try #require(all.first)
    #expect(all.count == 1, "\(String(decoding: text, as: UTF8.self))")
    let (before, after) = (printed.allValues, read.allValues)
    let lost = before.filter { after[$0.key] != $0.value }.map(\.key) + after.keys.filter { before[$0] == nil }
    #expect(lost.sorted() == [])
    #expect(read.unread.map { String(decoding: $0.text, as: UTF8.self) } == [])
    #expect(!read.isInterleaved)
  }

  @Test("Every form has fields", arguments: DumpWriter.Form.allCases)
  func fields(form: DumpWriter.Form) {
    let fields = DumpWriter().fields(of: form)
    #expect(fields.count >= 29)
    #expect(Set(fields).count == fields.count)
  }
}

/// Random numbers that are the same in every run.
struct RandomNumbers: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed &+ 0x9E37_79B9_7F4A_7C15 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }

  /// Values for fields, as far as a form prints them.
  mutating func dump(of fields: [VMCSFieldEncoding], as form: DumpWriter.Form) -> Dump {
    var dump = Dump(format: .kvm, line: 1)
    for field in fields {
      var bits = next() >> UInt64(64 - field.width.bitWidth)
      // Often small, as real ones are.
      if next() & 3 == 0 { bits &= 0xFF }
      if form == .qemu {
        // QEMU prints access rights as a descriptor has them, and these three in 32 bits.
        let isAccessRights =
          field >= VMCSField.guestESAccessRights.encoding && field <= VMCSField.guestTRAccessRights.encoding
        if isAccessRights { bits = bits & 0xF0FF | 0x80 }
        let isShort: [VMCSFieldEncoding] = [
          VMCSField.guestCR0.encoding, VMCSField.guestCR4.encoding, VMCSField.guestRFLAGS.encoding,
        ]
        if isShort.contains(field) { bits &= 0xFFFF_FFFF }
      }
      dump[field] = DumpValue(bits: bits, line: 1, quality: .exact)
    }
    return dump
  }
}
