import VMX

extension LocalAPICMode {
  /// The mode that IA32_APIC_BASE says by its bits 11 (EN) and 10 (EXTD); `nil` for EN = 0 with EXTD = 1, which is
  /// invalid (SDM, "Detecting and Enabling x2APIC Mode").
  init?(base: UInt64) {
    switch base >> 10 & 3 {
    case 0: self = .disabled
    case 2: self = .xAPIC
    case 3: self = .x2APIC
    default: return nil
    }
  }

  /// Whether WRMSR to IA32_APIC_BASE may go from this mode to `next` (SDM, "x2APIC State Transitions").
  func canBecome(_ next: LocalAPICMode) -> Bool {
    switch (self, next) {
    case (.disabled, .x2APIC), (.x2APIC, .xAPIC): false
    default: true
    }
  }
}
