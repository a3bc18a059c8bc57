import Boot
import CVMX
import VMCS

/// The logical processor that this code runs on.
///
/// It has no state of its own, so it vanishes where it is specialised.
package struct BareMetalProcessor: VMXProcessor {
  /// Makes the processor.
  @inlinable @inline(__always)
  package init() {}

  @inlinable @inline(__always)
  package func vmxon(_ region: PhysicalAddress) -> VMXOutcome { outcome(cvmx_vmxon(region.rawValue)) }

  @inlinable @inline(__always)
  package func vmxoff() -> VMXOutcome { outcome(cvmx_vmxoff()) }

  @inlinable @inline(__always)
  package func vmclear(_ region: PhysicalAddress) -> VMXOutcome { outcome(cvmx_vmclear(region.rawValue)) }

  @inlinable @inline(__always)
  package func vmptrld(_ region: PhysicalAddress) -> VMXOutcome { outcome(cvmx_vmptrld(region.rawValue)) }

  @inlinable @inline(__always)
  package func vmptrst() -> PhysicalAddress { PhysicalAddress(cvmx_vmptrst()) }

  @inlinable @inline(__always)
  package func vmread(_ encoding: UInt32) -> VMREADResult {
    var value: UInt64 = 0
    let failed = cvmx_vmread(UInt64(encoding), &value)
    return VMREADResult(value: value, failed: failed)
  }

  @inline(never)
  package func outcomeOfFailedVMREAD(_ encoding: UInt32) -> VMXOutcome {
    outcome(cvmx_vmread_outcome(UInt64(encoding)))
  }

  @inlinable @inline(__always)
  package func vmwrite(_ encoding: UInt32, _ value: UInt64) -> Bool { cvmx_vmwrite(UInt64(encoding), value) }

  @inline(never)
  package func outcomeOfFailedVMWRITE(_ encoding: UInt32, _ value: UInt64) -> VMXOutcome {
    outcome(cvmx_vmwrite_outcome(UInt64(encoding), value))
  }

  @inlinable @inline(__always)
  package func invept(_ type: UInt64, _ eptPointer: UInt64) -> VMXOutcome { outcome(cvmx_invept(type, eptPointer)) }

  @inlinable @inline(__always)
  package func invvpid(_ type: UInt64, _ vpid: UInt16, _ linearAddress: UInt64) -> VMXOutcome {
    outcome(cvmx_invvpid(type, vpid, linearAddress))
  }

  @inlinable @inline(__always)
  package func enter(_ registers: UnsafeMutablePointer<GuestRegisters>, resume: Bool) -> VMXOutcome {
    outcome(vmentry(registers, resume))
  }

  // Each vCPU has a processor to itself and nothing preempts this code: there is nothing to keep out.
  @inlinable @inline(__always)
  package func enterCritical() {}

  @inlinable @inline(__always)
  package func exitCritical() {}

  @inlinable @inline(__always)
  package func rdmsr(_ index: UInt32) -> UInt64 { cvmx_rdmsr(index) }

  @inlinable @inline(__always)
  package func wrmsr(_ index: UInt32, _ value: UInt64) { cvmx_wrmsr(index, value) }

  @inlinable @inline(__always)
  package func cpuid(_ leaf: UInt32, _ subleaf: UInt32) -> CPUIDResult {
    let result = cvmx_cpuid(leaf, subleaf)
    return CPUIDResult(eax: result.eax, ebx: result.ebx, ecx: result.ecx, edx: result.edx)
  }

  @inlinable package var cr0: UInt64 {
    @inline(__always) get { cvmx_read_cr0() }
    @inline(__always) nonmutating set { cvmx_write_cr0(newValue) }
  }

  @inlinable package var cr2: UInt64 {
    @inline(__always) get { cvmx_read_cr2() }
    @inline(__always) nonmutating set { cvmx_write_cr2(newValue) }
  }

  @inlinable package var cr3: UInt64 {
    @inline(__always) get { cvmx_read_cr3() }
    @inline(__always) nonmutating set { cvmx_write_cr3(newValue) }
  }

  @inlinable package var cr4: UInt64 {
    @inline(__always) get { cvmx_read_cr4() }
    @inline(__always) nonmutating set { cvmx_write_cr4(newValue) }
  }

  @inlinable package var xcr0: UInt64 {
    @inline(__always) get { cvmx_xgetbv(0) }
    @inline(__always) nonmutating set { cvmx_xsetbv(0, newValue) }
  }

  package func debugRegister(_ number: Int) -> UInt64 {
    switch number {
    case 0: cvmx_read_dr0()
    case 1: cvmx_read_dr1()
    case 2: cvmx_read_dr2()
    case 3: cvmx_read_dr3()
    default: cvmx_read_dr6()
    }
  }

  package func setDebugRegister(_ number: Int, to value: UInt64) {
    switch number {
    case 0: cvmx_write_dr0(value)
    case 1: cvmx_write_dr1(value)
    case 2: cvmx_write_dr2(value)
    case 3: cvmx_write_dr3(value)
    default: cvmx_write_dr6(value)
    }
  }

  package func xmmRegister(_ number: Int) -> XMMRegister {
    let value = cvmx_read_xmm(UInt32(truncatingIfNeeded: number))
    return XMMRegister(low: value.low, high: value.high)
  }

  package func setXMMRegister(_ number: Int, to value: XMMRegister) {
    cvmx_write_xmm(UInt32(truncatingIfNeeded: number), cvmx_xmm(low: value.low, high: value.high))
  }

  @inlinable package var timestampCounter: UInt64 {
    @inline(__always) get { cvmx_rdtsc() }
  }

  @inlinable @inline(__always)
  package func wbinvd() { cvmx_wbinvd() }

  @inline(never)
  package func stop(_ report: PanicReport) -> Never {
    EndOfRun.begin()
    var output = ReportPort(lineStart: "skep: panic ")
    report.write(to: &output)
    endRun("panic")
  }

  @inlinable @inline(__always)
  func outcome(_ code: UInt8) -> VMXOutcome {
    code == 0 ? .succeed : code == 1 ? .failInvalid : .failValid
  }
}
