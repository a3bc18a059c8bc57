import VMCS

extension LoadedVCPU {
  /// Makes the data segments of a guest in real-address mode such that VM entries take them, accessed and read/write;
  /// whether one was not.
  ///
  /// In Bochs 2.7 a null selector leaves no type behind, and a load in real-address mode then makes the segment usable
  /// without one (cpu/segment_ctrl_pro.cc). No VM entry takes that (SDM, "Checks on Guest Segment Registers").
  public mutating func repairRealModeSegments() -> Bool {
    guard !vmcs[.guestCR0].pe else { return false }
    let (accessed, readWrite): (UInt32, UInt32) = (0b0001, 0b0011)
    var isRepaired = false
    for index in 0..<6 as Range<UInt8> {
      guard let segment = GuestSegment(encoding: index), segment != .cs else { continue }
      var descriptor = descriptor(segment)
      let rights = descriptor.accessRights
      guard !rights.unusable, rights.rawValue & accessed == 0 else { continue }
      descriptor.accessRights = SegmentAccessRights(rawValue: rights.rawValue | readWrite)
      setDescriptor(segment, to: descriptor)
      isRepaired = true
    }
    return isRepaired
  }
}
