import VMCS

/// The host's hooks, and the privileged state outside the VMCS.
extension ProcessorModel {
  /// Counts one critical section more.
  public func enterCritical() {
    criticalNesting += 1
    record(.enterCritical)
  }

  /// Counts one critical section less.
  public func exitCritical() {
    if criticalNesting == 0 { fault(.undefinedBehavior("exitCritical() without enterCritical()")) }
    criticalNesting = max(criticalNesting - 1, 0)
    record(.exitCritical)
  }

  /// Executes RDMSR; #GP if the MSR does not exist.
  public func rdmsr(_ index: UInt32) -> UInt64 {
    let value =
      index == MSR.ia32TIMESTAMPCOUNTER.rawValue ? nextTime() : configuration.capabilityMSR(index) ?? msrs[index]
    if value == nil { fault(.generalProtection("RDMSR of \(hexadecimal(index)), which does not exist")) }
    record(.rdmsr(index, value ?? 0))
    return value ?? 0
  }

  /// Executes WRMSR; #GP if the MSR does not exist or cannot be written.
  public func wrmsr(_ index: UInt32, _ value: UInt64) {
    record(.wrmsr(index, value))
    let featureControl = MSR.ia32FEATURECONTROL.rawValue
    if index == MSR.ia32TIMESTAMPCOUNTER.rawValue {
      time = value
    } else if let old = msrs[index], index != featureControl || old & 1 == 0 {
      msrs[index] = value
    } else {
      fault(.generalProtection("WRMSR of \(hexadecimal(index)), which does not exist or is read-only"))
    }
  }

  /// Executes CPUID; a leaf beyond the highest gives the data of the highest basic leaf, as Intel processors do.
  public func cpuid(_ leaf: UInt32, _ subleaf: UInt32) -> CPUIDResult {
    record(.cpuid(leaf: leaf, subleaf: subleaf))
    let table = configuration.cpuid
    let highestBasic = table[CPUIDLeaf(0)]?.eax ?? 0
    let highestExtended = table[CPUIDLeaf(0x8000_0000)]?.eax ?? 0
    let isKnown = leaf <= highestBasic || (0x8000_0000...max(highestExtended, 0x8000_0000)).contains(leaf)
    let leaf = isKnown ? leaf : highestBasic
    let usesSubleaf = [4, 7, 0xB, 0xD, 0xF, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1F].contains(leaf)
    var result = table[CPUIDLeaf(leaf, usesSubleaf ? subleaf : 0)] ?? CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0)
    let osxsave: UInt64 = 1 << 18
    if leaf == 1, systemRegisters[.cr4, default: 0] & osxsave != 0 { result.ecx |= 1 << 27 }
    return result
  }

  /// CR0; #GP if VMX operation does not allow the value.
  public var cr0: UInt64 {
    get { get(.cr0) }
    set {
      let fixed0 = configuration.cr0Fixed0
      if isInVMXOperation, newValue & fixed0 != fixed0 || newValue >> 32 != 0 {
        fault(.generalProtection("MOV to CR0 of \(hexadecimal(newValue)) in VMX operation"))
      } else {
        set(.cr0, newValue)
      }
    }
  }

  /// CR2.
  public var cr2: UInt64 {
    get { get(.cr2) }
    set { set(.cr2, newValue) }
  }

  /// CR3.
  public var cr3: UInt64 {
    get { get(.cr3) }
    set { set(.cr3, newValue) }
  }

  /// CR4; #GP if the processor, or VMX operation, does not allow the value.
  public var cr4: UInt64 {
    get { get(.cr4) }
    set {
      let needed = isInVMXOperation ? configuration.cr4Fixed0 : 0
      if newValue & needed != needed || newValue & ~configuration.cr4Fixed1 != 0 {
        fault(.generalProtection("MOV to CR4 of \(hexadecimal(newValue))"))
      } else {
        set(.cr4, newValue)
      }
    }
  }

  /// XCR0; #UD while CR4.OSXSAVE is 0.
  public var xcr0: UInt64 {
    get { hasXCR0("XGETBV") ? get(.xcr0) : 0 }
    set { if hasXCR0("XSETBV") { set(.xcr0, newValue) } }
  }

  /// DR0 to DR3 or DR6, by number; any other number is a fault.
  public func debugRegister(_ number: Int) -> UInt64 { debugRegister(named: number).map(get) ?? 0 }

  /// Gives DR0 to DR3 or DR6 a value; any other number is a fault.
  public func setDebugRegister(_ number: Int, to value: UInt64) {
    if let register = debugRegister(named: number) { set(register, value) }
  }

  private func debugRegister(named number: Int) -> SystemRegister? {
    let registers: [Int: SystemRegister] = [0: .dr0, 1: .dr1, 2: .dr2, 3: .dr3, 6: .dr6]
    if registers[number] == nil { fault(.invalidOpcode("access to DR\(number)")) }
    return registers[number]
  }

  /// XMM0 to XMM15, by number; any other number, and CR4.OSFXSR = 0, is a fault.
  public func xmmRegister(_ number: Int) -> XMMRegister {
    guard hasXMMRegister(number) else { return XMMRegister(low: 0, high: 0) }
    record(.readXMM(number, xmmRegisters[number]))
    return xmmRegisters[number]
  }

  /// Gives XMM0 to XMM15 a value; any other number, and CR4.OSFXSR = 0, is a fault.
  public func setXMMRegister(_ number: Int, to value: XMMRegister) {
    guard hasXMMRegister(number) else { return }
    xmmRegisters[number] = value
    record(.writeXMM(number, value))
  }

  private func hasXMMRegister(_ number: Int) -> Bool {
    let isEnabled = systemRegisters[.cr4, default: 0] >> 9 & 1 != 0 && systemRegisters[.cr0, default: 0] & 0b1100 == 0
    if !isEnabled {
      fault(.invalidOpcode("access to XMM\(number) with CR4.OSFXSR = 0, CR0.EM = 1 or CR0.TS = 1"))
    } else if !xmmRegisters.indices.contains(number) {
      fault(.invalidOpcode("access to XMM\(number)"))
    }
    return isEnabled && xmmRegisters.indices.contains(number)
  }

  /// The time-stamp counter, which grows by the configuration's `timestampStep` with each read.
  public var timestampCounter: UInt64 {
    let value = nextTime()
    record(.read(.timestampCounter, value))
    return value
  }

  /// Executes WBINVD.
  public func wbinvd() { record(.wbinvd) }

  private func get(_ register: SystemRegister) -> UInt64 {
    let value = systemRegisters[register] ?? 0
    record(.read(register, value))
    return value
  }

  private func set(_ register: SystemRegister, _ value: UInt64) {
    systemRegisters[register] = value
    record(.write(register, value))
  }

  private func nextTime() -> UInt64 {
    time &+= configuration.timestampStep
    return time
  }

  private func hasXCR0(_ instruction: String) -> Bool {
    let isEnabled = systemRegisters[.cr4, default: 0] >> 18 & 1 != 0
    if !isEnabled { fault(.invalidOpcode("\(instruction) with CR4.OSXSAVE = 0")) }
    return isEnabled
  }
}

/// `value` in hexadecimal, for messages.
func hexadecimal(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
