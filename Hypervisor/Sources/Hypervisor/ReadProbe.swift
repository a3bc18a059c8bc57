import Host
import VMCS

/// One typed read and nothing else, for the image's test to disassemble.
@inline(never)
private func readGuestRIP(_ vmcs: borrowing CurrentVMCS<BareMetalProcessor>) -> UInt64 { vmcs[.guestRIP] }

/// Keeps ``readGuestRIP`` in the image.
///
/// The linker script names it; nothing calls it.
@_cdecl("probe_read_guest_rip")
func probeReadGuestRIP(_ vmcs: UnsafeRawPointer) -> UInt64 {
  readGuestRIP(vmcs.assumingMemoryBound(to: CurrentVMCS<BareMetalProcessor>.self).pointee)
}
