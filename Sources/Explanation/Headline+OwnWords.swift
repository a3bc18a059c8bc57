import VMCS
import VMCSDump
import VMEntryChecks

extension Headline {
  /// A sentence for the checks that people meet most, of which the statement alone says less.
  static func ownWords(_ failed: FailedCheck, _ dump: Dump) -> String? {
    func bits(_ field: VMCSFieldEncoding) -> UInt64? { dump.contents(of: field) }
    let event = bits(VMCSField.vmEntryInterruptionInformation.encoding).map {
      VMEntryInterruptionInformation(rawValue: UInt32(truncatingIfNeeded: $0))
    }
    switch failed.check.id.description {
    case "guest.rflags.if-for-external-interrupt":
      return event.map { "RFLAGS.IF is 0 but the entry injects \(Words.event($0))" }
    case "guest.interruptibility-state.sti-if": return "There is blocking by STI but RFLAGS.IF is 0"
    case "guest.cr0.pg-for-ia-32e-mode": return "“IA-32e mode guest” is 1 but CR0.PG of the guest is 0"
    case "guest.cr4.pae-for-ia-32e-mode": return "“IA-32e mode guest” is 1 but CR4.PAE of the guest is 0"
    case "guest.cr0.pg-pe": return "CR0.PG of the guest is 1 but CR0.PE is 0"
    case "guest.cr0.fixed-bits":
      let cleared = failed.finding.change & 0x8000_0001 & ~failed.finding.found
      guard cleared != 0, failed.finding.change == cleared else { return nil }
      let names = [(UInt64(1), "CR0.PE"), (1 << 31, "CR0.PG")].filter { cleared & $0.0 != 0 }.map(\.1)
      return "\(names.joined(separator: " and ")) of the guest \(names.count == 1 ? "is" : "are") 0 but "
        + "“unrestricted guest” is 0: without it, a guest runs in protected mode with paging"
    case "control.event-injection.deliver-error-code.set":
      return event.map {
        let name = Words.mnemonic(ofException: $0.vector) ?? Words.event($0)
        return "\(name) is injected without an error code (deliver error code is 0)"
      }
    case "control.event-injection.deliver-error-code.clear":
      return event.map { event in
        let isReal = bits(VMCSField.guestCR0.encoding).map { $0 & 1 == 0 } ?? false
        let reason = isReal ? "no event has one while CR0.PE is 0" : "it must not have one"
        return "\(Words.event(event)) is injected with an error code, but \(reason)"
      }
    default: return nil
    }
  }
}
