import VMCS
import VMEntryChecks

/// What states depend on besides seed and index: what the probe has found out about its processor, and what it is itself.
public struct ProbeEnvironment: Sendable {
  /// What the processor says about itself.
  public var capabilities: EntryCapabilities
  /// One bit for each field of the VMCS, by its index in the specification: 1 if VMWRITE accepts the field.
  public var writableFields: InlineArray<4, UInt64>
  /// What the host-state area has to hold, where the VMX regions are, and CPUID's features that no check depends on.
  public var host: InlineArray<13, UInt64>

  /// What stands where in `host`.
  public enum HostValue: Int, Sendable {
    case cr0, cr3, cr4, efer, pat, gdtrBase, idtrBase, trBase, rip, rsp, currentVMCS, vmxonRegion, cpuid1ECX
  }

  /// Makes an environment.
  public init(capabilities: EntryCapabilities, writableFields: InlineArray<4, UInt64>, host: InlineArray<13, UInt64>) {
    (self.capabilities, self.writableFields, self.host) = (capabilities, writableFields, host)
  }

  /// A value of the host.
  public subscript(value: HostValue) -> UInt64 { host[value.rawValue] }

  /// Whether VMWRITE accepts the field at `index`.
  public func isWritable(_ index: Int) -> Bool { writableFields[index >> 6] >> UInt64(index & 63) & 1 == 1 }

  /// A capability; 0 if the processor does not have it.
  func capability(_ capability: EntryCapability) -> UInt64 { capabilities[capability] ?? 0 }

  // MARK: As a sequence of quadwords

  /// How many quadwords an environment is.
  public static var quadwordCount: Int { 1 + EntryCapability.allCases.count + 4 + 13 }

  /// Calls `body` with each quadword.
  public func forEachQuadword(_ body: (UInt64) -> Void) {
    var known: UInt64 = 0
    for capability in EntryCapability.allCases where capabilities[capability] != nil {
      known |= 1 << UInt64(capability.rawValue)
    }
    body(known)
    for capability in EntryCapability.allCases { body(capabilities[capability] ?? 0) }
    for index in 0..<4 { body(writableFields[index]) }
    for index in 0..<13 { body(host[index]) }
  }

  /// Makes an environment of `quadwordCount` quadwords, each a result of `next`.
  public init(reading next: () -> UInt64) {
    capabilities = EntryCapabilities()
    let known = next()
    for capability in EntryCapability.allCases {
      let value = next()
      if known >> UInt64(capability.rawValue) & 1 == 1 { capabilities[capability] = value }
    }
    writableFields = InlineArray(repeating: 0)
    for index in 0..<4 { writableFields[index] = next() }
    host = InlineArray(repeating: 0)
    for index in 0..<13 { host[index] = next() }
  }
}
