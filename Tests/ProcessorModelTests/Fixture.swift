import ProcessorModel
import VMCS

extension ProcessorModel {
  /// A page that begins with `revision`, by default the right one.
  func page(revision: UInt32? = nil) -> PhysicalAddress {
    let (pointer, address) = memory.allocatePages()
    pointer.storeBytes(of: revision ?? configuration.vmcsRevisionIdentifier, as: UInt32.self)
    return address
  }

  /// A processor that collects its faults instead of ending the process.
  static func collecting(_ configuration: Configuration = .skylakeX, memory: ModelMemory = ModelMemory()) -> Self {
    let model = Self(configuration, memory: memory)
    model.onFault = { _ in }
    return model
  }

  /// A processor in VMX operation.
  static func inVMXOperation(
    _ configuration: Configuration = .skylakeX, memory: ModelMemory = ModelMemory()
  ) -> Self {
    let model = collecting(configuration, memory: memory)
    model.cr4 |= 1 << 13
    _ = model.vmxon(model.page())
    return model
  }

  /// A processor with a current VMCS, whose fields VM entries do not check.
  static func withCurrentVMCS(
    _ configuration: Configuration = .skylakeX, memory: ModelMemory = ModelMemory()
  ) -> Self {
    let model = inVMXOperation(configuration, memory: memory)
    let region = model.page()
    _ = model.vmclear(region)
    _ = model.vmptrld(region)
    model.checksFields = false
    return model
  }

  /// A processor whose current VMCS has controls and host state with which a guest can run and exit.
  static func withGuest(
    _ configuration: Configuration = .skylakeX, exit: PrimaryVMExitControls = [], entry: VMEntryControls = []
  ) -> Self {
    let model = withCurrentVMCS(configuration)
    func fixed(_ trueMSR: UInt32, else msr: UInt32) -> UInt32 {
      UInt32(truncatingIfNeeded: configuration.capabilityMSR(trueMSR) ?? configuration.capabilityMSR(msr) ?? 0)
    }
    model.setContents(of: .pinBasedVMExecutionControls, to: .init(rawValue: fixed(0x48D, else: 0x481)))
    model.setContents(
      of: .primaryProcessorBasedVMExecutionControls, to: .init(rawValue: fixed(0x48E, else: 0x482)).union(.hltExiting))
    model.setContents(
      of: .primaryVMExitControls,
      to: .init(rawValue: fixed(0x48F, else: 0x483)).union(exit).union(.hostAddressSpaceSize))
    model.setContents(of: .vmEntryControls, to: .init(rawValue: fixed(0x490, else: 0x484)).union(entry))
    model.setContents(of: .vmEntryInterruptionInformation, to: .init(rawValue: 0))
    model.setContents(of: .guestInterruptibilityState, to: .init(rawValue: 0))
    model.setContents(of: .guestActivityState, to: .active)
    model.setContents(of: .hostCR0, to: CR0(rawValue: 0x8001_0033))
    model.setContents(of: .hostCR3, to: 0x5000)
    model.setContents(of: .hostCR4, to: CR4(rawValue: 0x2020))
    return model
  }

  /// A processor whose current VMCS passes every check, with a guest in 64-bit mode that halts.
  static func withValidVMCS(_ configuration: Configuration) -> Self {
    var configuration = configuration
    configuration.poisonsUninitializedFields = false
    let model = withGuest(configuration, entry: .ia32eModeGuest)
    model.checksFields = true
    model.setContents(of: .hostCSSelector, to: SegmentSelector(rawValue: 8))
    model.setContents(of: .hostTRSelector, to: SegmentSelector(rawValue: 0x18))
    model.setContents(of: .guestCR0, to: CR0(rawValue: 0x8000_0031))
    model.setContents(of: .guestCR4, to: CR4(rawValue: 0x2020))
    model.setContents(of: .guestIA32EFER, to: IA32EFER(rawValue: 0x500))
    model.setContents(of: .guestDR7, to: DR7(rawValue: 0x400))
    model.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: 2))
    model.setContents(of: .vmcsLinkPointer, to: PhysicalAddress(~0))
    model.setContents(of: .guestCSAccessRights, to: SegmentAccessRights(rawValue: 0xA09B))
    model.setContents(of: .guestCSLimit, to: 0xFFFF_FFFF)
    model.setContents(of: .guestTRAccessRights, to: SegmentAccessRights(rawValue: 0x8B))
    model.setContents(of: .guestTRLimit, to: 0x67)
    let unusable = SegmentAccessRights(rawValue: 0x1_0000)
    for segment in [GuestSegment.es, .ss, .ds, .fs, .gs, .ldtr] {
      if let accessRights = segment.fields.accessRights { model.setContents(of: accessRights, to: unusable) }
    }
    model.script = [ScriptedExit(.hlt)]
    return model
  }

  /// Enters the guest with arbitrary registers.
  func enter(resume: Bool) -> VMXOutcome {
    var registers = GuestRegisters()
    return enter(&registers, resume: resume)
  }

  /// The VM-instruction error of the current VMCS.
  var instructionError: UInt32? { contents(of: .vmInstructionError)?.rawValue }
}

/// A generator with a seed, so that a failing test can be repeated.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var bits = state
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
    return bits ^ bits >> 31
  }
}
