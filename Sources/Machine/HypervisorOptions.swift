import VMX

/// The command line of the bare-metal image: words like `memory=268435456` and `metered=1`, and `append=…` with the
/// guest's own command line.
///
/// The words stand as GRUB's `multiboot2` command writes them: a word with a space in it is put in quotation marks, and
/// a backslash stands before each backslash, apostrophe and quotation mark.
public struct HypervisorOptions {
  /// The guest's memory in bytes; nil for as much as there is.
  public private(set) var memory: UInt64?
  /// How many processors the guest has; 1 unless the line says something else.
  public private(set) var processorCount: UInt64 = 1
  /// Whether the guest's local APICs have x2APIC mode.
  public private(set) var hasX2APIC = true
  /// The controls that help with the local APIC and its timer, to be used where the processor has them.
  public private(set) var optionalControls = OptionalControls.all
  /// Whether to count what each exit costs.
  public private(set) var isMetered = false
  /// Whether guest memory is mapped by 4 KiB pages when it is first touched, instead of all at the start.
  public private(set) var mapsOnDemand = false
  /// Whether to look at the end whether memory outside the guest has changed.
  public private(set) var checksMemory = false
  /// How long the guest may run, by its own clock; nil for as long as it wants.
  public private(set) var timeLimit: MachineTime?
  /// The identifier of the check of VM entries that is to fail; empty for none.
  public private(set) var drill = UnsafeRawBufferPointer(start: nil, count: 0)
  /// The guest's command line; it lies in the memory that was given to the initializer.
  public private(set) var append = UnsafeRawBufferPointer(start: nil, count: 0)

  /// The guest's command line when it is started once more, after it has ended; nil if it is not.
  public private(set) var restart: UnsafeRawBufferPointer?

  /// Reads `line`, in whose place the words are written without their quotation marks and backslashes.
  ///
  /// A word that is not known is passed over: a boot loader may add its own.
  public init(parsing line: UnsafeMutableRawBufferPointer) {
    var position = 0
    while let word = Self.nextWord(in: line, at: &position) {
      if let value = Self.value(of: "append=", in: word) { append = value }
      if let value = Self.value(of: "restart=", in: word) { restart = value }
      if let value = Self.value(of: "memory=", in: word) { memory = Self.number(value) }
      if let value = Self.value(of: "cpus=", in: word) { processorCount = Self.number(value) ?? 1 }
      if let value = Self.value(of: "x2apic=", in: word) { hasX2APIC = Self.number(value) != 0 }
      if let value = Self.value(of: "controls=", in: word), let bits = Self.number(value) {
        optionalControls = OptionalControls(rawValue: UInt8(truncatingIfNeeded: bits))
      }
      if let value = Self.value(of: "drill=", in: word) { drill = value }
      if let value = Self.value(of: "metered=", in: word) { isMetered = Self.number(value) == 1 }
      if let value = Self.value(of: "hash=", in: word) { checksMemory = Self.number(value) == 1 }
      if let value = Self.value(of: "limit=", in: word) {
        timeLimit = Self.number(value).map { seconds in
          let (nanoseconds, overflows) = seconds.multipliedReportingOverflow(by: nanosecondsPerSecond)
          return overflows ? .max : nanoseconds
        }
      }
      if let value = Self.value(of: "on-demand=", in: word) { mapsOnDemand = Self.number(value) == 1 }
    }
  }

  /// The command line of a module, by the string that came with it: one word, `module=…`, like those of the image's own
  /// command line; nil if it is another module of Skep's.
  ///
  /// It lies in the memory of the string, which is changed.
  public static func moduleCommandLine(_ string: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer? {
    // Other strings stay as they are: they are names.
    let name: StaticString = "module="
    let start = UnsafeRawBufferPointer(string).dropFirst(string.first == quotationMark ? 1 : 0)
    guard start.starts(with: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)) else {
      return nil
    }
    var position = 0
    return nextWord(in: string, at: &position).flatMap { value(of: name, in: $0) }
  }

  /// The word at or after `position`, rewritten in place, and `position` moved behind it.
  private static func nextWord(
    in line: UnsafeMutableRawBufferPointer, at position: inout Int
  ) -> UnsafeRawBufferPointer? {
    while position < line.count, line[position] == space { position += 1 }
    guard position < line.count else { return nil }
    let isQuoted = line[position] == quotationMark
    if isQuoted { position += 1 }
    let start = position
    var end = start
    while position < line.count, line[position] != (isQuoted ? quotationMark : space) {
      if line[position] == backslash, position + 1 < line.count { position += 1 }
      line[end] = line[position]
      end += 1
      position += 1
    }
    if isQuoted { position += 1 }
    return UnsafeRawBufferPointer(rebasing: line[start..<end])
  }

  private static func value(of name: StaticString, in word: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    let name = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    return word.starts(with: name) ? UnsafeRawBufferPointer(rebasing: word.dropFirst(name.count)) : nil
  }

  /// A decimal number; nil if it is none, or too large.
  private static func number(_ text: UnsafeRawBufferPointer) -> UInt64? {
    var value: UInt64 = 0
    for byte in text {
      guard byte >= 0x30, byte <= 0x39 else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(byte - 0x30))
      if overflow || carry { return nil }
      value = sum
    }
    return text.isEmpty ? nil : value
  }

  private static var space: UInt8 { 0x20 }
  private static var quotationMark: UInt8 { 0x22 }
  private static var backslash: UInt8 { 0x5C }
}
