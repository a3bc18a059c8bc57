import VMCS

/// A segment descriptor as a descriptor table holds it: 64 bits (SDM, "Segment Descriptors", "System Descriptor Types").
struct SegmentDescriptor: Equatable {
  /// All bits.
  var rawValue: UInt64

  /// The base address.
  var base: UInt64 { rawValue >> 16 & 0xFF_FFFF | rawValue >> 32 & 0xFF00_0000 }

  /// The limit in bytes.
  var limit: UInt32 {
    let limit = UInt32(truncatingIfNeeded: rawValue & 0xFFFF | rawValue >> 32 & 0xF_0000)
    return rawValue >> 55 & 1 != 0 ? limit << 12 | 0xFFF : limit
  }

  /// The access rights, as the VMCS has them.
  var accessRights: SegmentAccessRights {
    SegmentAccessRights(rawValue: UInt32(truncatingIfNeeded: rawValue >> 40) & 0xF0FF)
  }

  /// Byte 5: type, S, DPL and P.
  var accessByte: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 40) }
  /// Type: bits 3:0 of the access rights.
  var type: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 40 & 0xF) }
  /// S: whether the segment is one of code or data.
  var isCodeOrData: Bool { rawValue >> 44 & 1 != 0 }
  /// DPL.
  var privilegeLevel: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 45 & 3) }
  /// P.
  var isPresent: Bool { rawValue >> 47 & 1 != 0 }

  /// Whether it is a code segment.
  var isCode: Bool { isCodeOrData && type & 0b1000 != 0 }
  /// Whether it is a conforming code segment.
  var isConforming: Bool { isCode && type & 0b0100 != 0 }
  /// Whether it is a data segment that can be written.
  var isWritableData: Bool { isCodeOrData && type & 0b1010 == 0b0010 }
  /// Whether it is a data segment, or a code segment that can be read.
  var isReadable: Bool { isCodeOrData && type & 0b1010 != 0b1000 }

  /// What a segment register then holds.
  var descriptor: GuestDescriptor { GuestDescriptor(base: base, limit: limit, accessRights: accessRights) }
}
