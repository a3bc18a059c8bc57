import VMCS
import VMEntryChecks

/// What a text says about a processor's capabilities.
///
/// Read are what `skep capabilities` prints, as text and as JSON, the output of `rdmsr` with the MSR's index or name before
/// each value, and Linux's `/proc/cpuinfo`.
public struct CapabilityText: Sendable {
  /// What is known of whole capabilities.
  public private(set) var capabilities = EntryCapabilities()
  /// How many capabilities, or lines about them, were read.
  public var count: Int { exactCount + linux.lineCount }
  private var exactCount = 0
  private var linux = LinuxProcessorFlags()

  /// All that is known.
  public var known: KnownCapabilities {
    var known = KnownCapabilities(capabilities)
    linux.add(to: &known)
    return known
  }

  /// Reads a text.
  public init(_ bytes: [UInt8]) {
    for line in bytes.split(separator: 0x0A) { read(String(decoding: line, as: UTF8.self)) }
  }

  private mutating func set(_ capability: EntryCapability, _ value: UInt64) {
    if capabilities[capability] == nil { exactCount += 1 }
    capabilities[capability] = value
  }

  private mutating func read(_ line: String) {
    linux.read(Substring(line))
    // The names of CPUID's registers have the separators in them, so they are looked for first.
    for capability in EntryCapability.allCases {
      let title = String(capability.title)
      if case .cpuid = capability.source, line.hasPrefix(title),
        let value = Self.lastNumber(line.dropFirst(title.count))
      {
        return set(capability, value)
      }
    }
    let words = line.split { " \t:=,\"{}[]".contains($0) }.map(String.init)
    for (position, word) in words.enumerated().dropLast() {
      guard let capability = Self.capability(word), let value = Self.hexadecimal(words[position + 1]) else { continue }
      set(capability, value)
    }
    // A name, an index and the value, as `skep capabilities` prints them.
    if words.count >= 3, let capability = Self.capability(words[0]), Self.capability(words[1]) == capability,
      let value = Self.hexadecimal(words[2])
    {
      set(capability, value)
    }
  }

  private static func capability(_ word: String) -> EntryCapability? {
    EntryCapability.allCases.first { capability in
      if word == String(capability.title) || word == "\(capability)" { return true }
      guard case .msr(let msr) = capability.source, let index = hexadecimal(word) else { return false }
      return index == UInt64(msr.rawValue)
    }
  }

  private static func hexadecimal(_ word: String) -> UInt64? {
    UInt64(word.hasPrefix("0x") || word.hasPrefix("0X") ? String(word.dropFirst(2)) : word, radix: 16)
  }

  private static func lastNumber(_ text: Substring) -> UInt64? {
    text.split { " \t:=".contains($0) }.first.flatMap { hexadecimal(String($0)) }
  }
}
