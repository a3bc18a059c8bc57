import VMCS

/// The five control words that Skep uses, as they are first written to a VMCS.
@frozen
public struct ControlWords: Equatable, Sendable {
  /// Pin-based VM-execution controls.
  public var pinBased: PinBasedVMExecutionControls
  /// Primary processor-based VM-execution controls.
  public var primary: PrimaryProcessorBasedVMExecutionControls
  /// Secondary processor-based VM-execution controls.
  public var secondary: SecondaryProcessorBasedVMExecutionControls
  /// Primary VM-exit controls.
  public var exit: PrimaryVMExitControls
  /// VM-entry controls.
  public var entry: VMEntryControls

  /// Makes the set.
  public init(
    pinBased: PinBasedVMExecutionControls, primary: PrimaryProcessorBasedVMExecutionControls,
    secondary: SecondaryProcessorBasedVMExecutionControls, exit: PrimaryVMExitControls, entry: VMEntryControls
  ) {
    self.pinBased = pinBased
    self.primary = primary
    self.secondary = secondary
    self.exit = exit
    self.entry = entry
  }
}
