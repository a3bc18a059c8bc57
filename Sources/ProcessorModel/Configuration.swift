import VMCS

extension ProcessorModel {
  /// What a processor can do, as its capability MSRs and CPUID report it.
  public struct Configuration: Sendable, CustomStringConvertible {
    /// A name for messages and test cases.
    public var name: String
    /// Bits 30:0 of IA32_VMX_BASIC.
    public var vmcsRevisionIdentifier: UInt32
    /// IA32_VMX_BASIC without the revision identifier and bit 55.
    public var basicCapabilities: UInt64
    /// Whether the TRUE capability MSRs exist (IA32_VMX_BASIC bit 55).
    public var hasTRUECapabilityMSRs: Bool
    /// The physical-address width, in bits.
    public var physicalAddressWidth: Int
    /// The linear-address width, in bits.
    public var linearAddressWidth: Int

    /// The pin-based controls that can be 1, beside those that must be.
    public var pinBased: PinBasedVMExecutionControls
    /// The primary processor-based controls that can be 1, beside those that must be.
    public var primary: PrimaryProcessorBasedVMExecutionControls
    /// The secondary processor-based controls that can be 1.
    public var secondary: SecondaryProcessorBasedVMExecutionControls
    /// The tertiary processor-based controls that can be 1.
    public var tertiary: TertiaryProcessorBasedVMExecutionControls = []
    /// The primary VM-exit controls that can be 1, beside those that must be.
    public var exit: PrimaryVMExitControls
    /// The secondary VM-exit controls that can be 1.
    public var secondaryExit: SecondaryVMExitControls = []
    /// The VM-entry controls that can be 1, beside those that must be.
    public var entry: VMEntryControls
    /// The VM functions that can be enabled.
    public var vmFunctions: VMFunctionControls = []
    /// Features that make fields exist without a control, in the words of the field's condition.
    public var features: Set<String> = []

    /// IA32_VMX_MISC.
    public var misc: UInt64
    /// IA32_VMX_EPT_VPID_CAP.
    public var eptAndVPID: UInt64
    /// IA32_VMX_CR4_FIXED1: the bits of CR4 that can be 1.
    public var cr4Fixed1: UInt64
    /// IA32_FEATURE_CONTROL when the firmware hands over.
    public var featureControl: UInt64 = 0b101
    /// CPUID by leaf and subleaf.
    public var cpuid: [CPUIDLeaf: CPUIDResult]
    /// The MSRs that are neither VMX capabilities nor IA32_FEATURE_CONTROL, with the values that they start with.
    public var msrs: [UInt32: UInt64] = Configuration.defaultMSRs

    /// By how much the time-stamp counter grows with each read.
    public var timestampStep: UInt64 = 100
    /// Whether a field that software never wrote reads as something arbitrary instead of as zero.
    public var poisonsUninitializedFields = true

    /// The name.
    public var description: String { name }

    /// Whether the processor supports the 1-setting of the control `bit`.
    public func supports(_ bit: ControlBit) -> Bool {
      let word: UInt64 =
        switch bit.word {
        case .pin: allowed1(pinBased.rawValue, .pinBased)
        case .primary: allowed1(primary.rawValue, .primary)
        case .secondary: hasSecondaryControls ? UInt64(secondary.rawValue) : 0
        case .tertiary: hasTertiaryControls ? tertiary.rawValue : 0
        case .exit: allowed1(exit.rawValue, .exit)
        case .secondaryExit: hasSecondaryExitControls ? secondaryExit.rawValue : 0
        case .entry: allowed1(entry.rawValue, .entry)
        case .functions: hasVMFunctions ? vmFunctions.rawValue : 0
        }
      return word >> UInt64(bit.bit) & 1 != 0
    }

    /// Whether the VMCS of the processor has `field`.
    public func supports(_ field: VMCSFieldDescription) -> Bool {
      if let feature = field.condition.feature { return features.contains(feature.description) }
      return field.condition.holds(supports)
    }

    /// The value of the VMX capability MSR `index`; nil if the processor does not have it.
    public func capabilityMSR(_ index: UInt32) -> UInt64? {
      switch MSR(rawValue: index) {
      case .ia32VMXBASIC:
        UInt64(vmcsRevisionIdentifier) | basicCapabilities | (hasTRUECapabilityMSRs ? 1 << 55 : 0)
      case .ia32VMXPINBASEDCTLS: controls(pinBased.rawValue, .pinBased)
      case .ia32VMXPROCBASEDCTLS: controls(primary.rawValue, .primary)
      case .ia32VMXEXITCTLS: controls(exit.rawValue, .exit)
      case .ia32VMXENTRYCTLS: controls(entry.rawValue, .entry)
      case .ia32VMXTRUEPINBASEDCTLS: trueControls(pinBased.rawValue, .pinBased)
      case .ia32VMXTRUEPROCBASEDCTLS: trueControls(primary.rawValue, .primary)
      case .ia32VMXTRUEEXITCTLS: trueControls(exit.rawValue, .exit)
      case .ia32VMXTRUEENTRYCTLS: trueControls(entry.rawValue, .entry)
      case .ia32VMXPROCBASEDCTLS2: hasSecondaryControls ? UInt64(secondary.rawValue) << 32 : nil
      case .ia32VMXPROCBASEDCTLS3: hasTertiaryControls ? tertiary.rawValue : nil
      case .ia32VMXEXITCTLS2: hasSecondaryExitControls ? secondaryExit.rawValue : nil
      case .ia32VMXVMFUNC: hasVMFunctions ? vmFunctions.rawValue : nil
      case .ia32VMXMISC: misc
      case .ia32VMXCR0FIXED0: cr0Fixed0
      case .ia32VMXCR0FIXED1: 0xFFFF_FFFF
      case .ia32VMXCR4FIXED0: cr4Fixed0
      case .ia32VMXCR4FIXED1: cr4Fixed1
      case .ia32VMXVMCSENUM: vmcsEnumeration
      case .ia32VMXEPTVPIDCAP: hasEPT || hasVPID ? eptAndVPID : nil
      default: nil
      }
    }

    /// IA32_VMX_CR0_FIXED0: PE, NE and PG.
    public var cr0Fixed0: UInt64 { 0x8000_0021 }
    /// IA32_VMX_CR4_FIXED0: VMXE.
    public var cr4Fixed0: UInt64 { 0x2000 }

    var hasSecondaryControls: Bool { primary.contains(.activateSecondaryControls) }
    var hasTertiaryControls: Bool { primary.contains(.activateTertiaryControls) }
    var hasSecondaryExitControls: Bool { exit.contains(.activateSecondaryControls) }
    var hasEPT: Bool { hasSecondaryControls && secondary.contains(.enableEPT) }
    var hasVPID: Bool { hasSecondaryControls && secondary.contains(.enableVPID) }
    var hasVMFunctions: Bool { hasSecondaryControls && secondary.contains(.enableVMFunctions) }
    /// IA32_VMX_MISC bit 29: VMWRITE can write VM-exit information.
    var vmwriteWritesExitInformation: Bool { misc >> 29 & 1 != 0 }
    /// The width that the operands of VMXON, VMCLEAR and VMPTRLD can have; IA32_VMX_BASIC bit 48 limits it.
    var vmxPointerWidth: Int { basicCapabilities >> 48 & 1 != 0 ? 32 : physicalAddressWidth }

    /// The highest index of the fields that the processor has, in bits 9:1.
    private var vmcsEnumeration: UInt64 {
      UInt64(VMCSFieldDescription.all.filter(supports).map(\.encoding.index).max() ?? 0) << 1
    }

    private func allowed1(_ word: UInt32, _ class: Default1Class) -> UInt64 { UInt64(word | `class`.bits) }

    private func controls(_ word: UInt32, _ class: Default1Class) -> UInt64 {
      UInt64(`class`.bits) | allowed1(word, `class`) << 32
    }

    private func trueControls(_ word: UInt32, _ class: Default1Class) -> UInt64? {
      hasTRUECapabilityMSRs ? UInt64(`class`.bits & ~`class`.optionalBits) | allowed1(word, `class`) << 32 : nil
    }
  }

  /// The operands of CPUID.
  public struct CPUIDLeaf: Hashable, Sendable {
    /// EAX and ECX.
    public var leaf: UInt32, subleaf: UInt32

    /// Makes the operands of CPUID.
    public init(_ leaf: UInt32, _ subleaf: UInt32 = 0) {
      self.leaf = leaf
      self.subleaf = subleaf
    }
  }
}

/// The bits of a control word that had to be 1 on the first VMX processors.
///
/// SDM, "Reserved Controls and Default Settings".
private enum Default1Class {
  case pinBased, primary, exit, entry

  /// The class.
  var bits: UInt32 {
    switch self {
    case .pinBased: 0x0000_0016
    case .primary: 0x0401_E172
    case .exit: 0x0003_6DFF
    case .entry: 0x0000_11FF
    }
  }

  /// Those that the TRUE capability MSRs allow to be 0: CR3-load exiting, CR3-store exiting, and the debug controls.
  var optionalBits: UInt32 {
    switch self {
    case .pinBased: 0
    case .primary: 1 << 15 | 1 << 16
    case .exit, .entry: 1 << 2
    }
  }
}

extension ProcessorModel.Configuration {
  /// The MSRs that every preset has, as the firmware leaves them.
  static var defaultMSRs: [UInt32: UInt64] {
    [
      0x3B: 0,  // IA32_TSC_ADJUST
      0x1B: 0xFEE0_0900,  // IA32_APIC_BASE: enabled, bootstrap processor
      0xFE: 0x508,  // IA32_MTRRCAP: eight variable ranges, fixed ranges, write-combining
      0x174: 0, 0x175: 0, 0x176: 0,  // IA32_SYSENTER_CS, _ESP, _EIP
      0x179: 0, 0x17A: 0,  // IA32_MCG_CAP, IA32_MCG_STATUS
      0x1A0: 0x1801,  // IA32_MISC_ENABLE: fast strings, no branch trace, no PEBS
      0x1D9: 0,  // IA32_DEBUGCTL
      0x277: 0x0007_0406_0007_0406,  // IA32_PAT
      0x345: 0x2000,  // IA32_PERF_CAPABILITIES: full-width counter writes
      0x38F: 0,  // IA32_PERF_GLOBAL_CTRL
      0xDA0: 0,  // IA32_XSS
      0xC000_0103: 0,  // IA32_TSC_AUX
      0x2FF: 0x806,  // IA32_MTRR_DEF_TYPE: enabled, write-back
      0xC000_0080: 0xD01,  // IA32_EFER: SCE, LME, LMA, NXE
      0xC000_0081: 0, 0xC000_0082: 0, 0xC000_0083: 0, 0xC000_0084: 0,  // IA32_STAR, _LSTAR, _CSTAR, _FMASK
      0xC000_0100: 0, 0xC000_0101: 0, 0xC000_0102: 0,  // IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE
    ]
  }
}
