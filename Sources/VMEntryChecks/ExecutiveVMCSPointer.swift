import VMCS

extension EntryCheckPass {
  /// SDM, "Checks on the Executive-VMCS Pointer Field": VM entries that return from SMM.
  mutating func executiveVMCSPointer() {
    section = .executiveVMCSPointer

    check(
      "control.executive-vmcs.alignment",
      "Bits 11:0 of the executive-VMCS pointer are 0 if the VM entry returns from SMM.",
      reads: "executiveVMCSPointer vmEntryControls isInSMM"
    ) { $0.returnsFromSMM ? $0.requireClear(.executiveVMCSPointer, 0xFFF) : nil }

    check(
      "control.executive-vmcs.width",
      "No bits beyond the physical-address width are set in the executive-VMCS pointer if the VM entry returns from SMM.",
      reads: "executiveVMCSPointer vmEntryControls isInSMM cpuid80000008EAX"
    ) { $0.returnsFromSMM ? $0.requirePhysicalAddress(.executiveVMCSPointer) : nil }

    check(
      "control.executive-vmcs.revision-identifier",
      "The 32 bits at the executive-VMCS pointer are the VMCS revision identifier if the VM entry returns from SMM.",
      reads: "executiveVMCSPointer vmEntryControls isInSMM ia32VMXBASIC memory"
    ) { vmcs in
      guard vmcs.returnsFromSMM else { return nil }
      let pointer = vmcs.bits(.executiveVMCSPointer)
      let identifier = IA32VMXBASIC(rawValue: vmcs.capability(.ia32VMXBASIC)).vmcsRevisionIdentifier
      return vmcs.requireMemory(at: pointer, 0xFFFF_FFFF, UInt64(identifier))
    }

    check(
      "control.executive-vmcs.vmxon-pointer",
      "The executive-VMCS pointer is the VMXON pointer if “deactivate dual-monitor treatment” is 1.",
      reads: "executiveVMCSPointer vmEntryControls isInSMM vmxonPointer",
      outcome: .vmFailValid(.vmEntryWithExecutiveVMCSPointerNotVMXONPointer)
    ) { vmcs in
      guard vmcs.entry(.deactivateDualMonitorTreatment), vmcs.returnsFromSMM else { return nil }
      return vmcs.require(.executiveVMCSPointer, ~0, vmcs.fact(.vmxonPointer))
    }
  }
}

extension EntryInputs {
  /// Whether the VM entry returns from SMM.
  fileprivate var returnsFromSMM: Bool { mutating get { !entry(.entryToSMM) && isSo(.isInSMM) } }

  /// Requires the bits of `mask` of the quadword at `address` to be those of `required`.
  mutating func requireMemory(at address: UInt64, _ mask: UInt64, _ required: UInt64) -> EntryFinding? {
    let found = quadword(at: address)
    if (found ^ required) & mask == 0 { return nil }
    return EntryFinding(
      subject: .memory(PhysicalAddress(address & ~7)), mask: mask, found: found,
      required: found & ~mask | required & mask)
  }
}
