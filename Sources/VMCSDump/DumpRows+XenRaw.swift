import VMCS

extension DumpRows {
  /// What Xen before 4.0 prints: values by encoding.
  static var xenRaw: [DumpRow] {
    [
      DumpRow(.xenRaw, .any, "16-bit Control Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "16-bit Guest-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "16-bit Host-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "16-bit RO Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "16-bit Read-Only Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "32-bit Control Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "32-bit Guest-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "32-bit Host-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "32-bit RO Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "32-bit Read-Only Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "64-bit Control Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "64-bit Guest-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "64-bit Host-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "64-bit RO Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "64-bit Read-Only Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "Natural 64-bit Control Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "Natural 64-bit Guest-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "Natural 64-bit Host-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "Natural 64-bit RO Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "Natural 64-bit Read-Only Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "natural-width Control Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "natural-width Guest-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "natural-width Host-State Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "natural-width RO Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "natural-width Read-Only Data Fields", [], [.opens, .repeats]),
      DumpRow(.xenRaw, .any, "0x%8: 0x%1", [.other(.encoding), .other(.value)], [.repeats]),
      DumpRow(.xenRaw, .any, "0x%8: ------", [.ignored], [.repeats]),
    ]
  }
}
