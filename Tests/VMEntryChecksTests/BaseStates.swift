import VMCS
import VMEntryChecks

/// Valid states of every mode, from which the tests make the smallest mutations that fail.
enum BaseState: String, CaseIterable, Sendable {
  /// 64-bit mode with EPT.
  case long
  /// Real-address mode, as "unrestricted guest" allows it.
  case real
  /// 32-bit paging, "unrestricted guest" 0, no secondary controls.
  case protected
  /// PAE paging with EPT.
  case pae
  /// PAE paging without EPT: the PDPTEs are in memory.
  case paeInMemory
  /// Virtual-8086 mode.
  case virtual8086
  /// Protected mode without paging, as "unrestricted guest" allows it, with CS of type 3.
  case unpaged
  /// A 32-bit host and a 32-bit guest.
  case host32
  /// 64-bit mode at CPL 3.
  case user
  /// 64-bit mode with everything that can be on at the same time.
  case rich

  static let states: [BaseState: TestState] = Dictionary(
    uniqueKeysWithValues: allCases.map { ($0, $0.makeState()) })

  var state: TestState { Self.states[self]! }

  func makeState() -> TestState {
    switch self {
    case .long: .long
    case .real: .real
    case .protected: .protected
    case .pae: .pae
    case .paeInMemory: .paeInMemory
    case .virtual8086: .virtual8086
    case .unpaged: .unpaged
    case .host32: .host32
    case .user: .user
    case .rich: .rich
    }
  }
}

extension TestState {
  fileprivate static var long: TestState {
    var state = TestState()
    for field in VMCSFieldDescription.all where !field.isReadOnly { state.fields[field.encoding] = 0 }
    state.setControls()
    state.setHost()
    state.setGuest()
    return state
  }

  private mutating func setControls() {
    self[.pinBasedVMExecutionControls] = 0x16
    self[.primaryProcessorBasedVMExecutionControls] = 0x8400_6172
    self[.secondaryProcessorBasedVMExecutionControls] = 0xA2
    self[.primaryVMExitControls] = 0x3_6DFB | 1 << 9 | 1 << 21
    self[.vmEntryControls] = 0x11FB | 1 << 9 | 1 << 15
    self[.virtualProcessorIdentifier] = 1
    self[.eptPointer] = 0x1_001E
    self[.vmcsLinkPointer] = ~0
  }

  private mutating func setHost() {
    self[.hostCR0] = 0x8005_0033
    self[.hostCR3] = 0x1000
    self[.hostCR4] = 0x2020
    self[.hostCSSelector] = 8
    self[.hostTRSelector] = 0x18
    for field: VMCSField<SegmentSelector, ReadWrite> in [.hostSSSelector, .hostDSSelector, .hostESSelector] {
      self[field] = 0x10
    }
    for field: VMCSField<UInt64, ReadWrite> in [.hostGDTRBase, .hostIDTRBase, .hostTRBase, .hostRSP, .hostRIP] {
      self[field] = 0xFFFF_8000_0000_1000
    }
    self[.hostIA32EFER] = 0xD01
    self[.hostIA32PAT] = 0x0007_0406_0007_0406
  }

  private mutating func setGuest() {
    self[.guestCR0] = 0x8005_0033
    self[.guestCR3] = 0x2000
    self[.guestCR4] = 0x2020
    self[.guestIA32EFER] = 0xD01
    self[.guestIA32PAT] = 0x0007_0406_0007_0406
    self[.guestDR7] = 0x400
    self[.guestRFLAGS] = 0x202
    self[.guestRIP] = 0x10_0000
    self[.guestRSP] = 0x20_0000
    self[.guestCSSelector] = 8
    setDataSegments(selector: 0x10, base: 0, limit: 0xFFFF_FFFF, accessRights: 0xC093)
    self[.guestCSLimit] = 0xFFFF_FFFF
    self[.guestCSAccessRights] = 0xA09B
    self[.guestTRSelector] = 0x18
    self[.guestTRLimit] = 0x67
    self[.guestTRAccessRights] = 0x8B
    self[.guestLDTRAccessRights] = 0x1_0000
    self[.guestGDTRLimit] = 0x1F
    self[.guestIDTRLimit] = 0xFFF
  }

  mutating func setDataSegments(selector: UInt64, base: UInt64, limit: UInt64, accessRights: UInt64) {
    for segment in [GuestSegment.ss, .ds, .es, .fs, .gs] {
      let fields = segment.fields
      (self[fields.base], self[fields.limit]) = (base, limit)
      if let field = fields.accessRights { self[field] = accessRights }
    }
    for field: VMCSField<SegmentSelector, ReadWrite> in [
      .guestSSSelector, .guestDSSelector, .guestESSelector, .guestFSSelector, .guestGSSelector,
    ] { self[field] = selector }
  }

  fileprivate static var real: TestState {
    long.with {
      $0[.vmEntryControls] &= ~(1 << 9)
      $0[.guestCR0] = 0x6000_0030
      $0[.guestCR4] = 0x2000
      $0[.guestIA32EFER] = 0
      $0[.guestRFLAGS] = 2
      $0[.guestRIP] = 0xFFF0
      $0[.guestCSSelector] = 0xF000
      $0[.guestCSBase] = 0xFFFF_0000
      $0[.guestCSLimit] = 0xFFFF
      $0[.guestCSAccessRights] = 0x9B
      $0.setDataSegments(selector: 0, base: 0, limit: 0xFFFF, accessRights: 0x93)
      $0[.guestLDTRAccessRights] = 0x82
      $0[.guestLDTRLimit] = 0xFFFF
    }
  }

  fileprivate static var protected: TestState {
    long.with {
      $0[.primaryProcessorBasedVMExecutionControls] = 0x0400_6172
      $0[.vmEntryControls] &= ~(1 << 9)
      $0[.guestCR4] = 0x2000
      $0[.guestIA32EFER] = 0
      $0[.guestCSAccessRights] = 0xC09B
    }
  }

  fileprivate static var pae: TestState {
    long.with {
      $0[.vmEntryControls] &= ~(1 << 9)
      $0[.guestIA32EFER] = 0x800
      $0[.guestCSAccessRights] = 0xC09B
      $0[.guestPDPTE0] = 0x3001
      $0[.guestPDPTE1] = 0x4019
      $0[.guestPDPTE2] = 0x5E00
      $0[.guestPDPTE3] = 0x3FFF_FFFF_FE01
    }
  }

  fileprivate static var paeInMemory: TestState {
    pae.with {
      $0[.secondaryProcessorBasedVMExecutionControls] = 0
      $0[.guestCR3] = 0x2020
      $0.memory = [0x2020: 0x3001, 0x2028: 0x4019, 0x2030: 0x5E00, 0x2038: 0x3FFF_FFFF_FE01]
    }
  }

  fileprivate static var virtual8086: TestState {
    protected.with {
      $0[.guestRFLAGS] = 0x2_0202
      $0.setDataSegments(selector: 0x1234, base: 0x1_2340, limit: 0xFFFF, accessRights: 0xF3)
      $0[.guestCSSelector] = 0xF000
      $0[.guestCSBase] = 0xF_0000
      $0[.guestCSLimit] = 0xFFFF
      $0[.guestCSAccessRights] = 0xF3
    }
  }

  fileprivate static var unpaged: TestState {
    real.with {
      $0[.guestCR0] = 0x31
      $0[.guestCSSelector] = 8
      $0[.guestCSBase] = 0
      $0[.guestCSAccessRights] = 0x93
    }
  }

  fileprivate static var host32: TestState {
    protected.with {
      $0[.primaryVMExitControls] &= ~(1 << 9)
      $0[.hostIA32EFER] = 0x800
      $0[.hostRIP] = 0xC000_1000
      $0.facts.isInIA32eMode = false
    }
  }

  fileprivate static var user: TestState {
    long.with {
      $0[.guestCSSelector] = 0x33
      $0[.guestCSAccessRights] = 0xA0FB
      $0.setDataSegments(selector: 0x2B, base: 0, limit: 0xFFFF_FFFF, accessRights: 0xC0F3)
    }
  }
}
