import VMCS

extension LoadedVCPU {
  /// Makes data segments that are usable and have no type such that VM entries take them, accessed and read/write; whether
  /// there was one.
  ///
  /// In Bochs 2.7 a null selector leaves no type behind, and a load in real-address mode then makes the segment usable
  /// without one, also after a return to protected mode (cpu/segment_ctrl_pro.cc). No VM entry takes that (SDM, "Checks on
  /// Guest Segment Registers").
  public mutating func repairSegmentsWithoutType() -> Bool {
    let (codeOrData, type, readWriteAccessed): (UInt32, UInt32, UInt32) = (1 << 4, 0xF, 0b0011)
    var isRepaired = false
    for index in 0..<6 as Range<UInt8> {
      guard let segment = GuestSegment(encoding: index), segment != .cs else { continue }
      var descriptor = descriptor(segment)
      let rights = descriptor.accessRights
      guard !rights.unusable, rights.rawValue & (codeOrData | type) == codeOrData else { continue }
      descriptor.accessRights = SegmentAccessRights(rawValue: rights.rawValue | readWriteAccessed)
      setDescriptor(segment, to: descriptor)
      isRepaired = true
    }
    return isRepaired
  }
}
