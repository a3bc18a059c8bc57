import VMCS
import VMEntryChecks

/// A processor's VMX capabilities by the names of the controls, and which of them hypervisors need.
public struct CapabilityReport: Sendable {
  /// A control word.
  public struct Word: Sendable {
    /// Which it is.
    public let word: ControlWord
    /// The bits that have to be 1.
    public let mustBe1: UInt64
    /// The bits that may be 1.
    public let mayBe1: UInt64
  }

  /// The capabilities.
  public let capabilities: EntryCapabilities
  /// The control words that the capabilities tell about.
  public let words: [Word]

  /// Reports on capabilities.
  public init(_ capabilities: EntryCapabilities) {
    self.capabilities = capabilities
    func settings(_ word: ControlWord, _ exact: EntryCapability, _ plain: EntryCapability) -> Word? {
      guard let value = capabilities[exact] ?? capabilities[plain] else { return nil }
      return Word(word: word, mustBe1: value & 0xFFFF_FFFF, mayBe1: value >> 32)
    }
    func mask(_ word: ControlWord, _ capability: EntryCapability) -> Word? {
      capabilities[capability].map { Word(word: word, mustBe1: 0, mayBe1: $0) }
    }
    words = [
      settings(.pin, .ia32VMXTRUEPINBASEDCTLS, .ia32VMXPINBASEDCTLS),
      settings(.primary, .ia32VMXTRUEPROCBASEDCTLS, .ia32VMXPROCBASEDCTLS),
      settings(.secondary, .ia32VMXPROCBASEDCTLS2, .ia32VMXPROCBASEDCTLS2), mask(.tertiary, .ia32VMXPROCBASEDCTLS3),
      settings(.exit, .ia32VMXTRUEEXITCTLS, .ia32VMXEXITCTLS), mask(.secondaryExit, .ia32VMXEXITCTLS2),
      settings(.entry, .ia32VMXTRUEENTRYCTLS, .ia32VMXENTRYCTLS), mask(.functions, .ia32VMXVMFUNC),
    ].compactMap { $0 }
  }

  /// The controls that a hypervisor needs and the processor does not have.
  public func missing(for hypervisor: Hypervisor) -> [ControlBit] {
    hypervisor.needs.flatMap { word, mask -> [ControlBit] in
      let mayBe1 = words.first { $0.word == word }?.mayBe1 ?? 0
      let missing = mask & ~mayBe1
      return (0..<64).filter { missing >> UInt64($0) & 1 == 1 }.map { ControlBit(word, UInt8($0)) }
    }
  }

  /// The report for people, ended by a line feed.
  public func text(style: Style) -> String {
    var lines: [String] = []
    for capability in EntryCapability.allCases {
      guard let value = capabilities[capability] else { continue }
      let index: String
      if case .msr(let msr) = capability.source {
        index = String(hexadecimal: UInt64(msr.rawValue))
      } else {
        index = ""
      }
      let digits = index.isEmpty ? 8 : 16
      lines.append(
        "\(String(capability.title).padded(to: 28))  \(index.padded(to: 5))  \(String(hexadecimal: value, digits: digits))"
      )
    }
    for word in words {
      lines += ["", style.strong(Self.title(of: word.word))]
      for bits in word.word.valueType.bitFields {
        let setting: String
        switch (word.mayBe1 & bits.mask != 0, word.mustBe1 & bits.mask != 0) {
        case (true, true): setting = "1"
        case (true, false): setting = "0 or 1"
        default: setting = style.faint("0")
        }
        lines.append("  \(bits.range.padded(to: 5))  \(String(bits.name).padded(to: 40))  \(setting)")
      }
    }
    lines.append("")
    for hypervisor in Hypervisor.allCases {
      let missing = missing(for: hypervisor)
      let names = missing.map { String($0.name, or: "bit \($0.bit)") }.joined(separator: ", ")
      lines.append(
        "\(hypervisor.rawValue.padded(to: 6)) "
          + (missing.isEmpty ? style.good("has all controls that it needs") : style.bad("lacks \(names)")))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  static func title(of word: ControlWord) -> String {
    let description = VMCSFieldDescription.all.first { $0.valueType == word.valueType }
    return String(description?.title, or: "\(word)")
  }

  /// The report as an object of the schema `skep.capabilities/1`.
  public var json: JSONValue {
    .object([
      ("schema", .string("skep.capabilities/1")),
      (
        "capabilities",
        .object(
          EntryCapability.allCases.compactMap { capability in
            capabilities[capability].map { ("\(capability)", .hexadecimal($0)) }
          })
      ),
      (
        "controls",
        .object(
          words.map { word in
            (
              "\(word.word)",
              .object(
                word.word.valueType.bitFields.map { bits in
                  (
                    String(bits.name),
                    .array([.boolean(word.mustBe1 & bits.mask == 0), .boolean(word.mayBe1 & bits.mask != 0)])
                  )
                })
            )
          })
      ),
      (
        "missing",
        .object(
          Hypervisor.allCases.map { hypervisor in
            (
              hypervisor.rawValue,
              .array(missing(for: hypervisor).map { .string(String($0.name, or: "bit \($0.bit)")) })
            )
          })
      ),
    ])
  }
}

/// Hypervisors, of which it is known which controls have to be allowed to be 1.
public enum Hypervisor: String, CaseIterable, Sendable {
  /// Skep.
  case skep = "Skep"
  /// KVM of Linux 6.
  case kvm = "KVM"
  /// bhyve of FreeBSD and illumos.
  case bhyve

  /// The controls of each word.
  var needs: [(ControlWord, UInt64)] {
    func bits<Word: BitWord>(_ word: Word) -> UInt64 { UInt64(truncatingIfNeeded: word.rawValue) }
    typealias Pin = PinBasedVMExecutionControls
    typealias Primary = PrimaryProcessorBasedVMExecutionControls
    typealias Secondary = SecondaryProcessorBasedVMExecutionControls
    typealias Exit = PrimaryVMExitControls
    switch self {
    case .skep:
      return [
        (.pin, bits([.externalInterruptExiting, .nmiExiting, .virtualNMIs] as Pin)),
        (
          .primary,
          bits(
            [
              .hltExiting, .useTSCOffsetting, .mwaitExiting, .monitorExiting, .rdpmcExiting, .cr8LoadExiting,
              .cr8StoreExiting, .unconditionalIOExiting, .useMSRBitmaps, .activateSecondaryControls,
              .interruptWindowExiting, .nmiWindowExiting,
            ] as Primary)
        ),
        (.secondary, bits([.enableEPT, .unrestrictedGuest] as Secondary)),
        (
          .exit,
          bits(
            [
              .saveDebugControls, .hostAddressSpaceSize, .acknowledgeInterruptOnExit, .saveIA32EFER, .loadIA32EFER,
            ] as Exit)
        ),
        (.entry, bits([.loadDebugControls, .loadIA32EFER, .ia32eModeGuest] as VMEntryControls)),
      ]
    case .kvm:
      return [
        (.pin, bits([.externalInterruptExiting, .nmiExiting] as Pin)),
        (
          .primary,
          bits(
            [
              .hltExiting, .cr8LoadExiting, .cr8StoreExiting, .cr3LoadExiting, .cr3StoreExiting,
              .unconditionalIOExiting,
              .movDRExiting, .useTSCOffsetting, .mwaitExiting, .monitorExiting, .invlpgExiting, .rdpmcExiting,
              .interruptWindowExiting,
            ] as Primary)
        ),
        (.exit, bits([.saveDebugControls, .hostAddressSpaceSize, .acknowledgeInterruptOnExit] as Exit)),
        (.entry, bits([.loadDebugControls, .ia32eModeGuest] as VMEntryControls)),
      ]
    case .bhyve:
      return [
        (.pin, bits([.externalInterruptExiting, .nmiExiting, .virtualNMIs] as Pin)),
        (
          .primary,
          bits(
            [
              .activateSecondaryControls, .mwaitExiting, .monitorExiting, .unconditionalIOExiting, .useMSRBitmaps,
              .interruptWindowExiting, .nmiWindowExiting, .cr8LoadExiting, .cr8StoreExiting,
            ] as Primary)
        ),
        (.secondary, bits([.enableEPT] as Secondary)),
        (
          .exit,
          bits(
            [
              .saveDebugControls, .hostAddressSpaceSize, .saveIA32EFER, .loadIA32EFER, .acknowledgeInterruptOnExit,
            ] as Exit)
        ),
        (.entry, bits([.loadDebugControls, .loadIA32EFER, .ia32eModeGuest] as VMEntryControls)),
      ]
    }
  }
}
