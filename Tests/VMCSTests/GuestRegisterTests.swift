import Testing
import VMCS

@Suite("Lookups of registers and segments")
struct GuestRegisterTests {
  /// SDM, Appendix B, "Field Encoding in VMCS", typed from there by register.
  static let registers: [GuestRegister: UInt32] = [
    .cr0: 0x6800, .cr3: 0x6802, .cr4: 0x6804, .dr7: 0x681A, .rsp: 0x681C, .rip: 0x681E, .rflags: 0x6820,
    .es: 0x0800, .cs: 0x0802, .ss: 0x0804, .ds: 0x0806, .fs: 0x0808, .gs: 0x080A, .ldtr: 0x080C, .tr: 0x080E,
    .efer: 0x2806, .pdpte0: 0x280A, .pdpte1: 0x280C, .pdpte2: 0x280E, .pdpte3: 0x2810,
    .entryInstructionLength: 0x401A,
  ]

  /// Base, limit and access rights, from there too.
  static let segments: [GuestSegment: (UInt32, UInt32, UInt32?)] = [
    .es: (0x6806, 0x4800, 0x4814), .cs: (0x6808, 0x4802, 0x4816), .ss: (0x680A, 0x4804, 0x4818),
    .ds: (0x680C, 0x4806, 0x481A), .fs: (0x680E, 0x4808, 0x481C), .gs: (0x6810, 0x480A, 0x481E),
    .ldtr: (0x6812, 0x480C, 0x4820), .tr: (0x6814, 0x480E, 0x4822), .gdtr: (0x6816, 0x4810, nil),
    .idtr: (0x6818, 0x4812, nil),
  ]

  @Test("A4 Each register has the SDM's field, or none", arguments: GuestRegister.allCases)
  func register(_ register: GuestRegister) {
    #expect(register.field?.encoding.rawValue == Self.registers[register])
  }

  @Test("A4 The case of the lookup's result says the width of the field", arguments: GuestRegister.allCases)
  func width(_ register: GuestRegister) {
    switch register.field {
    case nil: break
    case .bits16(let field): #expect(field.encoding.width == .bits16)
    case .bits32(let field): #expect(field.encoding.width == .bits32)
    case .bits64(let field): #expect(field.encoding.width.bitWidth == 64)
    }
  }

  @Test("A4 Exactly 21 registers have a field, and all fields differ")
  func count() {
    let encodings = GuestRegister.allCases.compactMap(\.field?.encoding)
    #expect(encodings.count == 21)
    #expect(Set(encodings).count == 21)
  }

  @Test("A4 Each segment has the SDM's fields", arguments: GuestSegment.allCases)
  func segment(_ segment: GuestSegment) throws {
    let expected = try #require(Self.segments[segment])
    #expect(segment.fields.base.encoding.rawValue == expected.0)
    #expect(segment.fields.limit.encoding.rawValue == expected.1)
    #expect(segment.fields.accessRights?.encoding.rawValue == expected.2)
  }

  @Test("A4 A5 No number outside the lists names a register or a segment")
  func total() {
    for number in Int32(-70000)...70000 {
      #expect((GuestRegister(rawValue: number) != nil) == (0..<Int32(GuestRegister.allCases.count)).contains(number))
      #expect((GuestSegment(rawValue: number) != nil) == (0..<10).contains(number))
    }
    for number in [Int32.min, .min + 1, .max - 1, .max] + (0..<31).map({ Int32.min | 1 << $0 }) {
      #expect(GuestRegister(rawValue: number) == nil)
      #expect(GuestSegment(rawValue: number) == nil)
    }
  }
}
