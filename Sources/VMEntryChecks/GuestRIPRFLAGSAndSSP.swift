import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on Guest RIP, RFLAGS, and SSP", in the order of its list.
  mutating func guestRIPRFLAGSAndSSP() {
    section = .guestRIPRFLAGSAndSSP

    check(
      "guest.rip.bits-63-32", "Bits 63:32 of RIP are 0 if “IA-32e mode guest” or L of the CS access rights is 0.",
      reads: "guestRIP vmEntryControls guestCSAccessRights"
    ) { $0.guestIsIn64BitMode ? nil : $0.requireClear(.guestRIP, ~0 << 32) }
    check(
      "guest.rip.high-bits",
      """
      Bits 63:N of RIP are identical, where N is the linear-address width, if “IA-32e mode guest” and L of the CS access \
      rights are 1.
      """,
      reads: "guestRIP vmEntryControls guestCSAccessRights cpuid80000008EAX"
    ) { $0.guestIsIn64BitMode ? $0.requireIdenticalHighBits(.guestRIP) : nil }

    check(
      "guest.rflags.reserved", "Bits 63:22, 15, 5 and 3 of RFLAGS are 0 and bit 1 is 1.", reads: "guestRFLAGS"
    ) { $0.require(.guestRFLAGS, ~0 << 22 | 0x802A, 2) }
    check(
      "guest.rflags.vm", "VM (bit 17) of RFLAGS is 0 if “IA-32e mode guest” is 1 or CR0.PE is 0.",
      reads: "guestRFLAGS vmEntryControls guestCR0"
    ) { vmcs in
      guard vmcs[.guestRFLAGS].vm, vmcs.entry(.ia32eModeGuest) || !vmcs[.guestCR0].pe else { return nil }
      return vmcs.requireClear(.guestRFLAGS, 1 << 17)
    }
    check(
      "guest.rflags.if-for-external-interrupt",
      "IF (bit 9) of RFLAGS is 1 if the event to be injected is an external interrupt.",
      reads: "guestRFLAGS vmEntryInterruptionInformation"
    ) { vmcs in
      guard vmcs.injectedEvent?.type == .externalInterrupt else { return nil }
      return vmcs.require(.guestRFLAGS, 1 << 9, 1 << 9)
    }
    check(
      "guest.rflags.iopl.fred", "IOPL (bits 13:12) of RFLAGS is 0 if CR4.FRED is 1 and DPL of SS is 3.",
      reads: "guestRFLAGS guestCR4 guestSSAccessRights vmEntryControls"
    ) { vmcs in
      guard vmcs[.guestSSAccessRights].dpl == 3, vmcs.guestUsesFRED else { return nil }
      return vmcs.requireClear(.guestRFLAGS, 3 << 12)
    }

    check(
      "guest.ssp.alignment", "Bits 1:0 of SSP are 0 if “load CET state” is 1.", reads: "guestSSP vmEntryControls"
    ) { $0.entry(.loadCETState) ? $0.requireClear(.guestSSP, 3) : nil }
    check(
      "guest.ssp.high-bits",
      "Bits 63:N of SSP are identical, where N is the linear-address width, if “load CET state” is 1.",
      reads: "guestSSP vmEntryControls cpuid80000008EAX"
    ) { $0.entry(.loadCETState) ? $0.requireIdenticalHighBits(.guestSSP) : nil }
  }
}

extension EntryInputs {
  /// Whether the guest will be in 64-bit mode.
  fileprivate var guestIsIn64BitMode: Bool {
    mutating get { entry(.ia32eModeGuest) && self[.guestCSAccessRights].l }
  }
}
