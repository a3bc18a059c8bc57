/// A segment register or descriptor-table register of the guest.
@frozen
public enum GuestSegment: Int32, CaseIterable, Sendable {
  /// Segment registers.
  case es, cs, ss, ds, fs, gs
  /// The system segments.
  case ldtr, tr
  /// The descriptor tables, which have no selector and no access rights.
  case gdtr, idtr

  /// The fields that hold the segment's descriptor.
  public var fields: SegmentFields {
    switch self {
    case .es: SegmentFields(.guestESBase, .guestESLimit, .guestESAccessRights)
    case .cs: SegmentFields(.guestCSBase, .guestCSLimit, .guestCSAccessRights)
    case .ss: SegmentFields(.guestSSBase, .guestSSLimit, .guestSSAccessRights)
    case .ds: SegmentFields(.guestDSBase, .guestDSLimit, .guestDSAccessRights)
    case .fs: SegmentFields(.guestFSBase, .guestFSLimit, .guestFSAccessRights)
    case .gs: SegmentFields(.guestGSBase, .guestGSLimit, .guestGSAccessRights)
    case .ldtr: SegmentFields(.guestLDTRBase, .guestLDTRLimit, .guestLDTRAccessRights)
    case .tr: SegmentFields(.guestTRBase, .guestTRLimit, .guestTRAccessRights)
    case .gdtr: SegmentFields(.guestGDTRBase, .guestGDTRLimit, nil)
    case .idtr: SegmentFields(.guestIDTRBase, .guestIDTRLimit, nil)
    }
  }
}

/// The VMCS fields of one segment's descriptor.
@frozen
public struct SegmentFields: Sendable {
  /// The base address.
  public let base: VMCSField<UInt64, ReadWrite>
  /// The limit, in bytes, of which the granularity bit has been applied already.
  public let limit: VMCSField<UInt32, ReadWrite>
  /// The access rights; nil for GDTR and IDTR.
  public let accessRights: VMCSField<SegmentAccessRights, ReadWrite>?

  @inlinable
  init(
    _ base: VMCSField<UInt64, ReadWrite>, _ limit: VMCSField<UInt32, ReadWrite>,
    _ accessRights: VMCSField<SegmentAccessRights, ReadWrite>?
  ) {
    self.base = base
    self.limit = limit
    self.accessRights = accessRights
  }
}
