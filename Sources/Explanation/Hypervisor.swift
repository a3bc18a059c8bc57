import ProcessorModel
import VMCS
import VMX

/// Hypervisors, of which it is known which controls have to be allowed to be 1.
public enum Hypervisor: String, CaseIterable, Sendable {
  /// Skep.
  case skep = "Skep"
  /// KVM of Linux 6.
  case kvm = "KVM"
  /// bhyve of illumos.
  case bhyve

  /// The controls of each word.
  var needs: [(word: ControlWord, mask: UInt64)] {
    switch self {
    case .skep: skepNeeds
    case .kvm: kvmNeeds
    case .bhyve: bhyveNeeds
    }
  }

  private typealias Pin = PinBasedVMExecutionControls
  private typealias Primary = PrimaryProcessorBasedVMExecutionControls
  private typealias Secondary = SecondaryProcessorBasedVMExecutionControls
  private typealias Exit = PrimaryVMExitControls

  private func bits(_ word: some BitWord) -> UInt64 { UInt64(truncatingIfNeeded: word.rawValue) }

  /// What Skep misses on a processor that has no control of one word and all of the others.
  private var skepNeeds: [(word: ControlWord, mask: UInt64)] {
    var all = VMXCapabilities(of: ProcessorModel(.skylakeX))
    let anything = AllowedSettings<UInt32>(allowed0: 0, allowed1: ~0)
    let nothing = AllowedSettings<UInt32>(allowed0: 0, allowed1: 0)
    let words: [WritableKeyPath<VMXCapabilities, AllowedSettings<UInt32>>] = [
      \.settings.pinBased, \.settings.primary, \.secondary, \.settings.exit, \.settings.entry,
    ]
    for word in words { all[keyPath: word] = anything }
    return words.compactMap { word in
      var capabilities = all
      capabilities[keyPath: word] = nothing
      do throws(UnsupportedProcessor) {
        _ = try ControlWords(for: capabilities)
        return nil
      } catch {
        guard case .controls(let word, let conflict) = error else { return nil }
        return (word, UInt64(conflict.missing))
      }
    }
  }

  /// Linux, `arch/x86/kvm/vmx/vmx.h`: KVM_REQUIRED_VMX_… of a 64-bit kernel, as `setup_vmcs_config` asks for them.
  private var kvmNeeds: [(word: ControlWord, mask: UInt64)] {
    [
      (.pin, bits([.externalInterruptExiting, .nmiExiting] as Pin)),
      (
        .primary,
        bits(
          [
            .hltExiting, .cr3LoadExiting, .cr3StoreExiting, .unconditionalIOExiting, .movDRExiting, .useTSCOffsetting,
            .mwaitExiting, .monitorExiting, .invlpgExiting, .rdpmcExiting, .interruptWindowExiting, .cr8LoadExiting,
            .cr8StoreExiting,
          ] as Primary)
      ),
      (.exit, bits([.saveDebugControls, .hostAddressSpaceSize, .acknowledgeInterruptOnExit] as Exit)),
      (.entry, bits([.loadDebugControls, .ia32eModeGuest] as VMEntryControls)),
    ]
  }

  /// illumos, `usr/src/uts/intel/io/vmm/intel/vmx.c`: the …_ONE_SETTING of each word, and what is toggled later.
  private var bhyveNeeds: [(word: ControlWord, mask: UInt64)] {
    [
      (.pin, bits([.externalInterruptExiting, .nmiExiting, .virtualNMIs] as Pin)),
      (
        .primary,
        bits(
          [
            .activateSecondaryControls, .useTSCOffsetting, .mwaitExiting, .monitorExiting, .unconditionalIOExiting,
            .useMSRBitmaps, .interruptWindowExiting, .nmiWindowExiting, .cr8LoadExiting, .cr8StoreExiting,
          ] as Primary)
      ),
      (.secondary, bits([.enableEPT, .unrestrictedGuest] as Secondary)),
      (
        .exit,
        bits(
          [
            .saveDebugControls, .hostAddressSpaceSize, .loadIA32PAT, .saveIA32EFER, .loadIA32EFER,
            .acknowledgeInterruptOnExit,
          ] as Exit)
      ),
      (.entry, bits([.loadDebugControls, .loadIA32EFER, .ia32eModeGuest] as VMEntryControls)),
    ]
  }
}
