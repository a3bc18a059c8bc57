import Testing
import VMCS
import VMCSDump
import VMEntryChecks

@testable import Explanation

/// What the commands on fields, dumps and capabilities say.
@Suite("Fields, differences, conversions, capabilities")
struct CommandLogicTests {
  @Test(
    "Fields by what people call them",
    arguments: [
      ("guestRIP", 0x681E), ("GUEST_RIP", 0x681E), ("Guest RIP", 0x681E), ("0x681e", 0x681E),
      ("GUEST_CS_AR_BYTES", 0x4816),
      ("GUEST_CS_SELECTOR", 0x802), ("exit reason", 0x4402), ("EPT_POINTER", 0x201A), ("GUEST_EFER", 0x2806),
      ("VMCS_LINK_POINTER", 0x2800),
    ] as [(String, UInt32)])
  func field(name: String, encoding: UInt32) {
    #expect(FieldReference.field(name)?.encoding.rawValue == encoding)
  }

  @Test("What is no field", arguments: ["", "0x", "0x1", "0x681f", "0x10000681e", "guest", "nonsense"])
  func noField(name: String) { #expect(FieldReference.field(name) == nil) }

  @Test("Every field is found by its name, title and encoding", arguments: VMCSFieldDescription.all.map(\.encoding))
  func everyField(encoding: VMCSFieldEncoding) throws {
    let field = try #require(VMCSFieldDescription(encoding: encoding))
    for text in ["\(field.name)", "\(field.title)", String(hexadecimal: UInt64(encoding.rawValue))] {
      #expect(FieldReference.field(text)?.encoding == encoding, "\(text)")
    }
    #expect(field.details.contains("\(field.title)"))
  }

  @Test(
    "Values that do not fit or are not written so",
    arguments: [
      "guestCSSelector=0x10000", "guestRFLAGS", "guestRFLAGS=", "=1", "guestRFLAGS=x",
      "guestRFLAGS=0x10000000000000000",
    ])
  func undecodable(text: String) { #expect(DecodedField(text) == nil) }

  @Test("Decoded values")
  func decoded() throws {
    let text = try #require(DecodedField("VM_ENTRY_INTR_INFO_FIELD=1") ?? DecodedField("0x4016=0x800000d1"))
      .text(style: Style(hasColours: false))
    #expect(text.contains("external interrupt 0xd1"))
    #expect(try #require(DecodedField("exitReason=0x80000021")).json.text.contains("\"skep.decode/1\""))
  }

  @Test("A dump and itself are the same, a changed bit is named")
  func difference() throws {
    let dump = try #require(sharedDump("kvm-healthy"))
    #expect(DumpDifference(dump, dump).changes.isEmpty)
    var other = dump
    other[VMCSField.guestRFLAGS.encoding]?.bits ^= 1 << 9
    let text = DumpDifference(dump, other).text(style: Style(hasColours: false))
    #expect(text.contains("if  ") && text.contains("1 → 0"))
    #expect(DumpDifference(dump, other).changes.count == 1)
  }

  @Test(
    "The table and the VMWRITEs of a dump are read back", arguments: ["kvm-healthy", "xen-healthy", "haxm-partial"])
  func readBack(name: String) throws {
    let dump = try #require(sharedDump(name))
    let conversion = DumpConversion(dump)
    for (text, isWritable) in [
      (conversion.table(file: nil, style: Style(hasColours: false)), false), (conversion.vmwrites, true),
    ] {
      let read = try #require(dumps(in: text).first)
      for field in VMCSFieldDescription.all where !(isWritable && field.isReadOnly) {
        #expect(read.contents(of: field.encoding) == dump.contents(of: field.encoding), "\(field.name)")
      }
    }
  }

  @Test("Capabilities as they are printed are read back")
  func capabilities() {
    var capabilities = EntryCapabilities()
    for capability in EntryCapability.allCases {
      let isRegister = if case .cpuid = capability.source { true } else { false }
      capabilities[capability] = UInt64(capability.rawValue) &* 0x0123_4567_89AB_CDEF & (isRegister ? 0xFFFF_FFFF : ~0)
    }
    let report = CapabilityReport(KnownCapabilities(capabilities))
    for text in [report.text(style: Style(hasColours: false)), report.json.text] {
      let read = CapabilityText(Array(text.utf8)).capabilities
      for capability in EntryCapability.allCases {
        #expect(read[capability] == capabilities[capability], "\(capability)")
      }
    }
  }

  @Test(
    "Other texts with capabilities",
    arguments: [
      ("0x480 0xda040000000004", EntryCapability.ia32VMXBASIC, 0xDA_0400_0000_0004),
      ("480: da040000000004", .ia32VMXBASIC, 0xDA_0400_0000_0004),
      ("IA32_VMX_MISC = 7004c1e7", .ia32VMXMISC, 0x7004_C1E7),
      ("address sizes\t: 39 bits physical, 48 bits virtual", .cpuid80000008EAX, 0x3027),
    ] as [(String, EntryCapability, UInt64)])
  func capabilityTexts(text: String, capability: EntryCapability, value: UInt64) {
    #expect(CapabilityText(Array(text.utf8)).known.exact[capability] == value)
  }

  @Test("JSON escapes what it has to")
  func json() {
    #expect(JSONValue.string("a\"\\\n\u{1}\u{7F}é").text == "\"a\\\"\\\\\\n\\u0001\\u007fé\"")
    #expect(JSONValue.object([("a", .array([.null, .boolean(true), .number(7)]))]).text == "{\"a\":[null,true,7]}")
  }
}
