/// Who printed a dump, and in which form.
@frozen
public enum DumpFormat: UInt8, CaseIterable, Sendable {
  /// KVM's `dump_vmcs`, in all its ages.
  case kvm
  /// Xen's `vmcs_dump_vcpu`, from 4.0.
  case xen
  /// Xen's dump before 4.0: values by encoding.
  case xenRaw
  /// The registers that QEMU prints after "KVM: entry failed".
  case qemu
  /// What bhyve, xhyve and hyperkit print at an unexpected VM exit.
  case bhyve
  /// `bhyvectl --get-all`.
  case bhyvectl
  /// `show vmcs` of FreeBSD's kernel debugger.
  case ddb
  /// HAXM's log.
  case haxm
  /// Skep's own: the table of `skep show`, and the report of a stopped guest.
  case skep
  /// `vmwrite(encoding, value);` lines, a reproducer.
  case vmwrite
  /// Messages about a VM entry without a VMCS.
  case message
  /// An AMD processor's VMCB, which is no VMCS.
  case vmcb

  /// The name, for people and for the JSON output.
  public var name: StaticString {
    switch self {
    case .kvm: "KVM"
    case .xen: "Xen"
    case .xenRaw: "Xen (raw)"
    case .qemu: "QEMU"
    case .bhyve: "bhyve"
    case .bhyvectl: "bhyvectl"
    case .ddb: "ddb"
    case .haxm: "HAXM"
    case .skep: "Skep"
    case .vmwrite: "vmwrite"
    case .message: "message"
    case .vmcb: "AMD VMCB"
    }
  }
}
