import VMCS

/// What CPUID tells of the number and the numbering of logical processors: all are cores of one package, and each core has
/// one thread and caches of its own up to the second level (SDM, "Hierarchical Mapping of Shared Resources").
struct CPUIDTopology {
  /// The x2APIC ID.
  var apicID: UInt32
  /// The number of logical processors; not 0.
  var count: UInt32

  /// How many bits of the x2APIC ID tell the cores of the package apart.
  var coreBits: UInt32 { UInt32(32 - (count - 1).leadingZeroBitCount) }

  /// CPUID.01H:EBX, bits 31:16: the initial APIC ID, and the number of logical processors if there are several.
  var leaf1EBX: UInt32 { (apicID & 0xFF) << 24 | (count > 1 ? count << 16 : 0) }

  /// CPUID.04H:EAX of a cache with the processor's `eax`: who shares it in bits 25:14, and the cores in bits 31:26.
  func leaf4EAX(_ eax: UInt32) -> UInt32 {
    // Cache type 0: no more caches.
    if eax & 0x1F == 0 { return eax }
    let last = min((1 << coreBits) - 1, 0x3F) as UInt32
    let isShared = eax >> 5 & 7 >= 3
    return eax | last << 26 | (isShared ? last << 14 : 0)
  }

  /// CPUID.0BH, but ECX[7:0]: the threads of a core, the cores of the package, and the end.
  func leafB(_ level: Int) -> CPUIDResult {
    switch level {
    case 0: CPUIDResult(eax: 0, ebx: 1, ecx: 1 << 8, edx: apicID)
    case 1: CPUIDResult(eax: coreBits, ebx: count, ecx: 2 << 8, edx: apicID)
    default: CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: apicID)
    }
  }
}
