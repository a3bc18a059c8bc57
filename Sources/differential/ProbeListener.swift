import EntryProbe

/// Takes apart what the emulator writes: the probe's bytes have bit 7 set, the lines of the log have not.
struct ProbeListener {
  /// Something that the probe has said.
  enum Event {
    /// What the processor is; comes first.
    case environment(ProbeEnvironment)
    /// An outcome, and what the emulator has logged on the way to it.
    case outcome(ProbeOutcome, log: [String])
    /// All states have been run.
    case end
  }

  private static let preamble = Array(
    repeatElement(Array(repeating: UInt8(0xFF), count: 9) + [0x81], count: 4).joined())

  private var bytes: [UInt8] = []
  private var text: [UInt8] = []
  private var lines: [String] = []
  private var environment: ProbeEnvironment?
  private var outcomeCount = 0
  /// Whether a mark was not where it had to be: bytes are missing.
  private(set) var isOutOfStep = false

  /// The lines of the log after the last outcome.
  var lastLines: [String] { lines }

  /// Takes bytes and calls `body` with what they say.
  mutating func take(_ buffer: UnsafeRawBufferPointer, _ body: (Event) -> Void) {
    for byte in buffer {
      if byte & 0x80 != 0 {
        bytes.append(byte)
        if environment == nil { readEnvironment(body) } else if bytes.count == 2 { readOutcome(body) }
      } else if byte == 0x0A {
        // A line of the log is "TIME[DEVICE] TEXT".
        let line = String(decoding: text, as: UTF8.self)
        if environment != nil, let end = line.firstIndex(of: "]") {
          lines.append(String(line[line.index(after: end)...].drop { $0 == " " }))
        }
        text.removeAll(keepingCapacity: true)
      } else {
        text.append(byte)
      }
    }
  }

  private mutating func readEnvironment(_ body: (Event) -> Void) {
    let start = Self.preamble.count
    if bytes.count <= start {
      if !Self.preamble.starts(with: bytes) { bytes.removeFirst() }
      return
    }
    guard bytes.count == start + 10 * ProbeEnvironment.quadwordCount else { return }
    var position = start
    let result = ProbeEnvironment {
      defer { position += 10 }
      return bytes[position..<position + 10].reversed().reduce(0) { $0 << 7 | UInt64($1 & 0x7F) }
    }
    environment = result
    bytes.removeAll()
    lines.removeAll()
    body(.environment(result))
  }

  private mutating func readOutcome(_ body: (Event) -> Void) {
    let outcome = ProbeOutcome(rawValue: UInt16(bytes[0] & 0x7F) << 7 | UInt16(bytes[1] & 0x7F))
    bytes.removeAll(keepingCapacity: true)
    switch outcome.kind {
    case .mark:
      if outcomeCount % ProbeOutcome.markInterval != 0
        || outcomeCount / ProbeOutcome.markInterval & 0x7FF != Int(outcome.number)
      {
        isOutOfStep = true
      }
    case .end: body(.end)
    default:
      outcomeCount += 1
      body(.outcome(outcome, log: lines))
      lines.removeAll(keepingCapacity: true)
    }
  }
}
