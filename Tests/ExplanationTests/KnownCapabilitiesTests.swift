import Testing
import VMCS
import VMCSDump
import VMEntryChecks

@testable import Explanation

/// What `/proc/cpuinfo` tells makes checks decidable, and never decides one wrongly.
@Suite("Known capabilities")
struct KnownCapabilitiesTests {
  private static let vmx =
    "vmx flags\t: vnmi preemption_timer invvpid ept_x_only ept_ad ept_1gb flexpriority tsc_offset vtpr mtf vapic ept vpid "
    + "unrestricted_guest ple pml ept_mode_based_exec tsc_scaling\n"
  private static let widths = "address sizes\t: 46 bits physical, 48 bits virtual\n"
  private static let flags =
    "flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat fxsr sse sse2 ht syscall nx lm vmx smx est "
    + "pcid x2apic xsave fsgsbase smep smap umip\n"

  private func known(_ text: String) -> KnownCapabilities { CapabilityText(Array(text.utf8)).known }

  private func explanation(
    _ changes: [(VMCSFieldEncoding, UInt64)], _ text: String, reason: UInt64 = 0x30
  ) throws -> Explanation {
    var dump = try #require(sharedDump("kvm-healthy"))
    dump[VMCSField.exitReason.encoding]?.bits = reason
    for (field, bits) in changes { dump[field]?.bits = bits }
    return Explanation(dump, known: known(text))
  }

  enum Verdict: Equatable { case passed, failed, undecidable }

  private func verdict(_ id: String, _ explanation: Explanation) -> Verdict {
    if explanation.failed.contains(where: { $0.check.id.description == id && $0.unless == nil }) { return .failed }
    return explanation.undecidable.contains { $0.check.id.description == id } ? .undecidable : .passed
  }

  @Test(
    "Checks that the lines decide",
    arguments: [
      // The secondary controls of the dump have bits that Linux does not print, and posted interrupts' that it would.
      ("control.secondary.reserved", VMCSField.secondaryProcessorBasedVMExecutionControls.encoding, 0xA2, vmx, .passed),
      (
        "control.secondary.reserved", VMCSField.secondaryProcessorBasedVMExecutionControls.encoding, 0x1_00A2,
        vmx, .undecidable
      ),
      (
        "control.secondary.reserved", VMCSField.secondaryProcessorBasedVMExecutionControls.encoding, 0x40A2, vmx,
        .failed
      ),
      // Before 5.6, what is missing tells nothing.
      (
        "control.secondary.reserved", VMCSField.secondaryProcessorBasedVMExecutionControls.encoding, 0x40A2,
        "flags : vmx ept vpid\n", .undecidable
      ),
      ("control.pin-based.reserved", VMCSField.pinBasedVMExecutionControls.encoding, 0xFF, vmx, .failed),
      ("control.pin-based.reserved", VMCSField.pinBasedVMExecutionControls.encoding, 0x7F, vmx, .undecidable),
      ("control.ept.accessed-and-dirty-flags", VMCSField.eptPointer.encoding, 0x5E, vmx, .passed),
      (
        "control.ept.accessed-and-dirty-flags", VMCSField.eptPointer.encoding, 0x5E, "vmx flags\t: ept vpid\n", .failed
      ),
      ("guest.cr3.reserved", VMCSField.guestCR3.encoding, 1 << 45, widths, .passed),
      ("guest.cr3.reserved", VMCSField.guestCR3.encoding, 1 << 46, widths, .failed),
      // Linux subtracts the bits of the keys for memory encryption.
      ("guest.cr3.reserved", VMCSField.guestCR3.encoding, 1 << 46, widths + "flags : vmx tme\n", .undecidable),
      ("guest.cr3.reserved", VMCSField.guestCR3.encoding, 1 << 45, widths + "flags : vmx tme\n", .passed),
      ("guest.gdtr.base.canonical", VMCSField.guestGDTRBase.encoding, 1 << 50, widths, .failed),
      (
        "guest.gdtr.base.canonical", VMCSField.guestGDTRBase.encoding, 1 << 50,
        "address sizes : 52 bits physical, 57 bits virtual\n", .passed
      ),
      ("guest.cr4.fixed-bits", VMCSField.guestCR4.encoding, 0x3020, widths, .failed),
      ("guest.cr4.fixed-bits", VMCSField.guestCR4.encoding, 0x2020, widths, .undecidable),
    ] as [(String, VMCSFieldEncoding, UInt64, String, Verdict)])
  func decided(id: String, field: VMCSFieldEncoding, bits: UInt64, text: String, expected: Verdict) throws {
    #expect(verdict(id, try explanation([(field, bits)], text)) == expected)
  }

  @Test("A CR4 bit that the kernel does not name is likely to be the reason, and no more")
  func likely() throws {
    let text = Self.flags + Self.widths
    let cr4: UInt64 = 1 << 22 | 0x2020
    let explanation = try explanation([(VMCSField.guestCR4.encoding, cr4)], text, reason: 0x8000_0021)
    #expect(explanation.headline.contains("PKE is 1, has to be 0"))
    #expect(explanation.headline.contains("unless Linux hides what the processor has"))
    #expect(explanation.failed.first?.unless != nil)
  }

  @Test("What is decided from some bits is so whatever the others are", arguments: 0..<60 as Range<UInt64>)
  func sound(seed: UInt64) {
    var random = RandomSource(state: seed &* 0x9E37_79B9_7F4A_7C15 &+ 1)
    let words = Self.vmx.split(separator: " ").dropFirst(2).filter { _ in random.next() & 1 == 0 }
    let width = [39, 46, 52][Int(random.next() % 3)]
    let linear = [48, 57][Int(random.next() & 1)]
    let text =
      "vmx flags\t: \(words.joined(separator: " "))\naddress sizes : \(width) bits physical, \(linear) bits virtual\n"
      + (random.next() & 1 == 0 ? "flags : vmx tme\n" : "flags : vmx\n")
    let known = known(text)
    var state = VMCSFieldValues()
    for field in VMCSFieldDescription.all where random.next() & 15 != 0 {
      let mask = ~UInt64(0) >> UInt64(64 - field.width.bitWidth)
      state[field.encoding] = random.next() & random.next() & (random.next() & 1 == 0 ? 0xFFFF_FFFF : ~0) & mask
    }
    let report = known.report(on: state, facts: EntryFacts())
    let failed = Set(report.failures.map(\.check.id.description))
    let undecidable = Set(report.undecidable.map(\.check.id.description))
    for _ in 0..<8 {
      // A processor that the text can be about.
      var exact = known.exact
      for word in known.partial where exact[word.capability] == nil {
        exact[word.capability] = word.restrictive ^ (word.restrictive ^ word.permissive) & random.next()
      }
      if known.exact[.cpuid80000008EAX] == nil {
        exact[.cpuid80000008EAX] = UInt64(linear) << 8 | (UInt64(width) + random.next() % UInt64(53 - width))
      }
      let other = EntryReport(state, capabilities: exact, facts: EntryFacts())
      let otherFailed = Set(other.failures.map(\.check.id.description))
      #expect(failed.subtracting(otherFailed) == [])
      let passed = otherFailed.subtracting(failed).subtracting(undecidable)
      #expect(passed == [], "decided as passed")
    }
  }

  @Test("What Skep needs is what its negotiation asks for, and a model that runs it has it")
  func needs() throws {
    let skep = Dictionary(uniqueKeysWithValues: Hypervisor.skep.needs.map { ($0.word, $0.mask) })
    #expect(Set(skep.keys) == [.pin, .primary, .secondary, .exit, .entry])
    #expect(
      skep[.secondary]
        == UInt64(([.enableEPT, .unrestrictedGuest] as SecondaryProcessorBasedVMExecutionControls).rawValue))
    #expect((skep[.primary] ?? 0) & UInt64(PrimaryProcessorBasedVMExecutionControls.hltExiting.rawValue) != 0)
    #expect(
      (skep[.primary] ?? 0) & UInt64(PrimaryProcessorBasedVMExecutionControls.interruptWindowExiting.rawValue) != 0)
    #expect((skep[.entry] ?? 0) & UInt64(VMEntryControls.ia32eModeGuest.rawValue) != 0)
  }

  @Test("A report on /proc/cpuinfo says what is not known, and does not call it lacking")
  func report() {
    let report = CapabilityReport(known(Self.vmx))
    #expect(report.missing(for: .skep).isEmpty)
    #expect(report.unknown(for: .skep).contains { $0.word == .primary && $0.bit == 7 })
    #expect(report.text(style: Style(hasColours: false)).contains("unrestrictedGuest                         0 or 1"))
    let old = CapabilityReport(known("vmx flags : vnmi tsc_offset vtpr\n"))
    #expect(old.missing(for: .skep).map { $0.name?.description } == ["enableEPT", "unrestrictedGuest"])
    #expect(CapabilityReport(KnownCapabilities()).missing(for: .kvm).isEmpty)
  }
}

/// Numbers that look random and are the same in every run.
private struct RandomSource {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
