import VMCS

/// What a VM exit loads into the processor: the host-state area (SDM, "Host-State Area").
public struct HostState: Sendable {
  /// CR0 and CR4 are the values in force; CR3 is that of the host's page tables.
  public var cr0, cr3, cr4: UInt64
  /// Selectors with RPL 0 and TI 0.
  ///
  /// CS and TR are not null.
  public var cs, ds, tr: SegmentSelector
  /// Bases of the descriptor tables and of TR.
  public var gdtrBase, idtrBase, trBase: UInt64
  /// IA32_EFER and IA32_PAT as the host uses them.
  public var efer: IA32EFER, pat: IA32PAT
  /// Where a VM exit arrives.
  public var rip: UInt64
  /// The initial APIC ID of the processor whose state this is.
  let initialAPICID: UInt8

  /// Collects what `processor` uses now, with the places that the host has chosen.
  public init<P: VMXProcessor>(
    of processor: P, cs: SegmentSelector, ds: SegmentSelector, tr: SegmentSelector, gdtrBase: UInt64, idtrBase: UInt64,
    trBase: UInt64, rip: UInt64
  ) {
    cr0 = processor.cr0
    cr3 = processor.cr3
    cr4 = processor.cr4
    efer = IA32EFER(rawValue: processor.rdmsr(MSR.ia32EFER.rawValue))
    pat = IA32PAT(rawValue: processor.rdmsr(MSR.ia32PAT.rawValue))
    initialAPICID = processor.initialAPICID
    (self.cs, self.ds, self.tr) = (cs, ds, tr)
    (self.gdtrBase, self.idtrBase, self.trBase, self.rip) = (gdtrBase, idtrBase, trBase, rip)
  }

  /// Writes the host-state area.
  ///
  /// Called once for a vCPU: nothing in it changes later, so that the vCPU stays on the processor whose state it is.
  func write<P: VMXProcessor>(to vmcs: borrowing CurrentVMCS<P>, rsp: UInt64, exitControls: PrimaryVMExitControls) {
    if exitControls.contains(.loadIA32PAT) { vmcs[.hostIA32PAT] = pat }
    if exitControls.contains(.loadIA32EFER) { vmcs[.hostIA32EFER] = efer }
    vmcs[.hostCR0] = CR0(rawValue: cr0)
    vmcs[.hostCR3] = cr3
    vmcs[.hostCR4] = CR4(rawValue: cr4)
    vmcs[.hostCSSelector] = cs
    vmcs[.hostESSelector] = ds
    vmcs[.hostSSSelector] = ds
    vmcs[.hostDSSelector] = ds
    vmcs[.hostFSSelector] = SegmentSelector(rawValue: 0)
    vmcs[.hostGSSelector] = SegmentSelector(rawValue: 0)
    vmcs[.hostTRSelector] = tr
    vmcs[.hostFSBase] = 0
    vmcs[.hostGSBase] = 0
    vmcs[.hostTRBase] = trBase
    vmcs[.hostGDTRBase] = gdtrBase
    vmcs[.hostIDTRBase] = idtrBase
    vmcs[.hostIA32SYSENTERCS] = 0
    vmcs[.hostIA32SYSENTERESP] = 0
    vmcs[.hostIA32SYSENTEREIP] = 0
    vmcs[.hostRSP] = rsp
    vmcs[.hostRIP] = rip
  }
}

extension VMXProcessor {
  /// The initial APIC ID, which tells the processors of a machine apart (SDM, "CPUID—CPU Identification").
  var initialAPICID: UInt8 { UInt8(truncatingIfNeeded: cpuid(1, 0).ebx &>> 24) }

  /// Panics unless this is the processor whose state a vCPU's VM exits load.
  func requireHost(_ initialAPICID: UInt8) {
    let found = self.initialAPICID
    if found == initialAPICID { return }
    stop(
      PanicReport("a vCPU was loaded on another processor than the one whose host state it has", value: UInt64(found)))
  }
}
