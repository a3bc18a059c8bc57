import VMCS

extension EntryCheckPass {
  /// SDM, "Checks Related to Address-Space Size", in the order of its list, for processors that support Intel 64
  /// architecture.
  mutating func addressSpaceSize() {
    section = .addressSpaceSize

    check(
      "address-space-size.guest-outside-ia-32e-mode",
      "“IA-32e mode guest” is 0 if the processor is outside IA-32e mode at the time of VM entry.",
      reads: "vmEntryControls isInIA32eMode"
    ) { vmcs in
      guard vmcs.entry(.ia32eModeGuest), !vmcs.isSo(.isInIA32eMode) else { return nil }
      return vmcs.requireClear(.vmEntryControls, .ia32eModeGuest)
    }
    check(
      "address-space-size.host-outside-ia-32e-mode",
      "“Host address-space size” is 0 if the processor is outside IA-32e mode at the time of VM entry.",
      reads: "primaryVMExitControls isInIA32eMode"
    ) { vmcs in
      guard vmcs.exit(.hostAddressSpaceSize), !vmcs.isSo(.isInIA32eMode) else { return nil }
      return vmcs.requireClear(.primaryVMExitControls, .hostAddressSpaceSize)
    }
    check(
      "address-space-size.host-in-ia-32e-mode",
      "“Host address-space size” is 1 if the processor is in IA-32e mode at the time of VM entry.",
      reads: "primaryVMExitControls isInIA32eMode"
    ) { vmcs in
      guard !vmcs.exit(.hostAddressSpaceSize), vmcs.isSo(.isInIA32eMode) else { return nil }
      return vmcs.requireSet(.primaryVMExitControls, .hostAddressSpaceSize)
    }

    hostOutside64BitMode()
    hostIn64BitMode()
  }

  private mutating func hostOutside64BitMode() {
    check(
      "address-space-size.32-bit-host.guest", "“IA-32e mode guest” is 0 if “host address-space size” is 0.",
      reads: "primaryVMExitControls vmEntryControls"
    ) { $0.exit(.hostAddressSpaceSize) ? nil : $0.requireClear(.vmEntryControls, .ia32eModeGuest) }
    check(
      "address-space-size.32-bit-host.cr4-pcide", "CR4.PCIDE of the host is 0 if “host address-space size” is 0.",
      reads: "primaryVMExitControls hostCR4"
    ) { $0.exit(.hostAddressSpaceSize) ? nil : $0.requireClear(.hostCR4, 1 << 17) }
    check(
      "address-space-size.32-bit-host.cr4-fred", "CR4.FRED of the host is 0 if “host address-space size” is 0.",
      reads: "primaryVMExitControls hostCR4"
    ) { $0.exit(.hostAddressSpaceSize) ? nil : $0.requireClear(.hostCR4, 1 << 32) }
    check(
      "address-space-size.32-bit-host.rip", "Bits 63:32 of the host's RIP are 0 if “host address-space size” is 0.",
      reads: "primaryVMExitControls hostRIP"
    ) { $0.exit(.hostAddressSpaceSize) ? nil : $0.requireClear(.hostRIP, ~0 << 32) }
    check(
      "address-space-size.32-bit-host.s-cet",
      "Bits 63:32 of the host's IA32_S_CET are 0 if “host address-space size” is 0 and “load CET state” is 1.",
      reads: "primaryVMExitControls hostIA32SCET"
    ) { vmcs in
      guard vmcs.exit(.loadCETState), !vmcs.exit(.hostAddressSpaceSize) else { return nil }
      return vmcs.requireClear(.hostIA32SCET, ~0 << 32)
    }
    check(
      "address-space-size.32-bit-host.ssp",
      "Bits 63:32 of the host's SSP are 0 if “host address-space size” is 0 and “load CET state” is 1.",
      reads: "primaryVMExitControls hostSSP"
    ) { vmcs in
      guard vmcs.exit(.loadCETState), !vmcs.exit(.hostAddressSpaceSize) else { return nil }
      return vmcs.requireClear(.hostSSP, ~0 << 32)
    }
  }

  private mutating func hostIn64BitMode() {
    check(
      "address-space-size.64-bit-host.cr4-pae", "CR4.PAE of the host is 1 if “host address-space size” is 1.",
      reads: "primaryVMExitControls hostCR4"
    ) { $0.exit(.hostAddressSpaceSize) ? $0.require(.hostCR4, 1 << 5, 1 << 5) : nil }
    check(
      "address-space-size.64-bit-host.rip",
      "The host's RIP contains a canonical address if “host address-space size” is 1.",
      reads: "primaryVMExitControls hostRIP cpuid80000008EAX"
    ) { $0.exit(.hostAddressSpaceSize) ? $0.requireCanonical(.hostRIP) : nil }
    check(
      "address-space-size.64-bit-host.s-cet",
      "The host's IA32_S_CET contains a canonical address if “host address-space size” and “load CET state” are 1.",
      reads: "primaryVMExitControls hostIA32SCET cpuid80000008EAX"
    ) { vmcs in
      guard vmcs.exit(.loadCETState), vmcs.exit(.hostAddressSpaceSize) else { return nil }
      return vmcs.requireCanonical(.hostIA32SCET)
    }
    check(
      "address-space-size.64-bit-host.ssp",
      "The host's SSP contains a canonical address if “host address-space size” and “load CET state” are 1.",
      reads: "primaryVMExitControls hostSSP cpuid80000008EAX"
    ) { vmcs in
      guard vmcs.exit(.loadCETState), vmcs.exit(.hostAddressSpaceSize) else { return nil }
      return vmcs.requireCanonical(.hostSSP)
    }
  }
}
