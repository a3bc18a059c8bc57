import ProcessorModel
import Testing
import VMCS

@testable import VMX

/// A control that Skep needs: a processor that does not have it is refused, by its name.
struct ControlRow: Sendable, CustomTestStringConvertible {
  var word: ControlWord
  var bit: UInt32
  var name: String
  var testDescription: String { name }

  init(_ word: ControlWord, _ bit: UInt32, _ name: String) { (self.word, self.bit, self.name) = (word, bit, name) }

  /// Required to be 1.
  static let required: [ControlRow] = [
    .init(.pin, 0, "External-interrupt exiting"), .init(.pin, 3, "NMI exiting"), .init(.pin, 5, "Virtual NMIs"),
    .init(.primary, 3, "Use TSC offsetting"), .init(.primary, 7, "HLT exiting"), .init(.primary, 10, "MWAIT exiting"),
    .init(.primary, 11, "RDPMC exiting"), .init(.primary, 19, "CR8-load exiting"),
    .init(.primary, 20, "CR8-store exiting"), .init(.primary, 24, "Unconditional I/O exiting"),
    .init(.primary, 28, "Use MSR bitmaps"), .init(.primary, 29, "MONITOR exiting"),
    .init(.secondary, 1, "Enable EPT"), .init(.secondary, 7, "Unrestricted guest"),
    .init(.exit, 9, "Host address-space size"), .init(.exit, 15, "Acknowledge interrupt on exit"),
    .init(.exit, 20, "Save IA32_EFER"), .init(.exit, 21, "Load IA32_EFER"), .init(.entry, 15, "Load IA32_EFER"),
  ]
  /// 0 at first, but needed later.
  static let dynamic: [ControlRow] = [
    .init(.primary, 2, "Interrupt-window exiting"), .init(.primary, 22, "NMI-window exiting"),
    .init(.entry, 9, "IA-32e mode guest"),
  ]
  /// Required, and 1 on every processor as part of the default1 class.
  static let default1: [ControlRow] = [
    .init(.exit, 2, "Save debug controls"), .init(.entry, 2, "Load debug controls"),
  ]
  /// Always 0.
  static let forbidden: [ControlRow] = [
    .init(.primary, 15, "CR3-load exiting"), .init(.primary, 16, "CR3-store exiting"),
    .init(.primary, 25, "Use I/O bitmaps"), .init(.secondary, 2, "Descriptor-table exiting"),
    .init(.entry, 10, "Entry to SMM"), .init(.entry, 11, "Deactivate dual-monitor treatment"),
  ]
  /// 1 where the processor has them.
  static let optional: [ControlRow] = [
    .init(.secondary, 3, "Enable RDTSCP"), .init(.secondary, 5, "Enable VPID"), .init(.secondary, 6, "WBINVD exiting"),
    .init(.secondary, 12, "Enable INVPCID"), .init(.secondary, 15, "Enable ENCLS exiting"),
    .init(.secondary, 28, "Enable ENCLV exiting"),
  ]
}

extension ProcessorModel.Configuration {
  mutating func remove(_ row: ControlRow) {
    let mask: UInt32 = ~(1 << row.bit)
    switch row.word {
    case .pin: pinBased = .init(rawValue: pinBased.rawValue & mask)
    case .primary: primary = .init(rawValue: primary.rawValue & mask)
    case .secondary: secondary = .init(rawValue: secondary.rawValue & mask)
    case .exit: exit = .init(rawValue: exit.rawValue & mask)
    case .entry: entry = .init(rawValue: entry.rawValue & mask)
    default: break
    }
  }

  static var qualifying: [Self] { [.sandyBridge, .haswell, .skylakeX, .everything, .allOnes] }
}

extension ControlWords {
  subscript(word: ControlWord) -> UInt32 {
    switch word {
    case .pin: pinBased.rawValue
    case .primary: primary.rawValue
    case .secondary: secondary.rawValue
    case .exit: exit.rawValue
    case .entry: entry.rawValue
    default: 0
    }
  }
}

@Suite struct ControlsTests {
  @Test(
    "F2 on every processor that qualifies, each control is what Skep needs",
    arguments: ProcessorModel.Configuration.qualifying)
  func values(_ configuration: ProcessorModel.Configuration) throws {
    let controls = try VMXSupport(of: ProcessorModel(configuration)).controls
    for row in ControlRow.required + ControlRow.default1 {
      #expect(controls[row.word] >> row.bit & 1 == 1, "\(row.name)")
    }
    for row in ControlRow.dynamic + ControlRow.forbidden {
      #expect(controls[row.word] >> row.bit & 1 == 0, "\(row.name)")
    }
    for row in ControlRow.optional {
      let isSupported = configuration.secondary.rawValue >> row.bit & 1
      #expect(controls[row.word] >> row.bit & 1 == isSupported, "\(row.name)")
    }
  }

  @Test(
    "F1 every control word is one that the capability MSRs allow", arguments: ProcessorModel.Configuration.qualifying)
  func allowed(_ configuration: ProcessorModel.Configuration) throws {
    let support = try VMXSupport(of: ProcessorModel(configuration))
    let settings = support.capabilities.settings
    let words: [(ControlWord, AllowedSettings<UInt32>)] = [
      (.pin, settings.pinBased), (.primary, settings.primary), (.secondary, support.capabilities.secondary),
      (.exit, settings.exit), (.entry, settings.entry),
    ]
    for (word, allowed) in words {
      #expect(support.controls[word] & ~allowed.allowed1 == 0 && allowed.allowed0 & ~support.controls[word] == 0)
    }
  }

  @Test("F2 nothing is used that Skep did not ask for", arguments: ProcessorModel.Configuration.qualifying)
  func nothingElse(_ configuration: ProcessorModel.Configuration) throws {
    let support = try VMXSupport(of: ProcessorModel(configuration))
    let wanted = ControlRow.required + ControlRow.default1 + ControlRow.optional
    let pat: [ControlRow] = [
      .init(.exit, 18, ""), .init(.exit, 19, ""), .init(.entry, 14, ""), .init(.primary, 31, ""),
    ]
    let defaults = support.capabilities.defaults
    for (word, default1) in [
      (.pin, defaults.pinBased.allowed0), (.primary, defaults.primary.allowed0), (.secondary, 0),
      (.exit, defaults.exit.allowed0), (.entry, defaults.entry.allowed0),
    ] as [(ControlWord, UInt32)] {
      let known = (wanted + pat).filter { $0.word == word }.reduce(UInt32(0)) { $0 | 1 << $1.bit }
      #expect(support.controls[word] & ~(known | default1) == 0, "\(word)")
    }
  }

  @Test(
    "F2 a processor without a control that Skep needs is refused by its name",
    arguments: ControlRow.required + ControlRow.dynamic)
  func missing(_ row: ControlRow) {
    var configuration = ProcessorModel.Configuration.haswell
    configuration.remove(row)
    let error = #expect(throws: UnsupportedProcessor.self) { try VMXSupport(of: ProcessorModel(configuration)) }
    guard case .controls(row.word, let conflict) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(conflict == ControlConflict(missing: 1 << row.bit, unavoidable: 0, contradictory: 0))
    let message = error?.message ?? ""
    #expect(message.contains("does not have \"\(row.name)\" ("))
  }

  @Test(
    "F2 a processor with a control that cannot be 0 is refused by its name",
    arguments: ControlRow.dynamic + ControlRow.forbidden)
  func unavoidable(_ row: ControlRow) throws {
    var capabilities = try VMXSupport(of: ProcessorModel(.haswell)).capabilities
    switch row.word {
    case .primary: capabilities.settings.primary.allowed0 |= 1 << row.bit
    case .entry: capabilities.settings.entry.allowed0 |= 1 << row.bit
    default: capabilities.secondary.allowed0 |= 1 << row.bit
    }
    let error = #expect(throws: UnsupportedProcessor.self) { try ControlWords(for: capabilities) }
    #expect(
      error == .controls(row.word, ControlConflict(missing: 0, unavoidable: 1 << row.bit, contradictory: 0)))
    let message = error?.message ?? ""
    #expect(message.contains("cannot do without \"\(row.name)\" ("))
  }

  @Test("A processor without secondary controls is refused for the lack of EPT")
  func noSecondaryControls() {
    var configuration = ProcessorModel.Configuration.haswell
    configuration.primary.remove(.activateSecondaryControls)
    #expect(
      throws: UnsupportedProcessor.controls(
        .secondary, ControlConflict(missing: 0x82, unavoidable: 0, contradictory: 0))
    ) {
      try VMXSupport(of: ProcessorModel(configuration))
    }
  }

  @Test("A processor whose CR3 exits cannot be turned off is refused")
  func noTRUEControls() {
    var configuration = ProcessorModel.Configuration.haswell
    configuration.hasTRUECapabilityMSRs = false
    let error = #expect(throws: UnsupportedProcessor.self) { try VMXSupport(of: ProcessorModel(configuration)) }
    #expect(error == .controls(.primary, ControlConflict(missing: 0, unavoidable: 0x1_8000, contradictory: 0)))
    let message = error?.message ?? ""
    #expect(message.contains("cannot do without \"CR3-load exiting\", \"CR3-store exiting\" (primary"))
  }

  @Test("B6 IA32_PAT is switched by all three controls or by none", arguments: 0..<8)
  func pat(present: Int) throws {
    var configuration = ProcessorModel.Configuration.haswell
    if present & 1 == 0 { configuration.exit.remove(.saveIA32PAT) }
    if present & 2 == 0 { configuration.exit.remove(.loadIA32PAT) }
    if present & 4 == 0 { configuration.entry.remove(.loadIA32PAT) }
    let controls = try VMXSupport(of: ProcessorModel(configuration)).controls
    #expect(controls.switchesPAT == (present == 7))
    #expect(controls.exit.contains(.saveIA32PAT) == (present == 7))
    #expect(controls.exit.contains(.loadIA32PAT) == (present == 7))
    #expect(controls.entry.contains(.loadIA32PAT) == (present == 7))
  }
}
