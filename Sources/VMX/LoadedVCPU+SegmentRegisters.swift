import VMCS

/// MOV from and to a segment register in the guest's stead (SDM, "MOV—Move").
extension LoadedVCPU {
  /// The selector in a segment register of code or data; 0 for other segments.
  @inline(never)
  public func selector(_ segment: GuestSegment) -> UInt16 {
    guard let field = Self.selectorField(segment) else { return 0 }
    return vmcs[field].rawValue
  }

  /// Loads `segment`, any of ES, SS, DS, FS and GS, as MOV does, but for blocking by MOV SS.
  ///
  /// - Throws: the exception that the selector, its descriptor, or the access to it causes.
  public mutating func loadSegment<Memory: GuestPhysicalMemory>(
    _ segment: GuestSegment, _ selector: UInt16, _ translation: LinearAddressTranslation, in memory: Memory
  ) throws(MemoryFault) {
    if !vmcs[.guestCR0].pe || vmcs[.guestRFLAGS].vm {
      vmcs[segment.fields.base] = UInt64(selector) << 4
    } else if selector & ~3 == 0 {
      try loadNull(segment, selector)
    } else {
      let memory = SystemMemory(translation, memory)
      let entry = try loadDescriptor(selector, memory)
      try checkLoad(of: segment, selector, entry)
      try load(segment, selector, entry, memory)
    }
    if let field = Self.selectorField(segment) { vmcs[field] = SegmentSelector(rawValue: selector) }
  }

  /// Blocks events until the next instruction has been executed, as MOV to SS does.
  public mutating func blockByMOVSS() {
    let interruptibility = vmcs[.guestInterruptibilityState].rawValue
    vmcs[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: interruptibility & ~3 | 2)
  }

  /// No segment; for SS, only in 64-bit mode and below CPL 3.
  private mutating func loadNull(_ segment: GuestSegment, _ selector: UInt16) throws(MemoryFault) {
    var descriptor = Self.unusable
    if segment == .ss {
      let privilegeLevel = self.privilegeLevel
      guard is64Bit, privilegeLevel != 3, selector & 3 == privilegeLevel else { throw .exception(.generalProtection) }
      // The DPL of SS is the CPL.
      descriptor.accessRights.dpl = privilegeLevel
    }
    setDescriptor(segment, to: descriptor)
  }

  private func loadDescriptor<Memory>(
    _ selector: UInt16, _ memory: SystemMemory<Memory>
  ) throws(MemoryFault) -> SegmentDescriptor {
    let table = descriptor(selector & 4 == 0 ? .gdtr : .ldtr)
    guard !table.accessRights.unusable, UInt32(selector | 7) <= table.limit else {
      throw .selectorFault(.generalProtection, selector)
    }
    return SegmentDescriptor(rawValue: try memory.load(table.base &+ UInt64(selector & ~7), byteCount: 8))
  }

  private func checkLoad(
    of segment: GuestSegment, _ selector: UInt16, _ entry: SegmentDescriptor
  ) throws(MemoryFault) {
    let privilegeLevel = UInt16(self.privilegeLevel)
    let isAllowed =
      segment == .ss
      ? entry.isWritableData && entry.privilegeLevel == privilegeLevel && selector & 3 == privilegeLevel
      : entry.isReadable && (entry.isConforming || entry.privilegeLevel >= max(privilegeLevel, selector & 3))
    guard isAllowed else { throw .selectorFault(.generalProtection, selector) }
    guard entry.isPresent else {
      throw .selectorFault(segment == .ss ? .stackSegmentFault : .segmentNotPresent, selector)
    }
  }

  private static func selectorField(_ segment: GuestSegment) -> VMCSField<SegmentSelector, ReadWrite>? {
    switch segment {
    case .es: .guestESSelector
    case .cs: .guestCSSelector
    case .ss: .guestSSSelector
    case .ds: .guestDSSelector
    case .fs: .guestFSSelector
    case .gs: .guestGSSelector
    default: nil
    }
  }
}
