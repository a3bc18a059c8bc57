import Testing
import VMCS
import VMCSDump

@testable import Explanation

/// What is said of a claim without a state that explains it.
@Suite("Claims")
struct ClaimTests {
  @Test(
    "QEMU's hardware errors",
    arguments: [
      ("0x80000021", "The guest state is invalid, but no check"),
      ("0x80000022", "An entry of the VM-entry MSR-load area"),
      ("0x80000029", "A machine check occurred"), ("0x0", "“Hardware error 0x0” is no VM-instruction error"),
      ("0x4", "VMLAUNCH with a VMCS that has been launched"), ("0x5", "VMRESUME with a VMCS that is not launched"),
      ("0x7", "A control field is invalid, but no check"), ("0x8", "A host-state field is invalid, but no check"),
      ("0x1a", "The VM entry came right after MOV SS"), ("0xc", "VMREAD/VMWRITE from/to unsupported VMCS component"),
      ("0x63", "99 is not a VM-instruction error"),
    ])
  func hardwareError(number: String, headline: String) throws {
    let dump = try #require(dumps(in: "KVM: entry failed, hardware error \(number)\n").first)
    let explanation = Explanation(dump)
    #expect(explanation.headline.hasPrefix(headline))
    #expect(explanation.verdict == .failed)
    #expect(explanation.isConsistent == nil)
  }

  @Test("What one more field would decide is offered where nothing explains the failure")
  func candidates() throws {
    let dump = try #require(sharedDump("bhyve-ia32e-control-partial"))
    let candidates = Explanation(dump).candidates
    #expect(candidates.contains { $0.check.id.description == "guest.cr0.pg-for-ia-32e-mode" })
    #expect(candidates.allSatisfy { dump[$0.missing] == nil })
    #expect(Explanation(try #require(sharedDump("kvm-gdtr-base"))).candidates.isEmpty)
  }

  @Test("An MSR area that is larger than the address space", arguments: ["0x400e", "0x4010", "0x4014"])
  func hugeArea(count: String) throws {
    let text =
      "vmwrite(\(count), 0xffffffff);\nvmwrite(0x2006, 0x1000);\nvmwrite(0x2008, 0x1000);\nvmwrite(0x200a, 0x1000);\n"
    let dump = try #require(dumps(in: text).first)
    for sizes in [
      "", "address sizes : 32 bits physical, 48 bits virtual\n", "address sizes : 36 bits physical, 48 bits virtual\n",
    ] {
      let explanation = Explanation(dump, known: CapabilityText(Array(sizes.utf8)).known)
      #expect(explanation.failed.contains { $0.check.id.description.hasSuffix("last-byte") } == !sizes.isEmpty)
    }
  }

  @Test("An AMD processor's VMCB is named as such")
  func vmcb() throws {
    let text = "[ 1.0] kvm_amd: VMCB 00000000a, last attempted VMRUN on CPU 3\n[ 1.0] kvm_amd: VMCB Control Area:\n"
    let explanation = Explanation(try #require(dumps(in: text).first))
    #expect(explanation.verdict == .unusable)
    #expect(explanation.headline.contains("AMD"))
  }

  @Test("What fails but was not reported is said to be inconsistent")
  func inconsistent() throws {
    let text = """
      KVM: entry failed, hardware error 0x8
      RIP=ffffffffada37453 RFL=00000200 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
      CR0=80050033 CR2=00007fa443039008 CR3=000000014021e003 CR4=00370ee0
      """
    let explanation = Explanation(try #require(dumps(in: text).first))
    #expect(explanation.failed.map(\.check.id.description) == ["guest.rflags.reserved"])
    #expect(explanation.isConsistent == false)
    #expect(explanation.notes.contains { $0.hasPrefix("What fails is not what was reported") })
  }
}

func dumps(in text: String) -> [Dump] { dumps(in: Array(text.utf8)) }

func dumps(in bytes: [UInt8]) -> [Dump] {
  var reader = DumpReader()
  var dumps: [Dump] = []
  bytes.withUnsafeBufferPointer { reader.read($0) { dumps.append($0) } }
  reader.finish { dumps.append($0) }
  return dumps
}
