import VMCS

extension EntryCheckPass {
  /// The checks on EPT and on what needs EPT, of "VM-Execution Control Fields".
  mutating func eptAndWhatDependsOnIt() {
    ept()

    check(
      "control.pml.ept", "“Enable EPT” is 1 if “enable PML” is 1.",
      reads: "primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.secondary(.enablePML) else { return nil }
      return vmcs.requireSet(.secondaryProcessorBasedVMExecutionControls, .enableEPT)
    }
    address(
      ("control.pml.alignment", "Bits 11:0 of the PML address are 0 if “enable PML” is 1."),
      (
        "control.pml.width",
        "No bits beyond the physical-address width are set in the PML address if “enable PML” is 1."
      ), of: .pmlAddress,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls pmlAddress
        """
    ) { $0.secondary(.enablePML) }

    check(
      "control.ept.unrestricted-guest", "“Enable EPT” is 1 if “unrestricted guest” is 1.",
      reads: "primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.secondary(.unrestrictedGuest) else { return nil }
      return vmcs.requireSet(.secondaryProcessorBasedVMExecutionControls, .enableEPT)
    }
    check(
      "control.ept.mode-based-execute-control", "“Enable EPT” is 1 if “mode-based execute control for EPT” is 1.",
      reads: "primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.secondary(.modeBasedExecuteControlForEPT) else { return nil }
      return vmcs.requireSet(.secondaryProcessorBasedVMExecutionControls, .enableEPT)
    }

    check(
      "control.spp.ept", "“Enable EPT” is 1 if “sub-page write permissions for EPT” is 1.",
      reads: "primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls"
    ) { vmcs in
      guard vmcs.secondary(.subPageWritePermissionsForEPT) else { return nil }
      return vmcs.requireSet(.secondaryProcessorBasedVMExecutionControls, .enableEPT)
    }
    address(
      (
        "control.spp.alignment",
        "Bits 11:0 of the sub-page-permission-table pointer are 0 if “sub-page write permissions for EPT” is 1."
      ),
      (
        "control.spp.width",
        """
        No bits beyond the physical-address width are set in the sub-page-permission-table pointer if “sub-page write \
        permissions for EPT” is 1.
        """
      ), of: .subPagePermissionTablePointer,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls \
        subPagePermissionTablePointer
        """
    ) { $0.secondary(.subPageWritePermissionsForEPT) }
  }

  private mutating func ept() {
    check(
      "control.ept.memory-type", "The memory type in EPTP bits 2:0 is one that IA32_VMX_EPT_VPID_CAP reports.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls eptPointer \
        ia32VMXEPTVPIDCAP
        """
    ) { vmcs in
      guard vmcs.secondary(.enableEPT) else { return nil }
      let type = vmcs[.eptPointer].rawValue & 7
      // Whatever the processor reports, there are no others than UC and WB.
      if type != 0 && type != 6 { return vmcs.finding(.eptPointer, 7, required: 6) }
      let capabilities = IA32VMXEPTVPIDCAP(rawValue: vmcs.capability(.ia32VMXEPTVPIDCAP))
      let isSupported = type == 0 ? capabilities.supportsMemoryTypeUC : capabilities.supportsMemoryTypeWB
      return isSupported ? nil : vmcs.finding(.eptPointer, 7, required: 6 - type)
    }

    check(
      "control.ept.page-walk-length",
      "The EPT page-walk length in EPTP bits 5:3 is one that IA32_VMX_EPT_VPID_CAP reports.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls eptPointer \
        ia32VMXEPTVPIDCAP
        """
    ) { vmcs in
      guard vmcs.secondary(.enableEPT) else { return nil }
      let length = vmcs[.eptPointer].pageWalkLengthMinus1 + 1
      if length != 4 && length != 5 { return vmcs.finding(.eptPointer, 0x38, required: 3 << 3) }
      let capabilities = IA32VMXEPTVPIDCAP(rawValue: vmcs.capability(.ia32VMXEPTVPIDCAP))
      let isSupported = length == 4 ? capabilities.supportsPageWalkLength4 : capabilities.supportsPageWalkLength5
      return isSupported ? nil : vmcs.finding(.eptPointer, 0x38, required: length == 4 ? 4 << 3 : 3 << 3)
    }

    check(
      "control.ept.accessed-and-dirty-flags",
      "EPTP bit 6 is 0 if the processor does not support accessed and dirty flags for EPT.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls eptPointer \
        ia32VMXEPTVPIDCAP
        """
    ) { vmcs in
      guard vmcs.secondary(.enableEPT), vmcs[.eptPointer].accessedAndDirtyFlags else { return nil }
      let capabilities = IA32VMXEPTVPIDCAP(rawValue: vmcs.capability(.ia32VMXEPTVPIDCAP))
      return capabilities.supportsAccessedAndDirtyFlags ? nil : vmcs.requireClear(.eptPointer, 1 << 6)
    }

    check(
      "control.ept.supervisor-shadow-stack",
      "EPTP bit 7 is 0 if the processor does not support access rights for supervisor shadow-stack pages.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls eptPointer \
        ia32VMXEPTVPIDCAP
        """
    ) { vmcs in
      guard vmcs.secondary(.enableEPT), vmcs[.eptPointer].supervisorShadowStackControl else { return nil }
      let capabilities = IA32VMXEPTVPIDCAP(rawValue: vmcs.capability(.ia32VMXEPTVPIDCAP))
      return capabilities.supportsSupervisorShadowStackControl ? nil : vmcs.requireClear(.eptPointer, 1 << 7)
    }

    check(
      "control.ept.reserved", "EPTP bits 11:8 and those beyond the physical-address width are 0.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls eptPointer cpuid80000008EAX
        """
    ) { vmcs in
      guard vmcs.secondary(.enableEPT) else { return nil }
      let width = vmcs.physicalAddressWidth(for: vmcs.bits(.eptPointer))
      return vmcs.requireClear(.eptPointer, ~0 << width | 0xF00)
    }
  }

  /// The checks on VM functions, VMCS shadowing and virtualization exceptions, of "VM-Execution Control Fields".
  mutating func vmFunctionsAndShadowing() {
    check(
      "control.vm-functions.reserved",
      "The reserved bits of the VM-function controls are 0 if “enable VM functions” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls vmFunctionControls \
        ia32VMXVMFUNC
        """
    ) { vmcs in
      guard vmcs.secondary(.enableVMFunctions) else { return nil }
      return vmcs.requireSupported(.vmFunctionControls, by: .ia32VMXVMFUNC)
    }
    check(
      "control.eptp-switching.ept", "“Enable EPT” is 1 if “EPTP switching” is 1.",
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls vmFunctionControls
        """
    ) { vmcs in
      guard vmcs.functions(.eptpSwitching) else { return nil }
      return vmcs.requireSet(.secondaryProcessorBasedVMExecutionControls, .enableEPT)
    }
    address(
      ("control.eptp-list.alignment", "Bits 11:0 of the EPTP-list address are 0 if “EPTP switching” is 1."),
      (
        "control.eptp-list.width",
        "No bits beyond the physical-address width are set in the EPTP-list address if “EPTP switching” is 1."
      ), of: .eptpListAddress,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls vmFunctionControls \
        eptpListAddress
        """
    ) { $0.functions(.eptpSwitching) }

    address(
      ("control.vmread-bitmap.alignment", "Bits 11:0 of the VMREAD-bitmap address are 0 if “VMCS shadowing” is 1."),
      (
        "control.vmread-bitmap.width",
        "No bits beyond the physical-address width are set in the VMREAD-bitmap address if “VMCS shadowing” is 1."
      ), of: .vmreadBitmapAddress,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls vmreadBitmapAddress
        """
    ) { $0.secondary(.vmcsShadowing) }
    address(
      ("control.vmwrite-bitmap.alignment", "Bits 11:0 of the VMWRITE-bitmap address are 0 if “VMCS shadowing” is 1."),
      (
        "control.vmwrite-bitmap.width",
        "No bits beyond the physical-address width are set in the VMWRITE-bitmap address if “VMCS shadowing” is 1."
      ), of: .vmwriteBitmapAddress,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls vmwriteBitmapAddress
        """
    ) { $0.secondary(.vmcsShadowing) }

    address(
      (
        "control.virtualization-exception.alignment",
        "Bits 11:0 of the virtualization-exception information address are 0 if “EPT-violation #VE” is 1."
      ),
      (
        "control.virtualization-exception.width",
        """
        No bits beyond the physical-address width are set in the virtualization-exception information address if \
        “EPT-violation #VE” is 1.
        """
      ), of: .virtualizationExceptionInformationAddress,
      reads: """
        primaryProcessorBasedVMExecutionControls secondaryProcessorBasedVMExecutionControls \
        virtualizationExceptionInformationAddress
        """
    ) { $0.secondary(.eptViolationVE) }
  }
}
