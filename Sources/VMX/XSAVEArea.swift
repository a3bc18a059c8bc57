import VMCS

/// The layout of a guest's XSAVE area (SDM, "XSAVE Area").
///
/// Computed from the components' own sub-leaves of CPUID leaf 0DH, so that the sizes in sub-leaf 0 agree with them on
/// every processor. Software that finds them to disagree does not use XSAVE at all.
struct XSAVEArea {
  static var x87AndSSE: UInt64 { 3 << 0 }
  static var avx: UInt64 { 1 << 2 }
  static var avx512: UInt64 { 7 << 5 }
  static var pkru: UInt64 { 1 << 9 }

  /// The components that Skep lets a guest have; they all are user state.
  ///
  /// MPX and AMX are not among them.
  static var known: UInt64 { x87AndSSE | avx | avx512 | pkru }
  /// The sub-leaves of leaf 0DH that components can have.
  static var componentSubleaves: Range<UInt32> { 2..<10 }
  /// The size of the legacy region and of the XSAVE header, in bytes.
  private static var headerEnd: UInt32 { 576 }

  /// What leaf 0DH says of a component: its size, and its offset in the standard format.
  let components: UnsafePointer<CPUIDResult>

  /// The size in bytes for the components in `xcr0`, in the standard format.
  func standardSize(_ xcr0: UInt64) -> UInt32 {
    var size = Self.headerEnd
    for index in Self.componentSubleaves where xcr0 >> index & 1 != 0 {
      size = max(size, components[Int(index)].ebx &+ components[Int(index)].eax)
    }
    return size
  }

  /// The bits of XCR0 that a guest may set on `processor`, 0 if there is no XSAVE.
  ///
  /// They are the known components that the processor describes soundly, each only with those that it depends on and with
  /// the instructions that use it.
  static func supportedXCR0<P: VMXProcessor>(on processor: P, allowedCR4: UInt64) -> UInt64 {
    let leaf1 = CPUIDFeature.Leaf1ECX(rawValue: processor.cpuid(1, 0).ecx)
    guard processor.cpuid(0, 0).eax >= 0xD, leaf1.contains(.xsave) else { return 0 }
    let leaf7 = processor.cpuid(7, 0)
    let host = processor.cpuid(0xD, 0)
    var xcr0 = (UInt64(host.edx) << 32 | UInt64(host.eax)) & known
    for index in componentSubleaves {
      let component = processor.cpuid(0xD, index)
      let isSound = component.eax != 0 && component.ebx >= headerEnd && component.ecx & 1 == 0
      if !isSound { xcr0 &= ~(1 << index) }
    }
    if !leaf1.contains(.avx) { xcr0 &= ~avx }
    if xcr0 & (avx | avx512) != avx | avx512 || leaf7.ebx & CPUIDFeature.Leaf7EBX.avx512f.rawValue == 0 {
      xcr0 &= ~avx512
    }
    let hasPKU = leaf7.ecx & CPUIDFeature.Leaf7ECX.pku.rawValue != 0
    if !hasPKU || !CR4(rawValue: allowedCR4).pke { xcr0 &= ~pkru }
    return xcr0 & x87AndSSE == x87AndSSE && CR4(rawValue: allowedCR4).osxsave ? xcr0 : 0
  }
}
