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
    case "guest.interruptibility-state.sti-and-mov-ss": return "There is blocking by both STI and MOV SS"
    case "guest.interruptibility-state.external-interrupt":
      let isSTI = (bits(VMCSField.guestInterruptibilityState.encoding) ?? 0) & 1 == 1
      return event.map { "The entry injects \(Words.event($0)) while there is blocking by \(isSTI ? "STI" : "MOV SS")" }
    case "guest.interruptibility-state.nmi-mov-ss", "guest.interruptibility-state.nmi-sti":
      let cause = failed.check.id.description.hasSuffix("sti") ? "STI" : "MOV SS"
      return "The entry injects an NMI while there is blocking by \(cause)"
    case "guest.activity-state.injected-event":
      let state = bits(VMCSField.guestActivityState.encoding).flatMap {
        GuestActivityState(rawValue: UInt32(truncatingIfNeeded: $0)).title
      }
      return event.map {
        "The entry injects \(Words.event($0)), which the activity state “\(String(state, or: "?"))” blocks"
      }
    case "guest.activity-state.hlt-dpl": return "The activity state is HLT but DPL of SS is not 0"
    case "control.vpid": return "The VPID is 0 but “enable VPID” is 1"
    case "guest.efer.lma":
      let isLMA = failed.finding.found >> 10 & 1 == 1
      return "“IA-32e mode guest” is \(isLMA ? 0 : 1) but IA32_EFER.LMA of the guest is \(isLMA ? 1 : 0)"
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
    case let id where id.hasSuffix(".selector.null"):
      guard case .field(let field) = failed.finding.subject else { return nil }
      return "\(field.title) is 0"
    default: return nil
    }
  }
}
