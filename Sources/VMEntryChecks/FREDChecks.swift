import VMCS

/// The fields of the FRED MSRs that VM entries and VM exits load.
struct FREDFields {
  /// IA32_FRED_CONFIG.
  var config: VMCSField<IA32FREDCONFIG, ReadWrite>
  /// IA32_FRED_RSP1 to IA32_FRED_RSP3.
  var rsp: (VMCSField<UInt64, ReadWrite>, VMCSField<UInt64, ReadWrite>, VMCSField<UInt64, ReadWrite>)
  /// IA32_FRED_SSP1 to IA32_FRED_SSP3.
  var ssp: (VMCSField<UInt64, ReadWrite>, VMCSField<UInt64, ReadWrite>, VMCSField<UInt64, ReadWrite>)

  /// Those of the host-state area.
  static var host: Self {
    Self(
      config: .hostIA32FREDCONFIG, rsp: (.hostIA32FREDRSP1, .hostIA32FREDRSP2, .hostIA32FREDRSP3),
      ssp: (.hostIA32FREDSSP1, .hostIA32FREDSSP2, .hostIA32FREDSSP3))
  }

  /// Those of the guest-state area.
  static var guest: Self {
    Self(
      config: .guestIA32FREDCONFIG, rsp: (.guestIA32FREDRSP1, .guestIA32FREDRSP2, .guestIA32FREDRSP3),
      ssp: (.guestIA32FREDSSP1, .guestIA32FREDSSP2, .guestIA32FREDSSP3))
  }
}

/// The texts of the checks on the FRED MSRs, in which "%" is the register.
struct FREDTexts {
  var reserved: StaticString
  var canonical: StaticString
  var aligned: StaticString
  /// The inputs that say whether the MSRs are loaded, and the field.
  var inputs: StaticString
}

extension EntryCheckPass {
  /// The checks on the FRED MSRs, if `areLoaded`.
  mutating func fred(_ fields: FREDFields, _ texts: FREDTexts, if areLoaded: (inout Inputs) -> Bool) {
    check(texts.reserved, "Bits 2, 5:4 and 11 of IA32_FRED_% are 0.", reads: texts.inputs, for: "CONFIG") {
      areLoaded(&$0) ? $0.requireClear(fields.config, 0x834) : nil
    }
    check(
      texts.canonical, "The address in bits 63:12 of IA32_FRED_% is canonical.", reads: texts.inputs,
      and: "cpuid80000008EAX",
      for: "CONFIG"
    ) { areLoaded(&$0) ? $0.requireCanonical(fields.config) : nil }
    fredPointer("RSP1", fields.rsp.0, low: 0x3F, "Bits 5:0 of IA32_FRED_% are 0.", texts, areLoaded)
    fredPointer("RSP2", fields.rsp.1, low: 0x3F, "Bits 5:0 of IA32_FRED_% are 0.", texts, areLoaded)
    fredPointer("RSP3", fields.rsp.2, low: 0x3F, "Bits 5:0 of IA32_FRED_% are 0.", texts, areLoaded)
    fredPointer("SSP1", fields.ssp.0, low: 7, "Bits 2:0 of IA32_FRED_% are 0.", texts, areLoaded)
    fredPointer("SSP2", fields.ssp.1, low: 7, "Bits 2:0 of IA32_FRED_% are 0.", texts, areLoaded)
    fredPointer("SSP3", fields.ssp.2, low: 7, "Bits 2:0 of IA32_FRED_% are 0.", texts, areLoaded)
  }

  private mutating func fredPointer(
    _ name: StaticString, _ field: VMCSField<UInt64, ReadWrite>, low: UInt64, _ statement: StaticString,
    _ texts: FREDTexts, _ areLoaded: (inout Inputs) -> Bool
  ) {
    check(
      texts.canonical, "IA32_FRED_% contains a canonical address.", reads: texts.inputs, and: "cpuid80000008EAX",
      for: name
    ) {
      areLoaded(&$0) ? $0.requireCanonical(field) : nil
    }
    check(texts.aligned, statement, reads: texts.inputs, for: name) {
      areLoaded(&$0) ? $0.requireClear(field, low) : nil
    }
  }
}
