import VMCS

/// What CPUID returns to a guest, worked out once for each of its vCPUs, in one page of memory.
///
/// A lookup is an index and a copy. The bits that depend on the guest's CR4 and XCR0 are filled in by the lookup, and only
/// the leaves that have such bits ask for them.
public struct CPUIDTable {
  /// The highest basic leaf of the guest; at most 0DH.
  public let highestBasicLeaf: UInt32
  /// The highest extended leaf of the guest; at most 80000008H.
  public let highestExtendedLeaf: UInt32
  /// The bits of XCR0 that the guest may set.
  public let supportedXCR0: UInt64
  /// The bits of CR4 that the guest may set: those that VMX operation allows and whose features CPUID shows.
  public let supportedCR4: UInt64

  @usableFromInline let entries: UnsafeMutablePointer<CPUIDResult>

  /// Works out the table for `policy` on `processor`, in one page at `memory`, aligned to 16 bytes, that stays with it.
  public init<P: VMXProcessor>(in memory: UnsafeMutableRawPointer, policy: CPUIDPolicy, on processor: P) {
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: PagePool.pageSize)
    entries = memory.assumingMemoryBound(to: CPUIDResult.self)
    // x2APIC mode comes with leaf 0BH.
    highestBasicLeaf = min(max(processor.cpuid(0, 0).eax, policy.hasLocalAPIC ? 0xB : 0), Slot.highestBasicLeaf)
    highestExtendedLeaf = min(processor.cpuid(0x8000_0000, 0).eax, Slot.highestExtendedLeaf)
    supportedXCR0 = XSAVEArea.supportedXCR0(on: processor, allowedCR4: policy.allowedCR4)

    let filter = Filter(policy: policy, xcr0: supportedXCR0, processor: processor)
    for leaf in 0...highestBasicLeaf { entries[Slot.basic + Int(leaf)] = filter[leaf, 0] }
    for leaf in 0x8000_0000..<max(highestExtendedLeaf, 0x8000_0000) + 1 {
      entries[Slot.extended + Int(leaf & 0xF)] = filter[leaf, 0]
    }
    for index in 0..<Slot.leaf4Count { entries[Slot.leaf4 + index] = filter[4, UInt32(index)] }
    for index in 0..<Slot.leaf7Count { entries[Slot.leaf7 + index] = filter[7, UInt32(index)] }
    for index in 0..<Slot.leafDCount { entries[Slot.leafD + index] = filter[0xD, UInt32(index)] }
    supportedCR4 = Self.supportedCR4(entries, allowed: policy.allowedCR4)
    setComputedRegisters(policy)
  }

  /// What CPUID returns to the guest for `leaf` in EAX and `subleaf` in ECX.
  ///
  /// - Parameters:
  ///   - leaf: EAX. For a leaf that the guest does not have, the data of the highest basic leaf are returned (SDM,
  ///     "CPUID—CPU Identification").
  ///   - subleaf: ECX.
  ///   - cr4: CR4 as the guest sees it. Asked for by the leaves 1 and 7 only.
  ///   - xcr0: the guest's XCR0. Asked for by leaf 0DH only.
  ///   - is64Bit: whether the guest executes 64-bit code, where alone there is SYSCALL. Asked for by leaf 80000001H only.
  @inlinable @inline(__always)
  public func lookup(
    leaf: UInt32, subleaf: UInt32, cr4: @autoclosure () -> CR4, xcr0: @autoclosure () -> UInt64,
    is64Bit: @autoclosure () -> Bool
  ) -> CPUIDResult {
    let slot = slot(of: leaf)
    var result = entries[slot]
    switch slot {
    case 1: if cr4().osxsave { result.ecx |= 1 << 27 }
    case 4: result = entry(Slot.leaf4, Slot.leaf4Count, subleaf)
    case 7:
      result = entry(Slot.leaf7, Slot.leaf7Count, subleaf)
      if subleaf == 0 && cr4().pke { result.ecx |= 1 << 4 }
    case 0xB: result = leafB(subleaf)
    case 0xD: result = leafD(subleaf, xcr0())
    case Slot.extended + 1: if !is64Bit() { result.edx &= ~(1 << 11) }
    default: break
    }
    return result
  }

  /// The number of bits of a physical address of the guest.
  public var physicalAddressWidth: UInt8 {
    let width = UInt8(truncatingIfNeeded: entries[Slot.extended + 8].eax)
    return width == 0 ? 36 : width
  }

  /// Whether the guest's local APIC has x2APIC mode.
  public var hasX2APIC: Bool { CPUIDFeature.Leaf1ECX(rawValue: entries[Slot.basic + 1].ecx).contains(.x2APIC) }

  /// Whether the guest's processor has 1-GByte pages.
  public var has1GBPages: Bool {
    CPUIDFeature.Leaf80000001EDX(rawValue: entries[Slot.extended + 1].edx).contains(.pages1GByte)
  }

  @inlinable
  func slot(of leaf: UInt32) -> Int {
    if leaf <= highestBasicLeaf { return Int(leaf) }
    if leaf & ~0xF == 0x8000_0000 && leaf <= highestExtendedLeaf { return Slot.extended + Int(leaf & 0xF) }
    if leaf &- 0x4000_0000 <= 0x10 { return Slot.hypervisor + Int(leaf & 0x1F) }
    if leaf & ~1 == 0x4000_0100 && entries[Slot.kvm].eax != 0 { return Slot.kvm + Int(leaf & 1) }
    return Int(highestBasicLeaf)
  }

  @inlinable
  func entry(_ first: Int, _ count: Int, _ subleaf: UInt32) -> CPUIDResult {
    subleaf < UInt32(truncatingIfNeeded: count)
      ? entries[first + Int(subleaf)] : CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0)
  }

  @usableFromInline @inline(never)
  func leafD(_ subleaf: UInt32, _ xcr0: UInt64) -> CPUIDResult {
    var result = entry(Slot.leafD, Slot.leafDCount, subleaf)
    guard supportedXCR0 != 0 else { return result }
    if subleaf == 0 { result.ebx = xsaveArea.standardSize(xcr0) }
    return result
  }

  @usableFromInline @inline(never)
  func leafB(_ subleaf: UInt32) -> CPUIDResult {
    var result = entries[Slot.leafB + Int(min(subleaf, UInt32(Slot.leafBCount - 1)))]
    // Without a local APIC there is no topology.
    if entries[Slot.leafB].ebx != 0 { result.ecx |= subleaf & 0xFF }
    return result
  }

  /// Shows or hides the local APIC in leaf 1, as IA32_APIC_BASE.EN does, for a guest that has one.
  public func setLocalAPICEnabled(_ isEnabled: Bool) {
    var features = CPUIDFeature.Leaf1EDX(rawValue: entries[Slot.basic + 1].edx)
    if isEnabled { features.insert(.apic) } else { features.remove(.apic) }
    entries[Slot.basic + 1].edx = features.rawValue
  }

  private var xsaveArea: XSAVEArea { XSAVEArea(components: UnsafePointer(entries + Slot.leafD)) }

  /// Fills in what the processor's own values do not decide.
  private func setComputedRegisters(_ policy: CPUIDPolicy) {
    entries[Slot.basic].eax = highestBasicLeaf
    entries[Slot.extended].eax = highestExtendedLeaf
    entries[Slot.leaf7].eax = min(entries[Slot.leaf7].eax, UInt32(Slot.leaf7Count - 1))

    entries[Slot.leafD] = CPUIDResult(
      eax: UInt32(truncatingIfNeeded: supportedXCR0), ebx: 0,
      ecx: supportedXCR0 == 0 ? 0 : xsaveArea.standardSize(supportedXCR0),
      edx: UInt32(truncatingIfNeeded: supportedXCR0 >> 32))

    for index in 0..<Slot.leaf4Count {
      entries[Slot.leaf4 + index].eax = policy.topology.leaf4EAX(entries[Slot.leaf4 + index].eax)
    }
    if policy.hasLocalAPIC {
      for level in 0..<Slot.leafBCount { entries[Slot.leafB + level] = policy.topology.leafB(level) }
    }

    // The extended page tables translate 48 bits, and without LA57 so do the guest's own.
    let widths = entries[Slot.extended + 8].eax
    entries[Slot.extended + 8].eax = min(widths & 0xFF, 48) | min(widths >> 8 & 0xFF, 48) << 8

    // "SkepSkepSkep". Leaf 40000010H has the TSC's frequency in kHz in EAX, as VMware's timing leaf does ("Mechanisms to
    // determine if software is running in a VMware virtual machine").
    let skep: UInt32 = 0x7065_6B53
    entries[Slot.hypervisor] = CPUIDResult(eax: 0x4000_0010, ebx: skep, ecx: skep, edx: skep)
    entries[Slot.hypervisor + 0x10].eax = policy.tscFrequency
    // "KVMKVMKVM", with no features: Linux uses x2APIC mode without interrupt remapping under hypervisors only that it
    // knows ("KVM CPUID bits" of its documentation), and looks for them in steps of 100H.
    if policy.hasLocalAPIC && policy.hasX2APIC {
      entries[Slot.kvm] = CPUIDResult(eax: 0x4000_0101, ebx: 0x4B4D_564B, ecx: 0x564B_4D56, edx: 0x0000_004D)
    }
  }

  /// The bits of CR4 for which `entries` show the feature.
  private static func supportedCR4(_ entries: UnsafeMutablePointer<CPUIDResult>, allowed: UInt64) -> UInt64 {
    let leaf1ECX = CPUIDFeature.Leaf1ECX(rawValue: entries[Slot.basic + 1].ecx)
    let leaf1EDX = CPUIDFeature.Leaf1EDX(rawValue: entries[Slot.basic + 1].edx)
    let leaf7EBX = CPUIDFeature.Leaf7EBX(rawValue: entries[Slot.leaf7].ebx)
    let leaf7ECX = CPUIDFeature.Leaf7ECX(rawValue: entries[Slot.leaf7].ecx)
    var cr4 = CR4(rawValue: 0)
    cr4.vme = leaf1EDX.contains(.vme)
    cr4.pvi = leaf1EDX.contains(.vme)
    cr4.tsd = leaf1EDX.contains(.tsc)
    cr4.de = leaf1EDX.contains(.de)
    cr4.pse = leaf1EDX.contains(.pse)
    cr4.pae = leaf1EDX.contains(.pae)
    cr4.mce = leaf1EDX.contains(.mce)
    cr4.pge = leaf1EDX.contains(.pge)
    cr4.pce = true
    cr4.osfxsr = leaf1EDX.contains(.fxsr)
    cr4.osxmmexcpt = leaf1EDX.contains(.sse)
    cr4.umip = leaf7ECX.contains(.umip)
    cr4.fsgsbase = leaf7EBX.contains(.fsgsbase)
    cr4.pcide = leaf1ECX.contains(.pcid)
    cr4.osxsave = leaf1ECX.contains(.xsave)
    cr4.smep = leaf7EBX.contains(.smep)
    cr4.smap = leaf7EBX.contains(.smap)
    cr4.pke = leaf7ECX.contains(.pku)
    return cr4.rawValue & allowed
  }

  /// Where the leaves are in the page: an entry each, and for a leaf with sub-leaves one for each of these.
  @usableFromInline
  enum Slot {
    @usableFromInline static var basic: Int { 0 }
    @usableFromInline static var highestBasicLeaf: UInt32 { 0xD }
    @usableFromInline static var hypervisor: Int { 0x10 }
    @usableFromInline static var kvm: Int { 0x28 }
    @usableFromInline static var extended: Int { 0x30 }
    @usableFromInline static var highestExtendedLeaf: UInt32 { 0x8000_0008 }
    @usableFromInline static var leaf4: Int { 0x40 }
    @usableFromInline static var leaf4Count: Int { 8 }
    @usableFromInline static var leaf7: Int { 0x48 }
    @usableFromInline static var leaf7Count: Int { 2 }
    @usableFromInline static var leafD: Int { 0x50 }
    @usableFromInline static var leafDCount: Int { 10 }
    @usableFromInline static var leafB: Int { 0x60 }
    @usableFromInline static var leafBCount: Int { 3 }
  }

  /// The processor's CPUID seen through the policy; a leaf that the processor does not have is 0.
  private struct Filter<P: VMXProcessor> {
    let policy: CPUIDPolicy
    let xcr0: UInt64
    let processor: P

    subscript(leaf: UInt32, subleaf: UInt32) -> CPUIDResult {
      let highest = processor.cpuid(leaf & 0x8000_0000, 0).eax
      let rule = policy.rule(leaf: leaf, subleaf: subleaf, xcr0: xcr0)
      let exists = leaf <= highest && (leaf != 7 || subleaf <= processor.cpuid(7, 0).eax)
      return rule.applied(to: exists ? processor.cpuid(leaf, subleaf) : .zero)
    }
  }
}
