import VMCS

/// Something that a processor says about itself and that a check depends on: a capability MSR, or a register of CPUID.
@frozen
public enum EntryCapability: UInt8, CaseIterable, Hashable, Sendable {
  /// IA32_VMX_BASIC.
  case ia32VMXBASIC
  /// IA32_VMX_PINBASED_CTLS.
  case ia32VMXPINBASEDCTLS
  /// IA32_VMX_PROCBASED_CTLS.
  case ia32VMXPROCBASEDCTLS
  /// IA32_VMX_EXIT_CTLS.
  case ia32VMXEXITCTLS
  /// IA32_VMX_ENTRY_CTLS.
  case ia32VMXENTRYCTLS
  /// IA32_VMX_MISC.
  case ia32VMXMISC
  /// IA32_VMX_CR0_FIXED0.
  case ia32VMXCR0FIXED0
  /// IA32_VMX_CR0_FIXED1.
  case ia32VMXCR0FIXED1
  /// IA32_VMX_CR4_FIXED0.
  case ia32VMXCR4FIXED0
  /// IA32_VMX_CR4_FIXED1.
  case ia32VMXCR4FIXED1
  /// IA32_VMX_PROCBASED_CTLS2.
  case ia32VMXPROCBASEDCTLS2
  /// IA32_VMX_EPT_VPID_CAP.
  case ia32VMXEPTVPIDCAP
  /// IA32_VMX_TRUE_PINBASED_CTLS.
  case ia32VMXTRUEPINBASEDCTLS
  /// IA32_VMX_TRUE_PROCBASED_CTLS.
  case ia32VMXTRUEPROCBASEDCTLS
  /// IA32_VMX_TRUE_EXIT_CTLS.
  case ia32VMXTRUEEXITCTLS
  /// IA32_VMX_TRUE_ENTRY_CTLS.
  case ia32VMXTRUEENTRYCTLS
  /// IA32_VMX_VMFUNC.
  case ia32VMXVMFUNC
  /// IA32_VMX_PROCBASED_CTLS3.
  case ia32VMXPROCBASEDCTLS3
  /// IA32_VMX_EXIT_CTLS2.
  case ia32VMXEXITCTLS2
  /// IA32_PERF_CAPABILITIES.
  case ia32PERFCAPABILITIES
  /// CPUID.(EAX=07H,ECX=0):EBX: structured extended features.
  case cpuid7EBX
  /// CPUID.(EAX=07H,ECX=0):ECX.
  case cpuid7ECX
  /// CPUID.(EAX=07H,ECX=0):EDX.
  case cpuid7EDX
  /// CPUID.(EAX=07H,ECX=1):EAX.
  case cpuid7Subleaf1EAX
  /// CPUID.(EAX=07H,ECX=2):EDX.
  case cpuid7Subleaf2EDX
  /// CPUID.0AH:EAX: performance monitoring.
  case cpuidAEAX
  /// CPUID.0AH:ECX.
  case cpuidAECX
  /// CPUID.0AH:EDX.
  case cpuidAEDX
  /// CPUID.(EAX=14H,ECX=0):EBX: Intel Processor Trace.
  case cpuid14EBX
  /// CPUID.(EAX=14H,ECX=0):ECX.
  case cpuid14ECX
  /// CPUID.(EAX=14H,ECX=1):EAX.
  case cpuid14Subleaf1EAX
  /// CPUID.(EAX=1CH,ECX=0):EBX: last-branch records.
  case cpuid1CEBX
  /// CPUID.80000008H:EAX: the widths of physical and linear addresses.
  case cpuid80000008EAX

  /// Where a capability is read from.
  public enum Source: Sendable {
    /// A capability MSR.
    case msr(MSR)
    /// A register that CPUID returns, 0 to 3 for EAX to EDX, for a leaf and a subleaf.
    case cpuid(leaf: UInt32, subleaf: UInt32, register: UInt8)
  }

  /// Where the capability is read from.
  public var source: Source {
    switch self {
    case .ia32VMXBASIC: .msr(.ia32VMXBASIC)
    case .ia32VMXPINBASEDCTLS: .msr(.ia32VMXPINBASEDCTLS)
    case .ia32VMXPROCBASEDCTLS: .msr(.ia32VMXPROCBASEDCTLS)
    case .ia32VMXEXITCTLS: .msr(.ia32VMXEXITCTLS)
    case .ia32VMXENTRYCTLS: .msr(.ia32VMXENTRYCTLS)
    case .ia32VMXMISC: .msr(.ia32VMXMISC)
    case .ia32VMXCR0FIXED0: .msr(.ia32VMXCR0FIXED0)
    case .ia32VMXCR0FIXED1: .msr(.ia32VMXCR0FIXED1)
    case .ia32VMXCR4FIXED0: .msr(.ia32VMXCR4FIXED0)
    case .ia32VMXCR4FIXED1: .msr(.ia32VMXCR4FIXED1)
    case .ia32VMXPROCBASEDCTLS2: .msr(.ia32VMXPROCBASEDCTLS2)
    case .ia32VMXEPTVPIDCAP: .msr(.ia32VMXEPTVPIDCAP)
    case .ia32VMXTRUEPINBASEDCTLS: .msr(.ia32VMXTRUEPINBASEDCTLS)
    case .ia32VMXTRUEPROCBASEDCTLS: .msr(.ia32VMXTRUEPROCBASEDCTLS)
    case .ia32VMXTRUEEXITCTLS: .msr(.ia32VMXTRUEEXITCTLS)
    case .ia32VMXTRUEENTRYCTLS: .msr(.ia32VMXTRUEENTRYCTLS)
    case .ia32VMXVMFUNC: .msr(.ia32VMXVMFUNC)
    case .ia32VMXPROCBASEDCTLS3: .msr(.ia32VMXPROCBASEDCTLS3)
    case .ia32VMXEXITCTLS2: .msr(.ia32VMXEXITCTLS2)
    case .ia32PERFCAPABILITIES: .msr(.ia32PERFCAPABILITIES)
    case .cpuid7EBX: .cpuid(leaf: 7, subleaf: 0, register: 1)
    case .cpuid7ECX: .cpuid(leaf: 7, subleaf: 0, register: 2)
    case .cpuid7EDX: .cpuid(leaf: 7, subleaf: 0, register: 3)
    case .cpuid7Subleaf1EAX: .cpuid(leaf: 7, subleaf: 1, register: 0)
    case .cpuid7Subleaf2EDX: .cpuid(leaf: 7, subleaf: 2, register: 3)
    case .cpuidAEAX: .cpuid(leaf: 0xA, subleaf: 0, register: 0)
    case .cpuidAECX: .cpuid(leaf: 0xA, subleaf: 0, register: 2)
    case .cpuidAEDX: .cpuid(leaf: 0xA, subleaf: 0, register: 3)
    case .cpuid14EBX: .cpuid(leaf: 0x14, subleaf: 0, register: 1)
    case .cpuid14ECX: .cpuid(leaf: 0x14, subleaf: 0, register: 2)
    case .cpuid14Subleaf1EAX: .cpuid(leaf: 0x14, subleaf: 1, register: 0)
    case .cpuid1CEBX: .cpuid(leaf: 0x1C, subleaf: 0, register: 1)
    case .cpuid80000008EAX: .cpuid(leaf: 0x8000_0008, subleaf: 0, register: 0)
    }
  }

  /// The name: the SDM's name of the MSR, or the SDM's notation for the CPUID register.
  public var title: StaticString {
    switch self {
    case .ia32VMXBASIC: "IA32_VMX_BASIC"
    case .ia32VMXPINBASEDCTLS: "IA32_VMX_PINBASED_CTLS"
    case .ia32VMXPROCBASEDCTLS: "IA32_VMX_PROCBASED_CTLS"
    case .ia32VMXEXITCTLS: "IA32_VMX_EXIT_CTLS"
    case .ia32VMXENTRYCTLS: "IA32_VMX_ENTRY_CTLS"
    case .ia32VMXMISC: "IA32_VMX_MISC"
    case .ia32VMXCR0FIXED0: "IA32_VMX_CR0_FIXED0"
    case .ia32VMXCR0FIXED1: "IA32_VMX_CR0_FIXED1"
    case .ia32VMXCR4FIXED0: "IA32_VMX_CR4_FIXED0"
    case .ia32VMXCR4FIXED1: "IA32_VMX_CR4_FIXED1"
    case .ia32VMXPROCBASEDCTLS2: "IA32_VMX_PROCBASED_CTLS2"
    case .ia32VMXEPTVPIDCAP: "IA32_VMX_EPT_VPID_CAP"
    case .ia32VMXTRUEPINBASEDCTLS: "IA32_VMX_TRUE_PINBASED_CTLS"
    case .ia32VMXTRUEPROCBASEDCTLS: "IA32_VMX_TRUE_PROCBASED_CTLS"
    case .ia32VMXTRUEEXITCTLS: "IA32_VMX_TRUE_EXIT_CTLS"
    case .ia32VMXTRUEENTRYCTLS: "IA32_VMX_TRUE_ENTRY_CTLS"
    case .ia32VMXVMFUNC: "IA32_VMX_VMFUNC"
    case .ia32VMXPROCBASEDCTLS3: "IA32_VMX_PROCBASED_CTLS3"
    case .ia32VMXEXITCTLS2: "IA32_VMX_EXIT_CTLS2"
    case .ia32PERFCAPABILITIES: "IA32_PERF_CAPABILITIES"
    case .cpuid7EBX: "CPUID.(EAX=07H,ECX=0):EBX"
    case .cpuid7ECX: "CPUID.(EAX=07H,ECX=0):ECX"
    case .cpuid7EDX: "CPUID.(EAX=07H,ECX=0):EDX"
    case .cpuid7Subleaf1EAX: "CPUID.(EAX=07H,ECX=1):EAX"
    case .cpuid7Subleaf2EDX: "CPUID.(EAX=07H,ECX=2):EDX"
    case .cpuidAEAX: "CPUID.0AH:EAX"
    case .cpuidAECX: "CPUID.0AH:ECX"
    case .cpuidAEDX: "CPUID.0AH:EDX"
    case .cpuid14EBX: "CPUID.(EAX=14H,ECX=0):EBX"
    case .cpuid14ECX: "CPUID.(EAX=14H,ECX=0):ECX"
    case .cpuid14Subleaf1EAX: "CPUID.(EAX=14H,ECX=1):EAX"
    case .cpuid1CEBX: "CPUID.(EAX=1CH,ECX=0):EBX"
    case .cpuid80000008EAX: "CPUID.80000008H:EAX"
    }
  }
}
