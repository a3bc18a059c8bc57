/// The mode of a local APIC: bits 11 (EN) and 10 (EXTD) of IA32_APIC_BASE (SDM, "Detecting and Enabling x2APIC Mode").
@frozen
public enum LocalAPICMode: UInt8, Equatable, Sendable {
  /// EN = 0: as if there were none.
  case disabled
  /// EN = 1, EXTD = 0: registers in memory.
  case xAPIC
  /// EN = 1, EXTD = 1: registers by MSR.
  case x2APIC

  /// The mode that IA32_APIC_BASE says; `nil` for EN = 0 with EXTD = 1, which is invalid.
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
