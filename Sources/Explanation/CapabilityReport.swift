import VMCS
import VMEntryChecks

/// A processor's VMX capabilities by the names of the controls, and which of them hypervisors need.
public struct CapabilityReport: Sendable {
  /// A control word of which something is known.
  public struct Word: Sendable {
    /// Which it is.
    public let word: ControlWord
    /// The bits that have to be 1.
    public let mustBe1: UInt64
    /// The bits that may be 1.
    public let mayBe1: UInt64
    /// The bits of which it is known whether they have to be 1.
    public let mustBe1Known: UInt64
    /// The bits of which it is known whether they may be 1.
    public let mayBe1Known: UInt64

    /// What a bit can be.
    func setting(_ bits: BitField) -> ControlSetting {
      guard mayBe1Known & bits.mask == bits.mask else { return .unknown }
      guard mayBe1 & bits.mask != 0 else { return .is0 }
      return mustBe1 & mustBe1Known & bits.mask != 0 ? .is1 : .mayBe1
    }
  }

  /// The capabilities.
  public let known: KnownCapabilities
  /// The control words that the capabilities tell about.
  public let words: [Word]

  /// Reports on capabilities.
  public init(_ known: KnownCapabilities) {
    self.known = known
    let (most, least) = (known.permissive, known.restrictive)
    func word(_ word: ControlWord, _ exact: EntryCapability, _ plain: EntryCapability) -> Word? {
      guard let most = most[exact] ?? most[plain], let least = least[exact] ?? least[plain] else { return nil }
      let (known, low) = (~(most ^ least), UInt64(0xFFFF_FFFF))
      return Word(
        word: word, mustBe1: most & low, mayBe1: most >> 32, mustBe1Known: known & low, mayBe1Known: known >> 32)
    }
    func mask(_ word: ControlWord, _ capability: EntryCapability) -> Word? {
      most[capability].map { Word(word: word, mustBe1: 0, mayBe1: $0, mustBe1Known: ~0, mayBe1Known: ~0) }
    }
    words = [
      word(.pin, .ia32VMXTRUEPINBASEDCTLS, .ia32VMXPINBASEDCTLS),
      word(.primary, .ia32VMXTRUEPROCBASEDCTLS, .ia32VMXPROCBASEDCTLS),
      word(.secondary, .ia32VMXPROCBASEDCTLS2, .ia32VMXPROCBASEDCTLS2), mask(.tertiary, .ia32VMXPROCBASEDCTLS3),
      word(.exit, .ia32VMXTRUEEXITCTLS, .ia32VMXEXITCTLS), mask(.secondaryExit, .ia32VMXEXITCTLS2),
      word(.entry, .ia32VMXTRUEENTRYCTLS, .ia32VMXENTRYCTLS), mask(.functions, .ia32VMXVMFUNC),
    ].compactMap { $0 }
  }

  /// What a control can be.
  func setting(of control: ControlBit) -> ControlSetting {
    guard let word = words.first(where: { $0.word == control.word }),
      let bits = control.word.valueType.bitFields.first(where: { $0.low == control.bit })
    else { return .unknown }
    return word.setting(bits)
  }

  /// The controls that a hypervisor needs and that can not be 1, or of which that is not known.
  private func controls(_ hypervisor: Hypervisor, _ setting: ControlSetting) -> [ControlBit] {
    hypervisor.needs.flatMap { word, mask -> [ControlBit] in
      (0..<64).filter { mask >> UInt64($0) & 1 == 1 }.map { ControlBit(word, UInt8($0)) }
    }.filter { self.setting(of: $0) == setting }
  }

  /// The controls that a hypervisor needs and the processor does not have.
  public func missing(for hypervisor: Hypervisor) -> [ControlBit] { controls(hypervisor, .is0) }

  /// The controls that a hypervisor needs and of which it is not known whether the processor has them.
  public func unknown(for hypervisor: Hypervisor) -> [ControlBit] { controls(hypervisor, .unknown) }

  /// The report for people, ended by a line feed.
  public func text(style: Style) -> String {
    var lines: [String] = []
    for capability in EntryCapability.allCases {
      guard let value = known.exact[capability] else { continue }
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
      if !lines.isEmpty { lines.append("") }
      lines.append(style.strong(Self.title(of: word.word)))
      for bits in word.word.valueType.bitFields {
        let setting = word.setting(bits)
        let text = setting == .is0 ? style.faint(setting.text) : setting.text
        lines.append("  \(bits.range.padded(to: 5))  \(String(bits.name).padded(to: 40))  \(text)")
      }
    }
    lines.append("")
    lines += Hypervisor.allCases.map { "\($0.rawValue.padded(to: 6)) \(verdict(on: $0, style))" }
    return lines.joined(separator: "\n") + "\n"
  }

  private func verdict(on hypervisor: Hypervisor, _ style: Style) -> String {
    func names(_ controls: [ControlBit]) -> String {
      controls.map { String($0.name, or: "bit \($0.bit)") }.joined(separator: ", ")
    }
    let (missing, unknown) = (missing(for: hypervisor), unknown(for: hypervisor))
    if missing.isEmpty, unknown.isEmpty { return style.good("has all controls that it needs") }
    var parts: [String] = []
    if !missing.isEmpty { parts.append(style.bad("lacks \(names(missing))")) }
    if !unknown.isEmpty { parts.append(style.unsure("needs, and it is not known: \(names(unknown))")) }
    return parts.joined(separator: "; ")
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
            known.exact[capability].map { ("\(capability)", .hexadecimal($0)) }
          })
      ),
      (
        "controls",
        .object(
          words.map { word in
            ("\(word.word)", .object(word.word.valueType.bitFields.map { (String($0.name), word.json($0)) }))
          })
      ),
      ("missing", json { missing(for: $0) }),
      ("unknown", json { unknown(for: $0) }),
    ])
  }

  private func json(_ controls: (Hypervisor) -> [ControlBit]) -> JSONValue {
    .object(
      Hypervisor.allCases.map { hypervisor in
        (
          hypervisor.rawValue,
          .array(controls(hypervisor).map { .string(String($0.name, or: "bit \($0.bit)")) })
        )
      })
  }
}

/// What a control can be on a processor.
enum ControlSetting {
  /// It has to be 0.
  case is0
  /// It has to be 1.
  case is1
  /// It can be 1.
  case mayBe1
  /// That is not known.
  case unknown

  /// The setting for people.
  var text: String {
    switch self {
    case .is0: "0"
    case .is1: "1"
    case .mayBe1: "0 or 1"
    case .unknown: "?"
    }
  }
}

extension CapabilityReport.Word {
  /// Whether a bit may be 0, and whether it may be 1; null for what is not known.
  fileprivate func json(_ bits: BitField) -> JSONValue {
    .array([
      mustBe1Known & bits.mask == bits.mask ? .boolean(mustBe1 & bits.mask == 0) : .null,
      mayBe1Known & bits.mask == bits.mask ? .boolean(mayBe1 & bits.mask != 0) : .null,
    ])
  }
}
