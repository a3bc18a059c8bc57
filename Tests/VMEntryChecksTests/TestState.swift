import VMCS
import VMEntryChecks

/// A VMCS with its memory, its processor and the moment of the VM entry.
struct TestState: VMCSState {
  var fields = VMCSFieldValues()
  /// Quadwords by their address.
  var memory: [UInt64: UInt64] = [:]
  var capabilities = EntryCapabilities.everything
  var facts = EntryFacts.hypervisor(isVMRESUME: false, currentVMCSPointer: PhysicalAddress(0xF000))

  func value(of field: VMCSFieldEncoding) -> UInt64? { fields[field] }
  func quadword(at address: PhysicalAddress) -> UInt64? { memory[address.rawValue] }

  subscript<Value>(field: VMCSField<Value, ReadWrite>) -> UInt64 {
    get { fields[field.encoding] ?? 0 }
    set { fields[field.encoding] = newValue & ~0 >> UInt64(64 - Value.Bits.bitWidth) }
  }

  var report: EntryReport { EntryReport(self, capabilities: capabilities, facts: facts) }

  /// The identifiers of the checks that fail.
  var failures: [String] { report.failures.map { $0.check.id.description } }

  /// A state like this one, changed.
  func with(_ change: (inout Self) -> Void) -> Self {
    var state = self
    change(&state)
    return state
  }
}

extension EntryCapabilities {
  /// A processor that supports every control and every feature, with 46 bits of physical and 48 of linear addresses.
  static let everything: Self = {
    func settings(_ word: ControlWord, mustBe1: UInt64 = 0) -> UInt64 {
      (word.valueType.bitFields.mask | mustBe1) << 32 | mustBe1
    }
    var capabilities = Self()
    capabilities[.ia32VMXBASIC] = 0x00DA_1000_0000_002B | 1 << 55
    capabilities[.ia32VMXPINBASEDCTLS] = settings(.pin, mustBe1: 0x16)
    capabilities[.ia32VMXPROCBASEDCTLS] = settings(.primary, mustBe1: 0x0401_E172)
    capabilities[.ia32VMXEXITCTLS] = settings(.exit, mustBe1: 0x3_6DFF)
    capabilities[.ia32VMXENTRYCTLS] = settings(.entry, mustBe1: 0x11FF)
    capabilities[.ia32VMXTRUEPINBASEDCTLS] = settings(.pin, mustBe1: 0x16)
    capabilities[.ia32VMXTRUEPROCBASEDCTLS] = settings(.primary, mustBe1: 0x0400_6172)
    capabilities[.ia32VMXTRUEEXITCTLS] = settings(.exit, mustBe1: 0x3_6DFB)
    capabilities[.ia32VMXTRUEENTRYCTLS] = settings(.entry, mustBe1: 0x11FB)
    capabilities[.ia32VMXMISC] = 7 << 6 | 4 << 16
    capabilities[.ia32VMXCR0FIXED0] = 0x8000_0021
    capabilities[.ia32VMXCR0FIXED1] = 0xFFFF_FFFF
    capabilities[.ia32VMXCR4FIXED0] = 0x2000
    capabilities[.ia32VMXCR4FIXED1] = ValueType.cr4.bitFields.mask
    capabilities[.ia32VMXPROCBASEDCTLS2] = settings(.secondary)
    capabilities[.ia32VMXEPTVPIDCAP] = 1 << 6 | 1 << 7 | 1 << 8 | 1 << 14 | 1 << 21 | 1 << 23
    capabilities[.ia32VMXVMFUNC] = 1
    capabilities[.ia32VMXPROCBASEDCTLS3] = ControlWord.tertiary.valueType.bitFields.mask
    capabilities[.ia32VMXEXITCTLS2] = ControlWord.secondaryExit.valueType.bitFields.mask
    capabilities[.ia32PERFCAPABILITIES] = 1 << 15
    capabilities[.cpuid7EBX] = 1 << 2 | 1 << 11 | 1 << 25
    capabilities[.cpuid7ECX] = 1 << 7 | 1 << 24
    capabilities[.cpuid7EDX] = 1 << 20 | 1 << 26 | 1 << 27 | 1 << 31
    capabilities[.cpuid7Subleaf1EAX] = 1 << 26
    capabilities[.cpuid7Subleaf2EDX] = 0x1F
    capabilities[.cpuidAEAX] = 0x0805
    capabilities[.cpuidAECX] = 0xF
    capabilities[.cpuidAEDX] = 4
    capabilities[.cpuid14EBX] = 0x1FF
    capabilities[.cpuid14ECX] = 9
    capabilities[.cpuid14Subleaf1EAX] = 2
    capabilities[.cpuid1CEBX] = 7
    capabilities[.cpuid80000008EAX] = 0x302E
    return capabilities
  }()
}
