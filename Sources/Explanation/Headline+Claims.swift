import VMCS
import VMCSDump
import VMEntryChecks

// What can be said when no check that can be decided explains the failure.

extension Headline {
  func unexplained(_ claim: Claim) -> String {
    switch claim {
    case .exit(let reason) where reason.basicReason == .vmEntryFailureMSRLoading: return Self.msrLoading(dump)
    case .exit(let reason) where reason.basicReason == .vmEntryFailureMachineCheck:
      return "A machine check occurred during the VM entry: the VMCS is not to blame, look for hardware errors."
    case .exit(let reason) where reason.basicReason == .vmEntryFailureInvalidGuestState: return invalidGuestState
    case .exit(let reason): return "The VM entry failed with exit reason \(Words.exitReason(reason))."
    case .instruction: return "A VMX instruction failed."
    case .hardwareErrorZero:
      return
        "“Hardware error 0x0” is no VM-instruction error: the VM entry failed without a current VMCS (VMfailInvalid), "
        + "or it was not the processor that refused it."
    case .instructionError(let error): return Self.instructionError(error)
    }
  }

  /// What an unexplained exit reason 33 comes to.
  ///
  /// If the guest is to be in IA-32e mode, what that requires of registers that are not printed is what to look at first:
  /// everything else that a dump does not have is legal as processors and hypervisors initialize it.
  private var invalidGuestState: String {
    let controls = dump.contents(of: VMCSField.vmEntryControls.encoding).map {
      VMEntryControls(rawValue: UInt32(truncatingIfNeeded: $0))
    }
    let needs: [(VMCSFieldEncoding, String)] = [
      (VMCSField.guestCR0.encoding, "CR0.PG"), (VMCSField.guestCR4.encoding, "CR4.PAE"),
      (VMCSField.guestIA32EFER.encoding, "IA32_EFER.LMA"),
    ]
    let missing = needs.filter { dump[$0.0] == nil }.map(\.1)
    guard controls?.contains(.ia32eModeGuest) == true, missing.contains("CR0.PG") else {
      return "The guest state is invalid, but no check that can be decided from this dump explains it."
    }
    let names =
      missing.count == 1
      ? missing[0] : missing.dropLast().joined(separator: ", ") + " and " + missing[missing.count - 1]
    let registers = missing.count == 1 ? "it" : "them"
    var text =
      "The guest state is invalid, and most likely its mode: “IA-32e mode guest” is 1, so \(names) of the guest must be "
      + "1, and this dump does not have \(registers)"
    if let rip = dump.contents(of: VMCSField.guestRIP.encoding), rip < 1 << 20 {
      text += "; RIP \(String(hexadecimal: rip)) is in the first megabyte, where guests leave and enter that mode"
    }
    return text + "."
  }

  private static func instructionError(_ error: VMInstructionError) -> String {
    switch error {
    case .vmlaunchWithNonClearVMCS:
      "VMLAUNCH with a VMCS that has been launched: use VMRESUME, or VMCLEAR first. The state itself is not to blame."
    case .vmresumeWithNonLaunchedVMCS:
      "VMRESUME with a VMCS that is not launched: VMLAUNCH has to come first, and again after each VMCLEAR. "
        + "The state itself is not to blame."
    case .vmEntryWithInvalidControlFields:
      "A control field is invalid, but no check that can be decided from this dump explains it."
    case .vmEntryWithInvalidHostStateFields:
      "A host-state field is invalid, but no check that can be decided from this dump explains it."
    case .vmEntryWithEventsBlockedByMOVSS:
      "The VM entry came right after MOV SS or POP SS in the host. The state itself is not to blame."
    default:
      error.title.map { "\($0) (VM-instruction error \(error.rawValue))." }
        ?? "\(error.rawValue) is not a VM-instruction error that the SDM defines."
    }
  }

  /// What an MSR that could not be loaded has.
  private static func msrLoading(_ dump: Dump) -> String {
    let claimed = dump.claims.first { $0.kind == .msrLoadEntryFrom0 || $0.kind == .msrLoadEntryFrom1 }
    var number = claimed.map { $0.value + ($0.kind == .msrLoadEntryFrom0 ? 1 : 0) }
    if number == nil, let qualification = dump.contents(of: VMCSField.exitQualification.encoding) {
      number = qualification
    }
    let entries = dump.msrEntries.filter { $0.area == .vmEntryLoad }
    let place = number.map { "Entry \($0) of the VM-entry MSR-load area" } ?? "An entry of the VM-entry MSR-load area"
    // Xen prints the one entry that failed, KVM prints all.
    let entry: DumpMSREntry?
    if claimed != nil {
      entry = entries.first
    } else {
      entry = number.flatMap { $0 >= 1 && $0 <= UInt64(entries.count) ? entries[Int($0) - 1] : nil }
    }
    guard let entry else { return "\(place) cannot be loaded; the dump does not have it." }
    let what = "\(place), MSR \(String(hexadecimal: UInt64(entry.msr.rawValue))), cannot be loaded"
    let value = String(hexadecimal: entry.value, digits: 16)
    guard let required = branchAddress(entry) else { return "\(what): no rule that is known refuses \(value)." }
    return
      "\(what): its value \(value) is not sign-extended, bits \((entry.value ^ required).bitNumbers) have to be as in "
      + "\(String(hexadecimal: required, digits: 16))."
  }

  /// The value with its high bits sign-extended, if the MSR holds an address of a branch and they are not.
  ///
  /// Without TSX, WRMSR takes bits 63:61 only sign-extended, but what the processor stores there by itself is not.
  static func branchAddress(_ entry: DumpMSREntry) -> UInt64? {
    switch entry.msr.rawValue {
    // The last branches, interrupts and exceptions, from and to.
    case 0x1DB...0x1DE, 0x40...0x47, 0x60...0x67, 0x680...0x69F, 0x6C0...0x6DF: break
    default: return nil
    }
    let required = UInt64(bitPattern: Int64(bitPattern: entry.value << 3) >> 3)
    return required == entry.value ? nil : required
  }

  /// What can still be the reason for a failure that nothing explains.
  private func remainingReasons(_ claim: Claim) -> [String] {
    let count = undecidable.count { check, missing in
      if case .capability = missing { claim.isExplained(by: check.outcome) } else { false }
    }
    guard count > 0, dump.valueCount > 0 else { return [] }
    let remains = "What remains are values that are not printed, and what this processor does not support: "
    return [remains + "--capabilities would decide \(String(count, "check")) that could explain this."]
  }

  /// What to know about this dump: its source's habits, and what does not fit together.
  var notes: [String] {
    var notes: [String] = []
    if let claim, claim.isFailure, let first = failed.first, !claim.isExplained(by: first.check.outcome) {
      notes.append("What fails is not what was reported (\(claim.text)): the dump may be from another moment.")
    }
    let isSaid = if case .instruction? = claim { failed.isEmpty } else { false }
    notes += dump.failures.dropFirst(isSaid ? 1 : 0).map { "Line \($0.line): \($0.sentence(known))" }
    if let claim, failed.isEmpty, claim.isFailure { notes += remainingReasons(claim) }
    if dump.isBeforeXen46 {
      notes.append(
        "This Xen prints the VM-entry instruction length under “VMExit”, and 32 bits of the exit qualification.")
    }
    if dump.format == .bhyve, dump[VMCSField.guestIDTRBase.encoding] != nil {
      notes.append("This bhyve prints the base and limit of LDTR as those of IDTR.")
    }
    if dump.format == .kvm, dump[VMCSField.cr3TargetValue0.encoding] != nil {
      notes.append("KVM of this age prints only one pair of each two of CR3-target values.")
    }
    if dump.format == .qemu {
      notes.append(
        "These are registers as the guest sees them, not the VMCS: load kvm_intel with dump_invalid_vmcs=1 to have KVM print it."
      )
    }
    if dump.format == .qemu, let cr0 = dump[VMCSField.guestCR0.encoding], cr0.bits & 1 == 0 {
      notes.append(
        "The guest is in real mode (CR0.PE is 0). Without “unrestricted guest”, KVM runs it in virtual-8086 mode with segments made to fit, and emulates what does not."
      )
    }
    if dump.isInSMM == true { notes.append("The guest was in system-management mode, which KVM emulates.") }
    if let reason = dump[VMCSField.exitReason.encoding], reason.quality == .exact, reason.bits >> 31 == 0,
      case .instructionError? = claim
    {
      notes.append("The exit reason and what belongs to it are from the VM exit before.")
    }
    return notes
  }
}
