import VMCS

extension LoadedVCPU {
  /// Makes data segments that are usable and have no type such that VM entries take them, accessed and read/write, for
  /// another try of the entry that has failed; whether there was one.
  ///
  /// In Bochs 2.7 a null selector leaves no type behind, and a load in real-address mode then makes the segment usable
  /// without one, also after a return to protected mode (cpu/segment_ctrl_pro.cc). No VM entry takes that (SDM, "Checks on
  /// Guest Segment Registers").
  @inline(never)
  public mutating func repairSegmentsWithoutType() -> Bool {
    let (es, ss, ds) = (
      repairType(.guestESAccessRights), repairType(.guestSSAccessRights), repairType(.guestDSAccessRights)
    )
    let (fs, gs) = (repairType(.guestFSAccessRights), repairType(.guestGSAccessRights))
    guard es || ss || ds || fs || gs else { return false }
    keepInjectedEvent()
    return true
  }

  @inline(__always)
  private mutating func repairType(_ field: VMCSField<SegmentAccessRights, ReadWrite>) -> Bool {
    let (codeOrData, type, readWriteAccessed): (UInt32, UInt32, UInt32) = (1 << 4, 0xF, 0b0011)
    let rights = vmcs[field]
    guard !rights.unusable, rights.rawValue & (codeOrData | type) == codeOrData else { return false }
    vmcs[field] = SegmentAccessRights(rawValue: rights.rawValue | readWriteAccessed)
    return true
  }
}
