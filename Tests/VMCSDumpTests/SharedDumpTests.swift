import Testing
import VMCS

@testable import VMCSDump

/// What is read of the real dumps.
@Suite("Real dumps")
struct SharedDumpTests {
  struct Expectation: CustomTestStringConvertible {
    let name: String
    let format: DumpFormat
    let lines: ClosedRange<UInt64>
    let values: Int
    let unread: Int
    var claims: [DumpClaim.Kind] = []
    var testDescription: String { name }
  }

  // The counts were made by hand from the files, not by the reader: values are the numbers printed for fields.
  static let expectations: [Expectation] = [
    Expectation(
      name: "bhyve-ia32e-control-partial", format: .bhyve, lines: 1...14, values: 8, unread: 0, claims: [.exitReason]),
    Expectation(name: "haxm-partial", format: .haxm, lines: 1...14, values: 14, unread: 1),
    Expectation(name: "kvm-external-interrupt-if-0-partial", format: .kvm, lines: 6...17, values: 18, unread: 0),
    Expectation(name: "kvm-gdtr-base", format: .kvm, lines: 1...45, values: 106, unread: 0),
    Expectation(name: "kvm-hardware-error-0-partial", format: .kvm, lines: 1...14, values: 32, unread: 0),
    Expectation(name: "kvm-healthy", format: .kvm, lines: 1...49, values: 110, unread: 0),
    Expectation(
      name: "kvm-sti-blocking-after-smi", format: .kvm, lines: 1...49, values: 110, unread: 0, claims: [.hardwareError]),
    Expectation(
      name: "qemu-registers-error-5", format: .qemu, lines: 1...21, values: 44, unread: 0, claims: [.hardwareError]),
    Expectation(
      name: "qemu-registers-partial", format: .qemu, lines: 1...34, values: 36, unread: 2, claims: [.hardwareError]),
    Expectation(
      name: "xen-cr3-bit-63-partial", format: .xen, lines: 1...20, values: 48, unread: 0, claims: [.exitReason]),
    Expectation(name: "xen-healthy", format: .xen, lines: 1...55, values: 108, unread: 0),
    Expectation(
      name: "xen-msr-load", format: .xen, lines: 1...52, values: 108, unread: 0,
      claims: [.exitReason, .msrLoadEntryFrom0]),
    Expectation(
      name: "xen-msr-load-partial", format: .xen, lines: 1...2, values: 0, unread: 0,
      claims: [.exitReason, .msrLoadEntryFrom0]),
    Expectation(
      name: "xen-nested-vmlaunch-error-7", format: .xen, lines: 3...61, values: 109, unread: 8,
      claims: [.instructionError]),
  ]

  @Test("Each is one dump, read whole", arguments: expectations)
  func whole(expected: Expectation) throws {
    let all = dumps(in: SharedDumps.bytes(expected.name))
    let dump = try #require(all.first)
    #expect(all.count == 1)
    #expect(dump.format == expected.format)
    #expect(dump.firstLine...dump.lastLine == expected.lines)
    #expect(dump.valueCount == expected.values)
    #expect(dump.unreadCount == expected.unread)
    #expect(dump.claims.map(\.kind) == expected.claims)
    #expect(!dump.isInterleaved)
  }

  @Test("The pieces in which the text comes do not matter", arguments: SharedDumps.names, [1, 7, 100])
  func pieces(name: String, step: Int) {
    let bytes = SharedDumps.bytes(name)
    let (whole, pieces) = (dumps(in: bytes), dumps(in: bytes, step: step))
    #expect(whole.map(\.allValues) == pieces.map(\.allValues))
    #expect(whole.map(\.unread) == pieces.map(\.unread))
    #expect(whole.map(\.claims) == pieces.map(\.claims))
  }

  @Test("Values and their lines")
  func values() throws {
    let dump = try #require(dumps(in: SharedDumps.bytes("kvm-gdtr-base")).first)
    #expect(dump[.guestCR0] == DumpValue(bits: 0x8000_0031, line: 2, quality: .exact))
    // These lines were wrapped by a mailer.
    #expect(dump[.cr0GuestHostMask] == DumpValue(bits: 0xFFFF_FFFF_FFFF_FFF7, line: 3, quality: .exact))
    #expect(dump[.guestGDTRBase] == DumpValue(bits: 0x001F_0000_0000_0200, line: 18, quality: .exact))
    #expect(dump[.guestTRAccessRights]?.bits == 0x10021)
    #expect(dump[.hostRIP]?.bits == 0xFFFF_FFFF_C09A_444F)
    #expect(dump[.guestRIP]?.bits == 0x103C00)
    #expect(dump[.hostIA32EFER]?.bits == 0xD01)
    #expect(dump[.guestIA32EFER]?.bits == 0x500)
    #expect(dump[.exitReason]?.bits == 0x8000_0021)
    #expect(dump[.virtualProcessorIdentifier]?.bits == 0x21)
  }
}
