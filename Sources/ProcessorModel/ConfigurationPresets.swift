import VMCS

extension ProcessorModel.Configuration {
  /// A Skylake-X, the one of Bochs' CPU model `corei7_skylake_x`, whose source lists its capability MSRs.
  public static var skylakeX: Self {
    var configuration = haswell
    configuration.name = "Skylake-X"
    configuration.vmcsRevisionIdentifier = 0x04
    configuration.physicalAddressWidth = 46
    configuration.secondary.subtract([.vmcsShadowing])
    configuration.secondary.formUnion([
      .rdseedExiting, .eptViolationVE, .concealVMXFromPT, .enableXSAVESXRSTORS, .modeBasedExecuteControlForEPT,
      .useTSCScaling,
    ])
    configuration.exit.formUnion([.clearIA32BNDCFGS, .concealVMXFromPT])
    configuration.entry.formUnion([.loadIA32BNDCFGS, .concealVMXFromPT])
    configuration.misc = 0x7004_C1E7
    configuration.eptAndVPID = 0xF01_0673_4141
    configuration.cr4Fixed1 = 0x37_27FF
    configuration.cpuid = cpuid(
      signature: 0x5_0654, highestLeaf: 0x16, leaf1ECX: 0x77FA_FBBF, leaf7EBX: 0xD19F_27AB, physicalAddressWidth: 46)
    return configuration
  }

  /// A Haswell: the APIC is virtualized, VMCSs can be shadowed, EPT has accessed and dirty flags.
  public static var haswell: Self {
    var configuration = sandyBridge
    configuration.name = "Haswell"
    configuration.vmcsRevisionIdentifier = 0x12
    configuration.physicalAddressWidth = 39
    configuration.pinBased.formUnion([.processPostedInterrupts])
    configuration.secondary.formUnion([
      .apicRegisterVirtualization, .virtualInterruptDelivery, .rdrandExiting, .enableINVPCID, .enableVMFunctions,
      .vmcsShadowing,
    ])
    configuration.vmFunctions = [.eptpSwitching]
    configuration.misc = 0x3004_81E5
    configuration.eptAndVPID = 0xF01_0633_4141
    configuration.cr4Fixed1 = 0x17_67FF
    configuration.cpuid = cpuid(
      signature: 0x3_06C3, highestLeaf: 0xD, leaf1ECX: 0x77FA_FBFF, leaf7EBX: 0x0000_27AB, physicalAddressWidth: 39)
    return configuration
  }

  /// A Sandy Bridge: the first with unrestricted guests in this list.
  public static var sandyBridge: Self {
    var configuration = nehalem
    configuration.name = "Sandy Bridge"
    configuration.vmcsRevisionIdentifier = 0x10
    configuration.physicalAddressWidth = 36
    configuration.secondary.formUnion([.unrestrictedGuest, .pauseLoopExiting])
    configuration.misc = 0x1004_01E5
    configuration.cr4Fixed1 = 0x6_67FF
    configuration.cpuid = cpuid(
      signature: 0x2_06A7, highestLeaf: 0xD, leaf1ECX: 0x17BA_E3FF, leaf7EBX: 0, physicalAddressWidth: 36)
    return configuration
  }

  /// A Nehalem: EPT and VPIDs, but no unrestricted guests.
  public static var nehalem: Self {
    var configuration = penryn
    configuration.name = "Nehalem"
    configuration.vmcsRevisionIdentifier = 0x0E
    configuration.basicCapabilities = 0x005A_0400_0000_0000
    configuration.hasTRUECapabilityMSRs = true
    configuration.pinBased.formUnion([.activateVMXPreemptionTimer])
    configuration.primary.formUnion([.monitorTrapFlag])
    configuration.secondary.formUnion([
      .enableEPT, .descriptorTableExiting, .enableRDTSCP, .virtualizeX2APICMode, .enableVPID,
    ])
    configuration.exit.formUnion([
      .saveIA32PAT, .loadIA32PAT, .saveIA32EFER, .loadIA32EFER, .saveVMXPreemptionTimerValue,
    ])
    configuration.entry.formUnion([.loadIA32PAT, .loadIA32EFER])
    configuration.misc = 0x0004_01C5
    configuration.eptAndVPID = 0xF01_0611_4141
    configuration.cr4Fixed1 = 0x67FF
    configuration.cpuid = cpuid(
      signature: 0x1_06A5, highestLeaf: 0xB, leaf1ECX: 0x0098_E3FD, leaf7EBX: 0, physicalAddressWidth: 36)
    return configuration
  }

  /// A Penryn, that of Bochs' CPU model `core2_penryn_t9600`: no EPT, no VPIDs, no TRUE capability MSRs.
  public static var penryn: Self {
    var configuration = minimal
    configuration.name = "Penryn"
    configuration.primary.formUnion([.useTPRShadow, .activateSecondaryControls])
    configuration.secondary = [.virtualizeAPICAccesses, .wbinvdExiting]
    configuration.pinBased.formUnion([.virtualNMIs])
    configuration.exit.formUnion([.loadIA32PERFGLOBALCTRL])
    configuration.entry.formUnion([.loadIA32PERFGLOBALCTRL])
    configuration.cr4Fixed1 = 0x4_67FF
    return configuration
  }

  /// As little as a VMX processor can have, with Intel 64: no secondary controls, no TRUE capability MSRs.
  public static var minimal: Self {
    Self(
      name: "minimal", vmcsRevisionIdentifier: 0x0D, basicCapabilities: 0x005A_0800_0000_0000,
      hasTRUECapabilityMSRs: false, physicalAddressWidth: 36, linearAddressWidth: 48,
      pinBased: [.externalInterruptExiting, .nmiExiting],
      primary: [
        .interruptWindowExiting, .useTSCOffsetting, .hltExiting, .invlpgExiting, .mwaitExiting, .rdpmcExiting,
        .rdtscExiting, .cr8LoadExiting, .cr8StoreExiting, .nmiWindowExiting, .movDRExiting, .unconditionalIOExiting,
        .useIOBitmaps, .useMSRBitmaps, .monitorExiting, .pauseExiting,
      ],
      secondary: [],
      exit: [.hostAddressSpaceSize, .acknowledgeInterruptOnExit],
      entry: [.ia32eModeGuest, .entryToSMM, .deactivateDualMonitorTreatment],
      misc: 0x0004_03C0, eptAndVPID: 0, cr4Fixed1: 0x67FF,
      cpuid: cpuid(
        signature: 0x1_067A, highestLeaf: 0xD, leaf1ECX: 0x0408_E3FD, leaf7EBX: 0, physicalAddressWidth: 36))
  }

  /// Every control, feature and field that the vocabulary knows.
  public static var everything: Self {
    func all(_ word: ControlWord) -> UInt64 { word.valueType.bitFields.mask }
    var configuration = skylakeX
    configuration.name = "everything"
    configuration.physicalAddressWidth = 52
    configuration.linearAddressWidth = 57
    configuration.pinBased = .init(rawValue: UInt32(all(.pin)))
    configuration.primary = .init(rawValue: UInt32(all(.primary)))
    configuration.secondary = .init(rawValue: UInt32(all(.secondary)))
    configuration.tertiary = .init(rawValue: all(.tertiary))
    configuration.exit = .init(rawValue: UInt32(all(.exit)))
    configuration.secondaryExit = .init(rawValue: all(.secondaryExit))
    configuration.entry = .init(rawValue: UInt32(all(.entry)))
    configuration.vmFunctions = .init(rawValue: all(.functions))
    configuration.features = Set(VMCSFieldDescription.all.compactMap { $0.condition.feature?.description })
    configuration.eptAndVPID = 0xF01_06F3_41C1
    configuration.cr4Fixed1 = 0x1_13FF_7FFF
    configuration.cpuid = cpuid(
      signature: 0x8_06F8, highestLeaf: 0x1F, leaf1ECX: 0x77FE_FBFF, leaf7EBX: 0xF1BF_27EB, physicalAddressWidth: 52,
      linearAddressWidth: 57)
    return configuration
  }

  /// All presets, from the oldest.
  public static var presets: [Self] { [minimal, penryn, nehalem, sandyBridge, haswell, skylakeX, everything] }

  /// The leaves of CPUID that hypervisors look at.
  private static func cpuid(
    signature: UInt32, highestLeaf: UInt32, leaf1ECX: UInt32, leaf7EBX: UInt32, physicalAddressWidth: UInt32,
    linearAddressWidth: UInt32 = 48
  ) -> [ProcessorModel.CPUIDLeaf: CPUIDResult] {
    [
      // "GenuineIntel"
      .init(0): CPUIDResult(eax: highestLeaf, ebx: 0x756E_6547, ecx: 0x6C65_746E, edx: 0x4965_6E69),
      .init(1): CPUIDResult(eax: signature, ebx: 0x0001_0800, ecx: leaf1ECX | 1 << 5, edx: 0xBFEB_FBFF),
      .init(7): CPUIDResult(eax: 0, ebx: leaf7EBX, ecx: 0, edx: 0),
      .init(0xD): CPUIDResult(eax: leaf1ECX >> 28 & 1 != 0 ? 7 : 3, ebx: 0x340, ecx: 0x340, edx: 0),
      .init(0x8000_0000): CPUIDResult(eax: 0x8000_0008, ebx: 0, ecx: 0, edx: 0),
      // LAHF and SAHF in 64-bit mode; SYSCALL, execute-disable, 1-GByte pages, RDTSCP, Intel 64
      .init(0x8000_0001): CPUIDResult(eax: 0, ebx: 0, ecx: 1, edx: 0x2C10_0800),
      .init(0x8000_0008): CPUIDResult(
        eax: linearAddressWidth << 8 | physicalAddressWidth, ebx: 0, ecx: 0, edx: 0),
    ]
  }
}
