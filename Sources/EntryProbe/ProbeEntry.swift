/// How a VM entry is attempted: as a hypervisor would, or so that a basic check fails whatever the fields are.
public enum ProbeEntry: Int, CaseIterable, Sendable {
  /// By VMLAUNCH while the launch state is clear, by VMRESUME when it is launched.
  case regular
  /// By VMLAUNCH when the launch state is launched, by VMRESUME while it is clear.
  case otherLaunchState
  /// Directly behind an instruction that loads SS.
  case blockedByMOVSS
  /// Without a current VMCS; the probe's is clear afterwards.
  case withoutCurrentVMCS
  /// With a shadow VMCS as the current one, where there are any; the probe's VMCS is clear afterwards.
  case onShadowVMCS

  /// Whether the probe's VMCS is not the current one.
  public var isElsewhere: Bool { self == .withoutCurrentVMCS || self == .onShadowVMCS }
}
