import Testing
import VMCS
import VMCSDump
import VMEntryChecks

@testable import Explanation

/// VMREADs, VMWRITEs and other VMX instructions that hypervisors say have failed.
@Suite("Failed instructions")
struct InstructionFailureTests {
  @Test(
    "What failed and why, in the spelling of all ages",
    arguments: [
      (
        "[ 1.0] kvm: vmwrite failed: field=2032 val=0 err=12",
        "VMWRITE of 0x0 to “TSC multiplier” (tscMultiplier, 0x2032) failed: VM-instruction error 12, VMREAD/VMWRITE from/to "
          + "unsupported VMCS component. The field is there only where “Use TSC scaling” can be 1: this one cannot have it."
      ),
      ("kvm_intel: vmread failed: field=2018", "VMREAD of “VM-function controls” (vmFunctionControls, 0x2018) failed."),
      ("kvm_intel: vmread error: field=2018", "VMREAD of “VM-function controls” (vmFunctionControls, 0x2018) failed."),
      ("vmwrite error: reg 6c08 value 1 (err 12)", "VMWRITE of 0x1 to “Host GS base” (hostGSBase, 0x6c08) failed"),
      (
        "vmwrite error: reg 6c08 value 1 (err -1)",
        "VMWRITE of 0x1 to “Host GS base” (hostGSBase, 0x6c08) failed. Every"
      ),
      (
        "vmwrite error: reg 4402 value 5 (err 13)",
        "The field is read-only, and VMWRITE to such needs IA32_VMX_MISC bit 29."
      ),
      ("vmwrite failed: field=800 val=12345 err=12", "The value has more than the field's 16 bits"),
      ("vmwrite failed: field=2033 val=0 err=12", "the high half of “TSC multiplier” (tscMultiplier, 0x2033)"),
      ("vmread failed: field=7ffe", "VMREAD of 0x7ffe failed. No field that the SDM defines has this encoding."),
      ("vmclear fail: ffff880012345678/12345000", "VMCLEAR of the VMCS at 0x12345000 failed. The address"),
      (
        "vmclear failed: (____ptrval____)/12345000 err=2",
        "VMCLEAR of the VMCS at 0x12345000 failed: VM-instruction error 2, VMCLEAR with invalid physical address."
      ),
      ("kvm: vmptrld ffff880012345678/12345000 failed", "VMPTRLD of the VMCS at 0x12345000 failed. The address"),
      (
        "vmptrld failed: 00000000aabbccdd/12345000 err=11",
        "VMPTRLD of the VMCS at 0x12345000 failed: VM-instruction error 11, VMPTRLD with incorrect VMCS revision identifier."
      ),
      ("kvm_intel: invept failed: ext=0x2 eptp=0", "INVEPT of type 2 failed."),
      ("kvm: invvpid failed: ext=0x1 vpid=3 gva=0x0", "INVVPID of type 1 failed."),
      (
        "vmwrite(4816, ffffffff) error 1",
        "VMWRITE of 0xffffffff to “Guest CS access rights” (guestCSAccessRights, 0x4816) failed: there was no"
      ),
      ("vmread(681e) error 2", "VMREAD of “Guest RIP” (guestRIP, 0x681e) failed."),
    ])
  func sentence(line: String, text: String) throws {
    let dumps = dumps(in: "before\n" + line + "\nafter\n")
    let explanation = Explanation(try #require(dumps.first))
    #expect(dumps.count == 1)
    #expect(explanation.headline.contains(text), "\(explanation.headline)")
    #expect(explanation.verdict == .failed)
    #expect(explanation.dump.failures.map(\.line) == [2])
    #expect(explanation.json(file: nil).text.contains("\"kind\":\"instruction\""))
  }

  @Test("The processor's capabilities say whether it has the field")
  func existence() throws {
    let dump = try #require(dumps(in: "kvm_intel: vmwrite failed: field=2032 val=0 err=12\n").first)
    for (flags, text) in [
      ("ept vpid", "which it cannot on this processor"), ("ept tsc_scaling", "which it can on this"),
    ] {
      let known = CapabilityText(Array("vmx flags\t: \(flags)\n".utf8)).known
      #expect(Explanation(dump, known: known).headline.contains(text))
    }
  }

  @Test("Every field of the SDM is named", arguments: VMCSFieldDescription.all.map(\.encoding))
  func everyField(encoding: VMCSFieldEncoding) throws {
    let line = "kvm: vmwrite failed: field=\(String(encoding.rawValue, radix: 16)) val=0 err=12\n"
    let headline = Explanation(try #require(dumps(in: line).first)).headline
    #expect(headline.contains(encoding.title))
  }

  @Test("A failure inside a dump of KVM, with a stack trace, does not divide the dump")
  func insideDump() throws {
    var lines = String(decoding: sharedBytes("kvm-healthy"), as: UTF8.self).split(separator: "\n").map(String.init)
    let whole = try #require(sharedDump("kvm-healthy"))
    let trace = (0..<60).map { "[ 2311.4] kvm_intel:  ? something+0x\($0)/0x100" }
    lines.insert(
      contentsOf: ["[ 2311.4] kvm_intel: vmread failed: field=2032"] + trace
        + ["[ 2311.4] kvm_intel: vmread failed: field=2032"], at: 20)
    let read = dumps(in: lines.joined(separator: "\n"))
    try #require(read.count == 1)
    for field in VMCSFieldDescription.all {
      #expect(read[0][field.encoding]?.bits == whole[field.encoding]?.bits)
    }
    #expect(read[0].failures.count == 1)
    #expect(Explanation(read[0]).notes.contains { $0.hasPrefix("Line 21: VMREAD of “TSC multiplier”") })
  }

  @Test("Skep's report of an entry that failed")
  func ownReport() throws {
    let text = """
      VM entry failed: VM-instruction error 8, VM entry with invalid host-state field(s)
      the checks that failed, in the order in which the processor makes them:
      host.tr.base.canonical
        The TR base contains a canonical address.
        Host TR base is 0x00008000001a8030; the smallest change makes it 0xffff8000001a8030
        SDM, "Checks on Host Segment and Descriptor-Table Registers"
        VMfailValid, VM-instruction error 8
      1 failed; 0 could not be decided, since they are about what this processor does not have
      RAX 0x0000000000000000  RBX 0x0000000000000000  RCX 0x0000000000000000  RDX 0x0000000000000600
      """
    let explanation = Explanation(try #require(dumps(in: text).first))
    #expect(explanation.headline.hasPrefix("Host TR base 0x00008000001a8030 is not a canonical address"))
    #expect(explanation.dump.unreadCount == 0)
  }

  @Test("Skep's report of an instruction that failed")
  func ownPanic() throws {
    let text = """
      instruction           VMWRITE: VMfailValid (ZF = 1)
      field                 0x4402 Exit reason
      value                 0x5
      VM-instruction error  13: VMWRITE to read-only VMCS component
      current VMCS          0x1000
      """
    let failures = try #require(dumps(in: text).first).failures
    #expect(failures.count == 1)
    #expect(failures.first?.operand == 0x4402 && failures.first?.value == 5 && failures.first?.error == 13)
  }

  @Test(
    "What FreeBSD's debugger prints of events",
    arguments: [
      ("external  Vector: 32", 0x8000_0020), ("NMI  Vector: 2", 0x8000_0202),
      ("HW exception  Vector: 14  Error Code: 2", 0x8000_0B0E), ("SW exception  Vector: 3", 0x8000_0403),
      ("?? 6  Vector: 4", 0x8000_0604),
    ] as [(String, UInt64)])
  func debuggerEvents(text: String, information: UInt64) throws {
    let dump = try #require(
      dumps(in: "VMCS: 1000\nExit Reason: 0\nInterrupt Type: \(text)\nVM-instruction error: 0\n").first)
    #expect(dump[VMCSField.vmExitInterruptionInformation.encoding]?.bits == information)
    #expect(dump.unreadCount == 0)
    #expect(Explanation(dump).decodedLines.contains { $0.0 == "exits with" })
    // Bit 12 is not printed, so this is not the field.
    #expect(dump.contents(of: VMCSField.vmExitInterruptionInformation.encoding) == nil)
  }

  @Test("What FreeBSD's debugger prints of an entry that failed")
  func debuggerEntryFailure() throws {
    let text = "VMCS: 1000\nEntry Failure Reason: 33\nQualification: 0\nVM-instruction error: 0x7\n"
    #expect(Explanation(try #require(dumps(in: text).first)).claim == .exit(ExitReason(rawValue: 0x8000_0021)))
  }
}
