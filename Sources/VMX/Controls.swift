import VMCS

/// What Skep asks of one control word.
struct ControlNeeds<Controls: OptionSet & BitWord> where Controls.RawValue == UInt32 {
  /// Controls that are 1 for as long as the vCPU exists.
  var required: Controls
  /// Controls that begin as 0 and that are set and cleared while the guest runs.
  var dynamic: Controls = []
  /// Controls that are 0 for as long as the vCPU exists.
  var forbidden: Controls = []
  /// Controls that are 1 where the processor has them.
  var optional: Controls = []

  /// The value of the control word on a processor with `settings`; `word` says in the error which one it is.
  func value(
    _ word: ControlWord, _ settings: AllowedSettings<UInt32>, defaults: AllowedSettings<UInt32>
  ) throws(UnsupportedProcessor) -> Controls {
    do throws(ControlConflict<UInt32>) {
      // Two rounds, since a dynamic control has to be allowed both ways.
      _ = try negotiate(
        ControlWish(required: required.union(dynamic).rawValue, forbidden: forbidden.rawValue),
        settings: settings, defaults: defaults)
      return Controls(
        rawValue: try negotiate(
          ControlWish(
            required: required.rawValue, forbidden: forbidden.union(dynamic).rawValue, optional: optional.rawValue),
          settings: settings, defaults: defaults))
    } catch {
      throw .controls(word, error)
    }
  }
}

extension ControlWords {
  /// Finds the control words with which Skep runs a guest on a processor with `capabilities`.
  ///
  /// Throws `.controls` for a word that the processor does not allow.
  ///
  /// - Parameter options: controls that the processor has, as `OptionalControls.supported(by:)` gives them.
  public init(
    for capabilities: VMXCapabilities, options: OptionalControls = []
  ) throws(UnsupportedProcessor) {
    let (settings, defaults) = (capabilities.settings, capabilities.defaults)
    let pat = Self.canSwitchPAT(settings)
    // First, because the lack of EPT says more about an old processor than what else it lacks.
    let secondary = try Self.secondaryNeeds(options).value(
      .secondary, capabilities.secondary, defaults: capabilities.secondary)
    self.init(
      pinBased: try Self.pinBasedNeeds(options).value(.pin, settings.pinBased, defaults: defaults.pinBased),
      primary: try Self.primaryNeeds(options).value(.primary, settings.primary, defaults: defaults.primary),
      secondary: secondary,
      exit: try Self.exitNeeds(pat: pat).value(.exit, settings.exit, defaults: defaults.exit),
      entry: try Self.entryNeeds(pat: pat).value(.entry, settings.entry, defaults: defaults.entry))
  }

  /// Whether VM entries and VM exits switch IA32_PAT, so that the guest has its own in the processor.
  public var switchesPAT: Bool { entry.contains(.loadIA32PAT) }

  static func pinBasedNeeds(_ options: OptionalControls) -> ControlNeeds<PinBasedVMExecutionControls> {
    ControlNeeds(required: options.pinBased.union([.externalInterruptExiting, .nmiExiting, .virtualNMIs]))
  }

  static func primaryNeeds(_ options: OptionalControls) -> ControlNeeds<PrimaryProcessorBasedVMExecutionControls> {
    ControlNeeds(
      required: options.primary.union([
        .hltExiting, .useTSCOffsetting, .mwaitExiting, .monitorExiting, .rdpmcExiting, .unconditionalIOExiting,
        .useMSRBitmaps, .activateSecondaryControls,
      ]),
      dynamic: [.interruptWindowExiting, .nmiWindowExiting],
      forbidden: [.cr3LoadExiting, .cr3StoreExiting, .useIOBitmaps])
  }

  static func secondaryNeeds(
    _ options: OptionalControls
  ) -> ControlNeeds<SecondaryProcessorBasedVMExecutionControls> {
    ControlNeeds(
      required: options.secondary(in: .xAPIC).union([.enableEPT, .unrestrictedGuest]),
      dynamic: options.contains(.virtualizeX2APICMode) ? [.virtualizeX2APICMode] : [],
      forbidden: [.descriptorTableExiting],
      // ENCLS and ENCLV exit to be #UD: without these controls they work, whatever CPUID shows.
      optional: [
        .enableVPID, .enableRDTSCP, .enableINVPCID, .wbinvdExiting, .enableENCLSExiting, .enableENCLVExiting,
      ])
  }

  static func exitNeeds(pat: Bool) -> ControlNeeds<PrimaryVMExitControls> {
    ControlNeeds(
      required: [
        .saveDebugControls, .hostAddressSpaceSize, .acknowledgeInterruptOnExit, .saveIA32EFER, .loadIA32EFER,
      ],
      optional: pat ? [.saveIA32PAT, .loadIA32PAT] : [])
  }

  static func entryNeeds(pat: Bool) -> ControlNeeds<VMEntryControls> {
    ControlNeeds(
      required: [.loadDebugControls, .loadIA32EFER],
      dynamic: [.ia32eModeGuest],
      forbidden: [.entryToSMM, .deactivateDualMonitorTreatment],
      optional: pat ? [.loadIA32PAT] : [])
  }

  /// IA32_PAT is switched by all three controls or by none: with fewer, a guest would change the host's.
  private static func canSwitchPAT(_ settings: VMXCapabilities.ControlSettings) -> Bool {
    PrimaryVMExitControls(rawValue: settings.exit.allowed1).isSuperset(of: [.saveIA32PAT, .loadIA32PAT])
      && VMEntryControls(rawValue: settings.entry.allowed1).contains(.loadIA32PAT)
  }
}
