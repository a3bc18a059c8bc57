import Glibc
import Testing
import VMCSDump
import VMEntryChecks

@testable import Explanation

/// What is said of the real dumps is what the README beside them says.
@Suite("Real dumps explained")
struct SharedDumpExplanationTests {
  struct Expectation: CustomTestStringConvertible {
    let name: String
    let verdict: Explanation.Verdict
    /// The checks that fail, in order.
    var failed: [String] = []
    /// What the headline has.
    let headline: String
    var testDescription: String { name }
  }

  static let expectations: [Expectation] = [
    Expectation(
      name: "bhyve-ia32e-control-partial", verdict: .failed,
      headline: "“IA-32e mode guest” is 1, so CR0.PG, CR4.PAE and IA32_EFER.LMA of the guest must be 1"),
    Expectation(name: "haxm-partial", verdict: .undecided, headline: "Nothing that can be decided"),
    Expectation(
      name: "kvm-external-interrupt-if-0-partial", verdict: .failed, failed: ["guest.rflags.if-for-external-interrupt"],
      headline: "RFLAGS.IF is 0 but the entry injects external interrupt 0xd1"),
    Expectation(
      name: "kvm-gdtr-base", verdict: .failed,
      failed: [
        "guest.gdtr.base.canonical", "guest.tr.access-rights.p", "guest.tr.access-rights.g-set",
        "guest.tr.access-rights.unusable", "guest.tr.access-rights.type", "guest.rflags.if-for-external-interrupt",
      ],
      headline: "Guest GDTR base 0x001f000000000200 is not a canonical address"),
    Expectation(name: "kvm-hardware-error-0-partial", verdict: .undecided, headline: "Nothing that can be decided"),
    Expectation(name: "kvm-healthy", verdict: .healthy, headline: "Nothing is wrong"),
    Expectation(
      name: "kvm-sti-blocking-after-smi", verdict: .failed, failed: ["guest.interruptibility-state.sti-if"],
      headline: "There is blocking by STI but RFLAGS.IF is 0"),
    Expectation(
      name: "qemu-registers-error-5", verdict: .failed, headline: "VMRESUME with a VMCS that is not launched"),
    Expectation(name: "qemu-registers-partial", verdict: .failed, headline: "The guest state is invalid, but no check"),
    Expectation(
      name: "xen-cr3-bit-63-partial", verdict: .failed, failed: ["guest.cr3.reserved"],
      headline: "Guest CR3 is 0x800000001a02f080, with bit 63 set"),
    Expectation(name: "xen-healthy", verdict: .healthy, headline: "Nothing is wrong"),
    Expectation(name: "xen-msr-load", verdict: .failed, headline: "Entry 2 of the VM-entry MSR-load area, MSR 0x1dd"),
    Expectation(
      name: "xen-msr-load-partial", verdict: .failed, headline: "Entry 4 of the VM-entry MSR-load area, MSR 0x680"),
    Expectation(
      name: "xen-nested-vmlaunch-error-7", verdict: .failed,
      failed: ["control.event-injection.deliver-error-code.set"], headline: "#GP is injected without an error code"),
  ]

  @Test("QEMU's registers in real mode")
  func realMode() throws {
    let text = """
      KVM: entry failed, hardware error 0x80000021
      EAX=00000000 EBX=00000000 ECX=00000000 EDX=000206a7
      EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
      CS =f000 ffff0000 0000ffff 00009b00
      CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000
      """
    let explanation = Explanation(try #require(dumps(in: text).first))
    #expect(explanation.notes.contains { $0.hasPrefix("The guest is in real mode") })
    #expect(explanation.failed.isEmpty)
  }

  @Test("Verdict, failed checks and headline", arguments: expectations)
  func explained(expected: Expectation) throws {
    let dump = try #require(sharedDump(expected.name))
    let explanation = Explanation(dump)
    #expect(explanation.verdict == expected.verdict)
    #expect(explanation.failed.map(\.check.id.description) == expected.failed)
    #expect(explanation.headline.contains(expected.headline))
    if !expected.failed.isEmpty { #expect(explanation.isConsistent != false) }
    #expect(explanation.text(file: nil, style: Style(hasColours: false)).contains(explanation.headline))
  }
}

/// The only dump in a file of the dumps' folder.
func sharedDump(_ name: String) -> Dump? {
  let all = dumps(in: sharedBytes(name))
  return all.count == 1 ? all[0] : nil
}

/// A file of the dumps' folder.
func sharedBytes(_ name: String) -> [UInt8] {
  let tests = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
  guard let file = fopen("/\(tests)/VMCSDumpTests/Dumps/\(name).txt", "r") else { return [] }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  while case let byte = getc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
  return bytes
}
