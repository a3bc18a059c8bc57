import Testing
import VMCSDump

@testable import Explanation

/// Healthy dumps with one thing broken, as bug reports have it: the headline is what somebody would say who knows.
@Suite("Broken dumps")
struct BrokenDumpTests {
  struct Broken: CustomTestStringConvertible {
    let testDescription: String
    let base: String
    let changes: [(old: String, new: String)]
    let claim: Claimed
    /// The first check that fails.
    let check: String
    let headline: String
  }

  /// What the dump says happened.
  enum Claimed {
    case guestState
    case error(Int)
  }

  private static func kvm(
    _ name: String, _ claim: Claimed, _ check: String, _ headline: String,
    _ changes: (old: String, new: String)...
  ) -> Broken {
    Broken(testDescription: name, base: "kvm-healthy", changes: changes, claim: claim, check: check, headline: headline)
  }

  private static func xen(
    _ name: String, _ claim: Claimed, _ check: String, _ headline: String,
    _ changes: (old: String, new: String)...
  ) -> Broken {
    Broken(testDescription: name, base: "xen-healthy", changes: changes, claim: claim, check: check, headline: headline)
  }

  private static let cs = "CS:   sel=0x0010, attr=0x0a09b, limit=0xffffffff, base=0x0000000000000000"
  private static let ss = "SS:   sel=0x0000, attr=0x1c000, limit=0xffffffff, base=0x0000000000000000"
  private static let outsideIA32eMode = (old: "EntryControls=000053ff", new: "EntryControls=000051ff")
  private static let lowRIP = (old: "RIP = 0xffffffff828e3a0c", new: "RIP = 0x00000000000e3a0c")

  static let guestRegisters: [Broken] = [
    kvm(
      "real mode without unrestricted guest", .guestState, "guest.cr0.fixed-bits",
      "CR0.PE and CR0.PG of the guest are 0 but “unrestricted guest” is 0",
      ("CR0: actual=0x0000000080050033", "CR0: actual=0x0000000000000030"), outsideIA32eMode, lowRIP,
      ("SecondaryExec=0x061017fa", "SecondaryExec=0x0610177a"),
      ("CR4: actual=0x0000000000752ef0", "CR4: actual=0x0000000000002040"),
      (cs, "CS:   sel=0xf000, attr=0x0009b, limit=0x0000ffff, base=0x00000000ffff0000")),
    kvm(
      "paging off in IA-32e mode", .guestState, "guest.cr0.pg-for-ia-32e-mode",
      "“IA-32e mode guest” is 1 but CR0.PG of the guest is 0",
      ("CR0: actual=0x0000000080050033", "CR0: actual=0x0000000000050033")),
    kvm(
      "PCIDs outside IA-32e mode", .guestState, "guest.cr4.pcide", "PCIDE is 1, has to be 0",
      ("CR4: actual=0x0000000000752ef0", "CR4: actual=0x0000000000772ef0"), outsideIA32eMode),
    kvm(
      "LMA is not the control", .guestState, "guest.efer.lma",
      "“IA-32e mode guest” is 1 but IA32_EFER.LMA of the guest is 0",
      ("EFER= 0x0000000000000d01 (effective)", "EFER= 0x0000000000000801"),
      ("EntryControls=000053ff", "EntryControls=0000d3ff")),
    kvm(
      "reserved memory type in PAT", .guestState, "guest.pat.memory-types",
      "Guest IA32_PAT 0x0407050600070102: PA0 is 2",
      ("PAT = 0x0407050600070106\n[ 2311.499062]", "PAT = 0x0407050600070102\n[ 2311.499062]")),
    kvm(
      "high half of DR7", .guestState, "guest.dr7.reserved",
      "Guest DR7 is 0x000000010000060a, with bit 32 set that must be 0",
      ("DR7 = 0x000000000000060a", "DR7 = 0x000000010000060a")),
    kvm(
      "reserved bit of RFLAGS", .guestState, "guest.rflags.reserved",
      "Guest RFLAGS is 0x0000000000008286, with bit 15 set",
      ("RFLAGS=0x00000286", "RFLAGS=0x00008286")),
    kvm(
      "bit 1 of RFLAGS", .guestState, "guest.rflags.reserved",
      "Guest RFLAGS 0x0000000000000284: bit 1 is 0, has to be 1",
      ("RFLAGS=0x00000286", "RFLAGS=0x00000284")),
    kvm(
      "RIP is not canonical", .guestState, "guest.rip.high-bits",
      "Guest RIP 0x0fffffff828e3a0c is not a canonical address",
      ("RIP = 0xffffffff828e3a0c", "RIP = 0x0fffffff828e3a0c")),
    kvm(
      "a high RIP in compatibility mode", .guestState, "guest.rip.bits-63-32",
      "Guest RIP 0xffffffff828e3a0c: bits 63:32 are 1",
      (cs, "CS:   sel=0x0010, attr=0x0c09b, limit=0xffffffff, base=0x0000000000000000")),
    kvm(
      "an address for linear addresses of 57 bits", .guestState, "guest.gdtr.base.canonical",
      "Guest GDTR base 0xff11000000001000 is not a canonical address, unless the processor's linear addresses have 57 bits",
      ("base=0xfffffe0000001000", "base=0xff11000000001000")),
    kvm(
      "GDTR limit", .guestState, "guest.gdtr.limit.bits-31-16", "Guest GDTR limit 0x0001007f: bit 16 is 1, has to be 0",
      ("limit=0x0000007f", "limit=0x0001007f")),
    kvm(
      "PDPTE with page-table bits", .guestState, "guest.pdpte0.reserved",
      "Guest PDPTE0 is 0x000000005f18a067, with bits 6:5, 2:1 set that must be 0",
      ("CR4: actual=0x0000000000752ef0", "CR4: actual=0x0000000000002ef0"), outsideIA32eMode, lowRIP,
      (cs, "CS:   sel=0x0010, attr=0x0c09b, limit=0xffffffff, base=0x0000000000000000"),
      ("PDPTR0 = 0x000000005f18a001", "PDPTR0 = 0x000000005f18a067")),
    xen(
      "Xen: paging off", .guestState, "guest.cr0.pg-for-ia-32e-mode",
      "“IA-32e mode guest” is 1 but CR0.PG of the guest is 0",
      ("CR0: actual=0x0000000080000033", "CR0: actual=0x0000000000000010")),
  ]

  static let guestSegments: [Broken] = [
    kvm(
      "CS with D and L", .guestState, "guest.cs.access-rights.db",
      "Guest CS access rights 0x0000e09b: D/B is 1, has to be 0 (D/B (bit 14)",
      (cs, "CS:   sel=0x0010, attr=0x0e09b, limit=0xffffffff, base=0x0000000000000000")),
    kvm(
      "CS is data", .guestState, "guest.cs.access-rights.type",
      "Guest CS access rights 0x0000a091: Segment type is 1, has to be 9",
      (cs, "CS:   sel=0x0010, attr=0x0a091, limit=0xffffffff, base=0x0000000000000000")),
    kvm(
      "TR is not busy", .guestState, "guest.tr.access-rights.type",
      "Guest TR access rights 0x00000089: Segment type is 9, has to be 11",
      ("TR:   sel=0x0040, attr=0x0008b", "TR:   sel=0x0040, attr=0x00089")),
    kvm(
      "virtual-8086 mode with flat segments", .guestState, "guest.cs.base.virtual-8086",
      "RFLAGS.VM is 1, so the guest is in virtual-8086 mode, but 14 values of its segments are not as that mode requires",
      ("RFLAGS=0x00000286", "RFLAGS=0x00020286"), outsideIA32eMode, lowRIP),
    xen(
      "Xen: TR in the LDT", .guestState, "guest.tr.selector.ti",
      "Guest TR selector 0x001c: Table indicator (TI) is 1, has to be 0",
      ("TR: 0018", "TR: 001c")),
  ]

  static let events: [Broken] = [
    kvm(
      "STI and MOV SS", .guestState, "guest.interruptibility-state.sti-and-mov-ss",
      "There is blocking by both STI and MOV SS",
      ("Interruptibility = 00000000", "Interruptibility = 00000003")),
    kvm(
      "HLT at CPL 3", .guestState, "guest.activity-state.hlt-dpl", "The activity state is HLT but DPL of SS is not 0",
      ("ActivityState = 00000000", "ActivityState = 00000001"),
      (cs, "CS:   sel=0x0033, attr=0x0a0fb, limit=0xffffffff, base=0x0000000000000000"),
      (ss, "SS:   sel=0x002b, attr=0x0c0f3, limit=0xffffffff, base=0x0000000000000000")),
    kvm(
      "HLT in the shadow of STI", .guestState, "guest.activity-state.blocking",
      "Guest activity state 0x00000001: HLT, has to be Active",
      ("Interruptibility = 00000000  ActivityState = 00000000", "Interruptibility = 00000001  ActivityState = 00000001")
    ),
    kvm(
      "interrupt after STI", .guestState, "guest.interruptibility-state.external-interrupt",
      "The entry injects external interrupt 0xec while there is blocking by STI",
      ("intr_info=000000ec", "intr_info=800000ec"), ("Interruptibility = 00000000", "Interruptibility = 00000001")),
    kvm(
      "NMI after MOV SS", .guestState, "guest.interruptibility-state.nmi-mov-ss",
      "The entry injects an NMI while there is blocking by MOV SS",
      ("intr_info=000000ec", "intr_info=80000202"), ("Interruptibility = 00000000", "Interruptibility = 00000002")),
    kvm(
      "interrupt in shutdown", .guestState, "guest.activity-state.injected-event",
      "The entry injects external interrupt 0xec, which the activity state “Shutdown” blocks",
      ("intr_info=000000ec", "intr_info=800000ec"), ("ActivityState = 00000000", "ActivityState = 00000002")),
    kvm(
      "single step after STI", .guestState, "guest.pending-debug-exceptions.bs-set", "BS is 0, has to be 1",
      ("RFLAGS=0x00000286", "RFLAGS=0x00000386"), ("Interruptibility = 00000000", "Interruptibility = 00000001")),
    kvm(
      "error code in real mode", .error(7), "control.event-injection.deliver-error-code.clear",
      "General protection (#GP) is injected with an error code, but no event has one while CR0.PE is 0",
      ("CR0: actual=0x0000000080050033", "CR0: actual=0x0000000000000030"), outsideIA32eMode,
      ("intr_info=000000ec", "intr_info=80000b0d")),
    kvm(
      "reserved interruption type", .error(7), "control.event-injection.type", "Interruption type is 1, has to be 0",
      ("intr_info=000000ec", "intr_info=800001ec")),
  ]

  static let controls: [Broken] = [
    kvm(
      "posted interrupts without virtual-interrupt delivery", .error(7),
      "control.posted-interrupts.virtual-interrupt-delivery",
      "“Process posted interrupts” is 1, has to be 0", ("SecondaryExec=0x061017fa", "SecondaryExec=0x061015fa")),
    kvm(
      "posted interrupts without acknowledgement", .error(7), "control.posted-interrupts.acknowledge-interrupt-on-exit",
      "“Acknowledge interrupt on exit” is 0, has to be 1", ("ExitControls=000befff", "ExitControls=000b6fff")),
    kvm(
      "VPID 0", .error(7), "control.vpid", "The VPID is 0 but “enable VPID” is 1",
      ("Virtual processor ID = 0x0001", "Virtual processor ID = 0x0000")),
    kvm(
      "EPT memory type", .error(7), "control.ept.memory-type", "EPT paging-structure memory type is 2, has to be 6",
      ("EPT pointer = 0x0000000299e9305e", "EPT pointer = 0x0000000299e9305a")),
    kvm(
      "EPT page walk", .error(7), "control.ept.page-walk-length", "EPT page-walk length minus 1 is 2, has to be 3",
      ("EPT pointer = 0x0000000299e9305e", "EPT pointer = 0x0000000299e93056")),
    kvm(
      "virtual NMIs without NMI exiting", .error(7), "control.virtual-nmis", "“Virtual NMIs” is 1, has to be 0",
      ("PinBased=0x000000ff", "PinBased=0x000000f7")),
    kvm(
      "host CR3 with the bit of MOV", .error(8), "host.cr3.reserved", "Host CR3 is 0x800000035dde6000, with bit 63 set",
      ("CR3=000000035dde6000", "CR3=800000035dde6000")),
    kvm("host TR", .error(8), "host.tr.selector.null", "Host TR selector is 0", ("TR=0040", "TR=0000")),
    kvm(
      "host SS for the guest", .error(8), "host.ss.selector.rpl-ti",
      "Requested privilege level (RPL) is 3, has to be 0",
      ("SS=0018", "SS=001b")),
    kvm(
      "host CR4", .error(8), "address-space-size.64-bit-host.cr4-pae", "Host CR4 0x0000000000f52ed0: PAE is 0",
      ("CR4=0000000000f52ef0", "CR4=0000000000f52ed0")),
    xen("Xen: host CS", .error(8), "host.cs.selector.null", "Host CS selector is 0", ("CS=e008", "CS=0000")),
  ]

  @Test("Headline and first check", arguments: guestRegisters + guestSegments + events + controls)
  func explained(broken: Broken) throws {
    let explanation = try explanation(of: broken)
    #expect(explanation.failed.first?.check.id.description == broken.check)
    #expect(explanation.headline.contains(broken.headline), "\(explanation.headline)")
    #expect(explanation.verdict == .failed && explanation.isConsistent == true)
  }

  @Test("The same in mails, with remarks, and cut short", arguments: guestRegisters + guestSegments + events + controls)
  func surrounded(broken: Broken) throws {
    let whole = try explanation(of: broken)
    let lines = try text(of: broken).split(separator: "\n").map(String.init)
    let quoted = lines.map { "> >" + $0 + "\r" }.joined(separator: "\n")
    let remarked = lines.enumerated().map {
      $0.offset % 9 == 5 ? $0.element + "\n\nI think this is fine.\n" : $0.element
    }
    for text in [quoted, remarked.joined(separator: "\n")] {
      let read = Explanation(try #require(dumps(in: text + "\n").first))
      #expect(read.headline == whole.headline)
    }
    // Cut anywhere, nothing new fails for certain.
    for count in stride(from: 1, to: lines.count, by: 4) {
      for dump in dumps(in: lines.prefix(count).joined(separator: "\n")) {
        let certain = Explanation(dump).failed.filter { $0.unless == nil }.map(\.check.id.description)
        #expect(Set(certain).isSubset(of: whole.failed.map(\.check.id.description)))
      }
    }
  }

  private func explanation(of broken: Broken) throws -> Explanation {
    let dumps = dumps(in: try text(of: broken))
    try #require(dumps.count == 1)
    return Explanation(dumps[0])
  }

  private func text(of broken: Broken) throws -> String {
    var text = String(decoding: sharedBytes(broken.base), as: UTF8.self)
    for change in broken.changes {
      let range = try #require(firstRange(of: change.old, in: text), "\(change.old)")
      text.replaceSubrange(range, with: change.new)
    }
    switch broken.claim {
    case .guestState:
      for reason in ["reason=00000030", "reason=0000000c"] {
        if let range = firstRange(of: reason, in: text) { text.replaceSubrange(range, with: "reason=80000021") }
      }
    case .error(let number):
      if broken.base == "xen-healthy" { return "(XEN) d3v0 VMRESUME error: 0x\(number)\n" + text }
      text += "KVM: entry failed, hardware error 0x\(number)\n"
    }
    return text
  }

  private func firstRange(of part: String, in text: String) -> Range<String.Index>? {
    var start = text.startIndex
    while start < text.endIndex {
      if text[start...].hasPrefix(part) { return start..<text.index(start, offsetBy: part.count) }
      start = text.index(after: start)
    }
    return nil
  }
}
