import VMCS
import VMCSDump
import VMEntryChecks

/// A dump as a state that the checks can be made on.
struct DumpedState: VMCSState {
  // The checks copy their state often, and this is one reference.
  private let dumped: Dumped

  private final class Dumped: Sendable {
    let dump: Dump
    init(_ dump: Dump) { self.dump = dump }
  }

  init(dump: Dump) { dumped = Dumped(dump) }

  var dump: Dump { dumped.dump }

  func value(of field: VMCSFieldEncoding) -> UInt64? { dumped.dump.contents(of: field) }

  /// What is known of the logical processor: what every hypervisor that prints dumps does, and what the dump says.
  var facts: EntryFacts {
    var facts = EntryFacts()
    // Otherwise VMLAUNCH and VMRESUME cause exceptions, and no dump is printed.
    (facts.isInVirtual8086OrCompatibilityMode, facts.cpl, facts.isInSMM) = (false, 0, false)
    facts.isVMRESUME = dump.isVMRESUME
    if let rip = dump.contents(of: VMCSField.hostRIP.encoding), rip >> 32 != 0 { facts.isInIA32eMode = true }
    return facts
  }

  /// Whether the dump has what every whole dump of a VMCS has.
  var isWhole: Bool {
    let needed: [VMCSFieldEncoding] = [
      VMCSField.guestCR0.encoding, VMCSField.guestRIP.encoding, VMCSField.guestRFLAGS.encoding,
      VMCSField.guestCSAccessRights.encoding, VMCSField.guestTRAccessRights.encoding, VMCSField.hostCR0.encoding,
      VMCSField.hostRIP.encoding, VMCSField.pinBasedVMExecutionControls.encoding,
      VMCSField.primaryProcessorBasedVMExecutionControls.encoding, VMCSField.primaryVMExitControls.encoding,
      VMCSField.vmEntryControls.encoding,
    ]
    return needed.allSatisfy { dump.contents(of: $0) != nil }
  }
}

/// A state with one entry in the VM-entry MSR-load area, which the dump prints instead of the area's address.
struct MSRLoadState: VMCSState {
  let dump: Dump
  let entry: DumpMSREntry

  private static let address: UInt64 = 0x1000

  func value(of field: VMCSFieldEncoding) -> UInt64? {
    switch field {
    case VMCSField.vmEntryMSRLoadCount.encoding: 1
    case VMCSField.vmEntryMSRLoadAddress.encoding: Self.address
    default: dump.contents(of: field)
    }
  }

  func quadword(at address: PhysicalAddress) -> UInt64? {
    switch address.rawValue {
    case Self.address: UInt64(entry.msr.rawValue)
    case Self.address + 8: entry.value
    default: nil
    }
  }
}
