/// How a VMX instruction ended, in the SDM's words ("Conventions", chapter "VMX Instruction Reference").
@frozen
public enum VMXOutcome: UInt8, Sendable {
  /// CF and ZF are 0.
  case succeed = 0
  /// CF is 1: the instruction failed and there is no current VMCS to put an error number into.
  case failInvalid = 1
  /// ZF is 1: the instruction failed and the VM-instruction error field says why.
  case failValid = 2
}

/// What a VMREAD gave: the value, or that it failed, by the one test (CF or ZF) that the hot path pays for.
@frozen
public struct VMREADResult: Sendable {
  /// The field's value, zero-extended to 64 bits; without meaning if the instruction failed.
  public var value: UInt64
  /// Whether CF or ZF was 1.
  public var failed: Bool

  /// Makes a result.
  @inlinable
  public init(value: UInt64, failed: Bool) {
    self.value = value
    self.failed = failed
  }
}

/// What CPUID returned.
@frozen
public struct CPUIDResult: Hashable, Sendable {
  /// The four registers that CPUID writes.
  public var eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32

  /// Makes a result.
  @inlinable
  public init(eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32) {
    self.eax = eax
    self.ebx = ebx
    self.ecx = ecx
    self.edx = edx
  }
}

/// The seam: a logical processor in the eyes of everything above it.
///
/// On bare metal it is a zero-size struct over `CVMX` that vanishes when specialised; in tests it is
/// `ProcessorModel`. There is no other implementation.
public protocol VMXProcessor {
  // MARK: VMX instructions (SDM, "VMX Instruction Reference")

  /// VMXON with the region at `region`.
  func vmxon(_ region: PhysicalAddress) -> VMXOutcome
  /// VMXOFF.
  func vmxoff() -> VMXOutcome
  /// VMCLEAR of the VMCS at `region`.
  func vmclear(_ region: PhysicalAddress) -> VMXOutcome
  /// VMPTRLD of the VMCS at `region`.
  func vmptrld(_ region: PhysicalAddress) -> VMXOutcome
  /// VMPTRST: the current-VMCS pointer, all ones if there is none.
  func vmptrst() -> PhysicalAddress
  /// VMREAD of the field with `encoding`.
  func vmread(_ encoding: UInt32) -> VMREADResult
  /// How the VMREAD of `encoding` that has just failed ended. Hardware executes it once more to see both flags.
  func outcomeOfFailedVMREAD(_ encoding: UInt32) -> VMXOutcome
  /// VMWRITE of `value` to the field with `encoding`; true if CF or ZF was 1.
  func vmwrite(_ encoding: UInt32, _ value: UInt64) -> Bool
  /// How the VMWRITE that has just failed ended. Hardware executes it once more to see both flags.
  func outcomeOfFailedVMWRITE(_ encoding: UInt32, _ value: UInt64) -> VMXOutcome
  /// INVEPT of `type` with the descriptor's two quadwords: the EPT pointer, and zero.
  func invept(_ type: UInt64, _ eptPointer: UInt64) -> VMXOutcome
  /// INVVPID of `type` with the descriptor's VPID and linear address.
  func invvpid(_ type: UInt64, _ vpid: UInt16, _ linearAddress: UInt64) -> VMXOutcome
  /// VMLAUNCH, or VMRESUME if `resume`, with `registers` in the processor, until the VM exit, when they hold the guest's.
  ///
  /// Returns `.succeed` if a VM exit happened (which includes VM-entry failures that load host state, bit 31 of the exit
  /// reason), otherwise how the instruction failed.
  func enter(_ registers: UnsafeMutablePointer<GuestRegisters>, resume: Bool) -> VMXOutcome

  // MARK: The host's hooks

  /// Keeps the host from moving this code to another logical processor, until the matching `exitCritical()`. Nests.
  func enterCritical()
  /// Ends what `enterCritical()` began.
  func exitCritical()

  // MARK: Privileged state outside the VMCS

  /// RDMSR of an MSR that the caller knows to exist.
  func rdmsr(_ index: UInt32) -> UInt64
  /// WRMSR of a value that the caller knows to be legal.
  func wrmsr(_ index: UInt32, _ value: UInt64)
  /// CPUID.
  func cpuid(_ leaf: UInt32, _ subleaf: UInt32) -> CPUIDResult
  /// CR0.
  var cr0: UInt64 { get nonmutating set }
  /// CR2.
  var cr2: UInt64 { get nonmutating set }
  /// CR3.
  var cr3: UInt64 { get nonmutating set }
  /// CR4.
  var cr4: UInt64 { get nonmutating set }
  /// XCR0; legal only while CR4.OSXSAVE is 1.
  var xcr0: UInt64 { get nonmutating set }
  /// DR0 to DR3 and DR6, by number. VM transitions do not change them.
  func debugRegister(_ number: Int) -> UInt64
  /// Gives DR0 to DR3 or DR6 a value.
  func setDebugRegister(_ number: Int, to value: UInt64)
  /// XMM0 to XMM15, by number; legal only while CR4.OSFXSR is 1 and CR0.EM and CR0.TS are 0. VM transitions do not change
  /// them, and the host uses them for nothing.
  func xmmRegister(_ number: Int) -> XMMRegister
  /// Gives XMM0 to XMM15 a value; the rest of the vector register stays as it is.
  func setXMMRegister(_ number: Int, to value: XMMRegister)
  /// RDTSC.
  var timestampCounter: UInt64 { get }
  /// WBINVD.
  func wbinvd()

  // MARK: The end

  /// Prints `report` to the host's console and stops this logical processor for good.
  func stop(_ report: PanicReport) -> Never
}
