import VMCS

/// A register outside the VMCS that the seam gives access to.
public enum SystemRegister: String, CaseIterable, Sendable {
  /// The SDM's names, in lower case.
  case cr0, cr2, cr3, cr4, xcr0, dr0, dr1, dr2, dr3, dr6, timestampCounter
}

/// One thing that software did to the processor, with its operands and results.
public enum ProcessorAccess: Hashable, Sendable {
  /// VMX instructions on a region, or without an operand.
  case vmxon(PhysicalAddress)
  case vmxoff
  case vmclear(PhysicalAddress)
  case vmptrld(PhysicalAddress)
  case vmptrst(PhysicalAddress)
  /// VMREAD with the value that it gave, 0 if it failed.
  case vmread(VMCSFieldEncoding, UInt64)
  /// VMWRITE with the value as software gave it.
  case vmwrite(VMCSFieldEncoding, UInt64)
  /// INVEPT with its type and EPT pointer.
  case invept(type: UInt64, eptPointer: UInt64)
  /// INVVPID with its type and descriptor.
  case invvpid(type: UInt64, vpid: UInt16, linearAddress: UInt64)
  /// VM entries.
  case vmlaunch
  case vmresume
  /// What ended the guest's turn; its fields are in the VMCS.
  case vmExit(ExitReason)
  /// The host's hooks.
  case enterCritical
  case exitCritical
  /// Privileged state outside the VMCS, with the values.
  case rdmsr(UInt32, UInt64)
  case wrmsr(UInt32, UInt64)
  case cpuid(leaf: UInt32, subleaf: UInt32)
  case read(SystemRegister, UInt64)
  case write(SystemRegister, UInt64)
  case readXMM(Int, XMMRegister)
  case writeXMM(Int, XMMRegister)
  case wbinvd
}

/// An access in its place.
public struct TraceEntry: Hashable, Sendable {
  /// What was done.
  public var access: ProcessorAccess
  /// How it ended; `.succeed` for what cannot fail by CF or ZF.
  public var outcome: VMXOutcome
  /// How many critical sections the code was in after the access.
  public var criticalNesting: Int
  /// The current-VMCS pointer after the access; all ones if there was none.
  public var currentVMCS: PhysicalAddress
}

/// Everything that software did to a processor, in order.
public struct AccessTrace: Sendable {
  /// The accesses, oldest first.
  public private(set) var entries: [TraceEntry] = []

  init() {}

  mutating func append(_ entry: TraceEntry) { entries.append(entry) }

  /// The accesses without their circumstances.
  public var accesses: [ProcessorAccess] { entries.map(\.access) }

  /// The fields and values of all VMWRITEs, in order, successful or not.
  public var vmwrites: [(field: VMCSFieldEncoding, value: UInt64)] {
    entries.compactMap { if case .vmwrite(let field, let value) = $0.access { (field, value) } else { nil } }
  }

  /// The fields of all VMREADs, in order, successful or not.
  public var vmreads: [VMCSFieldEncoding] {
    entries.compactMap { if case .vmread(let field, _) = $0.access { field } else { nil } }
  }

  /// The operands of all VMPTRLDs, in order.
  public var loads: [PhysicalAddress] {
    entries.compactMap { if case .vmptrld(let address) = $0.access { address } else { nil } }
  }

  /// The operands of all VMCLEARs, in order.
  public var clears: [PhysicalAddress] {
    entries.compactMap { if case .vmclear(let address) = $0.access { address } else { nil } }
  }

  /// How many accesses satisfy `predicate`.
  public func count(where predicate: (ProcessorAccess) -> Bool) -> Int {
    entries.count { predicate($0.access) }
  }
}
