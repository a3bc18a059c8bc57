import VMCS

/// The fields of a segment register in the guest-state area.
struct GuestSegmentFields {
  /// The SDM's name, like "CS".
  let name: StaticString
  let selector: VMCSField<SegmentSelector, ReadWrite>
  let base: VMCSField<UInt64, ReadWrite>
  let limit: VMCSField<UInt32, ReadWrite>
  let accessRights: VMCSField<SegmentAccessRights, ReadWrite>

  private init(
    _ name: StaticString, _ selector: VMCSField<SegmentSelector, ReadWrite>, _ base: VMCSField<UInt64, ReadWrite>,
    _ limit: VMCSField<UInt32, ReadWrite>, _ accessRights: VMCSField<SegmentAccessRights, ReadWrite>
  ) {
    (self.name, self.selector, self.base, self.limit, self.accessRights) = (name, selector, base, limit, accessRights)
  }

  static var cs: Self { Self("CS", .guestCSSelector, .guestCSBase, .guestCSLimit, .guestCSAccessRights) }
  static var ss: Self { Self("SS", .guestSSSelector, .guestSSBase, .guestSSLimit, .guestSSAccessRights) }
  static var ds: Self { Self("DS", .guestDSSelector, .guestDSBase, .guestDSLimit, .guestDSAccessRights) }
  static var es: Self { Self("ES", .guestESSelector, .guestESBase, .guestESLimit, .guestESAccessRights) }
  static var fs: Self { Self("FS", .guestFSSelector, .guestFSBase, .guestFSLimit, .guestFSAccessRights) }
  static var gs: Self { Self("GS", .guestGSSelector, .guestGSBase, .guestGSLimit, .guestGSAccessRights) }
  static var tr: Self { Self("TR", .guestTRSelector, .guestTRBase, .guestTRLimit, .guestTRAccessRights) }
  static var ldtr: Self {
    Self("LDTR", .guestLDTRSelector, .guestLDTRBase, .guestLDTRLimit, .guestLDTRAccessRights)
  }
}

extension EntryInputs {
  /// Whether the guest will be in virtual-8086 mode.
  var isVirtual8086: Bool { mutating get { self[.guestRFLAGS].vm } }

  /// Whether a segment is usable, which CS always is.
  mutating func isUsable(_ segment: GuestSegmentFields) -> Bool {
    if segment.accessRights.encoding == VMCSField.guestCSAccessRights.encoding { return true }
    return !self[segment.accessRights].unusable
  }

  /// Whether the rules for the access rights of CS, SS, DS, ES, FS and GS outside virtual-8086 mode apply to a segment.
  mutating func isChecked(_ segment: GuestSegmentFields) -> Bool { isUsable(segment) && !isVirtual8086 }
}
